#include "ngramstat/mixing/context_keys.hpp"

#include <algorithm>
#include <cstring>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/key_table.hpp"
#include "ngramstat/base/simd.hpp"

namespace ngramstat {

ContextKeys::ContextKeys(const Vocabulary& vocabulary, const ContextPattern& pattern,
                         std::span<const std::uint32_t> class_maps)
    : vocabulary_(vocabulary), offsets_(pattern.offsets) {
    require(vocabulary.size >= 1 && vocabulary.size < KeyTable::kAbsent,
            "vocab_size must be at least 1");
    require(vocabulary.stop_token >= -1 && vocabulary.stop_token <= vocabulary.size,
            "stop_token must be -1 or a symbol");
    require(pattern.maps.size() == pattern.offsets.size(), "one map per offset");
    const Index n_symbols = vocabulary.n_symbols();
    const Index n_maps = static_cast<Index>(class_maps.size()) / n_symbols;
    require(n_maps * n_symbols == static_cast<Index>(class_maps.size()),
            "class_maps must be (n_maps, n_symbols)");
    std::vector<int> numbers(static_cast<std::size_t>(n_maps), -1);
    for (std::size_t j = 0; j < pattern.offsets.size(); ++j) {
        require(pattern.offsets[j] >= 1 && pattern.offsets[j] <= kMaxOffset,
                "offsets must lie in 1 .. 16");
        require(pattern.maps[j] >= -1 && pattern.maps[j] < n_maps, "there is no such class map");
        longest_offset_ = std::max<Index>(longest_offset_, pattern.offsets[j]);
        std::uint64_t largest = static_cast<std::uint64_t>(n_symbols - 1);
        map_of_.push_back(-1);
        if (pattern.maps[j] >= 0) {
            const auto map =
                class_maps.subspan(static_cast<std::size_t>(pattern.maps[j] * n_symbols),
                                   static_cast<std::size_t>(n_symbols));
            int& number = numbers[static_cast<std::size_t>(pattern.maps[j])];
            if (number < 0) {
                number = static_cast<int>(maps_.size());
                maps_.emplace_back(map.begin(), map.end());
            }
            map_of_.back() = number;
            largest = *std::max_element(map.begin(), map.end());
        }
        bits_of_.push_back(bit_width(largest));
        bits_ += bits_of_.back();
    }
    exact_ = bits_ <= 64;
}

// Hashes of all positions of a block, whether they are events or not.
struct ContextBlock::HashLoop {
    template <int>
    static void run(ContextBlock& block) {
        const ContextKeys& keys = block.keys_;
        const std::size_t n = static_cast<std::size_t>(block.size_), n_read = n + kMaxOffset;
        const std::uint32_t* tokens = block.tokens_.data();
        for (std::size_t m = 0; m < keys.maps_.size(); ++m) {
            const std::uint32_t* map = keys.maps_[m].data();
            std::uint32_t* classes = block.classes_.data() + m * block.tokens_.size();
            for (std::size_t i = 0; i < n_read; ++i) classes[i] = map[tokens[i]];
        }
        std::uint64_t* hashes = block.hashes_.data();
        std::fill_n(hashes, n, 0);
        for (std::size_t j = 0; j < keys.offsets_.size(); ++j) {
            const std::uint32_t* symbols =
                (keys.map_of_[j] < 0
                     ? tokens
                     : block.classes_.data() +
                           static_cast<std::size_t>(keys.map_of_[j]) * block.tokens_.size()) +
                (kMaxOffset - keys.offsets_[j]);
            if (keys.exact_) {
                const int bits = keys.bits_of_[j];
                for (std::size_t i = 0; i < n; ++i) hashes[i] = hashes[i] << bits | symbols[i];
            } else {
                for (std::size_t i = 0; i < n; ++i) {
                    hashes[i] = mix_bits(hashes[i] + symbols[i] + kContextMultiplier);
                }
            }
        }
        if (!keys.exact_ || keys.bits_ == 0) return;
        // One-to-one on numbers of this many bits, and then shifted to the highest ones.
        const int fold = (keys.bits_ + 1) / 2, shift = 64 - keys.bits_;
        for (std::size_t i = 0; i < n; ++i) {
            hashes[i] = ((hashes[i] ^ hashes[i] >> fold) << shift) * kContextMultiplier;
        }
    }
};

ContextBlock::ContextBlock(const ContextKeys& keys)
    : keys_(keys),
      hash_(built_for_level<HashLoop>()),
      classes_(keys.maps_.size() * tokens_.size()) {}

template <class Token>
void ContextBlock::load(std::span<const Token> tokens, const BlockBounds& bounds) {
    const Index start = bounds.first - kMaxOffset, begin = std::max(start, bounds.begin);
    const std::size_t before = static_cast<std::size_t>(std::min(begin, bounds.last) - start);
    const std::size_t n = static_cast<std::size_t>(std::max<Index>(bounds.last - begin, 0));
    const Token* from = tokens.data() + begin;
    std::uint32_t* to = tokens_.data() + before;
    std::fill_n(tokens_.data(), before, 0u);
    std::uint32_t largest = 0;
    for (std::size_t k = 0; k < n; ++k) {
        to[k] = from[k];
        largest = std::max(largest, to[k]);
    }
    const Index n_symbols = keys_.vocabulary_.n_symbols();
    if (n > 0 && static_cast<Index>(largest) >= n_symbols) {
        const Index wrong = std::find_if(to, to + n,
                                         [&](std::uint32_t token) {
                                             return static_cast<Index>(token) >= n_symbols;
                                         }) -
                            to;
        throw_token_out_of_range(to[wrong], begin + wrong, n_symbols);
    }
    size_ = (bounds.last - bounds.first + 7) / 8 * 8;
    std::fill(to + n, tokens_.data() + kMaxOffset + size_, 0u);
}

// Marks the candidates among the positions from the first event on.
void ContextBlock::open_candidates(const BlockBounds& bounds,
                                   std::span<const std::uint64_t> candidates) {
    // By byte, its bits as eight bytes, the lowest bit first in memory.
    static const std::array<std::array<std::uint8_t, 8>, 256> kBytesOfBits = [] {
        std::array<std::array<std::uint8_t, 8>, 256> table{};
        for (std::size_t byte = 0; byte < table.size(); ++byte) {
            for (std::size_t bit = 0; bit < 8; ++bit) table[byte][bit] = byte >> bit & 1;
        }
        return table;
    }();
    const std::size_t n = static_cast<std::size_t>(bounds.last - bounds.first);
    if (candidates.empty()) {
        std::fill_n(open_.begin(), n, std::uint8_t{1});
    } else {
        const std::uint64_t* word = candidates.data() + bounds.first / 64;
        for (std::size_t place = 0; place < n; place += 64, ++word) {
            for (std::size_t byte = 0; byte < 8; ++byte) {
                std::memcpy(open_.data() + place + 8 * byte,
                            kBytesOfBits[*word >> 8 * byte & 0xff].data(), 8);
            }
        }
    }
    std::fill(open_.begin() + static_cast<std::ptrdiff_t>(n), open_.begin() + size_,
              std::uint8_t{0});
    const Index first_full = std::max(bounds.first_event, bounds.begin + keys_.longest_offset_);
    const Index closed = std::clamp<Index>(first_full - bounds.first, 0, size_);
    std::fill_n(open_.begin(), closed, std::uint8_t{0});
}

// Events have no stop token among the tokens back to the longest offset, but for the last of them;
// a stop token outside the vocabulary is no event.
void ContextBlock::close_after_stops(const BlockBounds& bounds) {
    const Index stop = keys_.vocabulary_.stop_token;
    if (stop < 0) return;
    const std::size_t n = kMaxOffset + static_cast<std::size_t>(size_);
    const std::uint32_t stop_token = static_cast<std::uint32_t>(stop);
    std::uint32_t any = 0;
    for (std::size_t k = 0; k < n; ++k) {
        is_stop_[k] = tokens_[k] == stop_token;
        any |= is_stop_[k];
    }
    // Before the beginning there is no stop token, though the tokens there are set to 0.
    const Index before =
        std::clamp<Index>(bounds.begin - (bounds.first - kMaxOffset), 0, static_cast<Index>(n));
    std::fill_n(is_stop_.begin(), before, std::uint8_t{0});
    if (any == 0) return;
    const bool is_event = stop < keys_.vocabulary_.size;
    for (std::size_t k = 0; k < n; ++k) {
        if (is_stop_[k] == 0) continue;
        const Index place = static_cast<Index>(k) - kMaxOffset;
        const Index from = is_event ? place + 1 : place;
        const Index to = place + std::max<Index>(keys_.longest_offset_, 1);
        for (Index p = std::max<Index>(from, 0); p < std::min(to, size_); ++p) {
            open_[static_cast<std::size_t>(p)] = 0;
        }
    }
}

void ContextBlock::read_continuations(const BlockBounds& bounds) {
    const Index offset = bounds.continuation;
    if (offset == 0) return;
    const std::uint32_t none = static_cast<std::uint32_t>(keys_.vocabulary_.n_symbols());
    const std::uint32_t* from = tokens_.data() + (kMaxOffset - offset);
    std::copy_n(from, size_, continuations_.begin());
    const Index cut = std::clamp<Index>(bounds.begin + offset - bounds.first, 0, size_);
    std::fill_n(continuations_.begin(), cut, none);
    if (keys_.vocabulary_.stop_token < 0) return;
    const std::size_t n = kMaxOffset + static_cast<std::size_t>(size_);
    for (std::size_t k = 0; k < n; ++k) {
        if (is_stop_[k] == 0) continue;
        const Index place = static_cast<Index>(k) - kMaxOffset;
        for (Index p = std::max<Index>(place + 1, 0); p < std::min(place + offset, size_); ++p) {
            continuations_[static_cast<std::size_t>(p)] = none;
        }
    }
}

void ContextBlock::select() {
    std::size_t n = 0;
    for (std::uint32_t place = 0; place < static_cast<std::uint32_t>(size_); ++place) {
        places_[n] = place;
        n += open_[place];
    }
    n_places_ = n;
}

template <class Token>
void ContextBlock::read(std::span<const Token> tokens, const BlockBounds& bounds,
                        std::span<const std::uint64_t> candidates) {
    load(tokens, bounds);
    open_candidates(bounds, candidates);
    close_after_stops(bounds);
    select();
    if (n_places_ == 0) return;
    read_continuations(bounds);
    hash_(*this);
}

void ContextBlock::keep_hashes(std::uint64_t lowest, std::uint64_t highest) {
    if (lowest == 0 && highest == ~std::uint64_t{0}) return;
    std::size_t n = 0;
    for (std::size_t k = 0; k < n_places_; ++k) {
        const std::uint32_t place = places_[k];
        places_[n] = place;
        n += hashes_[place] - lowest <= highest - lowest;
    }
    n_places_ = n;
}

template void ContextBlock::read(std::span<const std::uint16_t>, const BlockBounds&,
                                 std::span<const std::uint64_t>);
template void ContextBlock::read(std::span<const std::uint32_t>, const BlockBounds&,
                                 std::span<const std::uint64_t>);

}  // namespace ngramstat
