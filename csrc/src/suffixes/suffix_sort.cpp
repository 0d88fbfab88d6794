#include "ngramstat/suffixes/suffix_sort.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

// The first word of an entry holds, from the lowest bit on: its position in a cell of the stream,
// symbols entry_symbols .. 1, and the low bits of the first token. The second word, if there is
// one, holds the symbols that follow (the tail).
constexpr int kCellBits = 18;
constexpr Index kCell = Index{1} << kCellBits;
constexpr std::uint64_t kCellMask = kCell - 1;
constexpr int kKeyBits = 64 - kCellBits;
// Each block is a stream of its own while entries are written.
constexpr Index kMaxBlocks = 1024;
// Keys sorted at a time: together with a buffer of the same size they take half of a second-level
// cache.
constexpr Index kLeaf = Index{1} << 15;
static_assert(kLeaf <= kCell, "a key and the place in its leaf must fit 64 bits");
// A slice that is larger than a leaf is first split by this number of leading bits.
constexpr int kSplitBits = 9;
constexpr std::uint64_t kSplitMask = (std::uint64_t{1} << kSplitBits) - 1;
// Positions whose tokens are prefetched, and positions read between two checks of resident memory.
constexpr Index kAhead = 96;
constexpr Index kBetweenReleases = 512;

int row_bits_of(TokenRange range) {
    int bits = 0;
    while ((range.size() - 1) >> bits >= kMaxBlocks) ++bits;
    return bits;
}

// Reads symbols of suffixes and packs them into keys, most significant first; 0 is "ended".
template <class Token>
class SymbolReader {
  public:
    SymbolReader(std::span<const Token> tokens, const SuffixOrder& order, int bits)
        : tokens_(tokens.data()),
          size_(static_cast<Index>(tokens.size())),
          order_(order),
          bits_(bits),
          per_key_(64 / bits) {}

    int depth() const { return order_.depth; }
    // Symbols of a key of 64 bits.
    int per_key() const { return per_key_; }

    const Token* address(Index i, int from) const {
        const Index at = order_.backward ? i - from : i + from;
        return tokens_ + std::clamp<Index>(at, 0, size_ - 1);
    }

    // Symbols [from, from + n) of the suffix at i, up to the depth. The stop token ends a sequence
    // after itself, except as symbol 0. Symbols 1 .. from - 1 must not include it.
    std::uint64_t key(Index i, int from, int n) const {
        const int needed = std::min(n, order_.depth - from);
        const Index first = order_.backward ? i - from : i + from;
        const Index left =
            order_.backward ? first + 1 : size_ - first;  // symbols left in the stream
        const Index step = order_.backward ? -1 : 1;
        std::uint64_t packed = 0;
        if (left >= needed && order_.stop_token < 0) [[likely]] {
            for (int read = 0; read < needed; ++read) {
                packed = packed << bits_ |
                         (static_cast<std::uint64_t>(tokens_[first + step * read]) + 1);
            }
            return padded(packed, n - needed);
        }
        const int available = static_cast<int>(std::clamp<Index>(left, 0, needed));
        int read = 0;
        while (read < available) {
            const Index token = static_cast<Index>(tokens_[first + step * read]);
            packed = packed << bits_ | static_cast<std::uint64_t>(token + 1);
            ++read;
            if (token == order_.stop_token) break;
        }
        return padded(packed, n - read);
    }

    // The same where symbols 1 .. from - 1 may include the stop token or the stream's end.
    std::uint64_t tail(Index i, int from, int n) const {
        if (order_.stop_token >= 0) {
            for (int m = 1; m < from; ++m) {
                const Index at = order_.backward ? i - m : i + m;
                if (at < 0 || at >= size_) return 0;
                if (static_cast<Index>(tokens_[at]) == order_.stop_token) return 0;
            }
        }
        return key(i, from, n);
    }

    // Leading symbols that two different keys of n symbols share.
    int common(std::uint64_t a, std::uint64_t b, int n) const {
        return n - 1 - (63 - std::countl_zero(a ^ b)) / bits_;
    }

    // Number of symbols in a key of n before its sequence ends.
    int symbols(std::uint64_t key, int n) const {
        return key == 0 ? 0 : n - std::countr_zero(key) / bits_;
    }

    // Whether sequences that share this key may differ after it.
    bool may_continue(std::uint64_t key, int symbols_so_far) const {
        const std::uint64_t last = key & mask();
        return symbols_so_far < order_.depth && last != 0 &&
               static_cast<Index>(last) - 1 != order_.stop_token;
    }

  private:
    // Shifts in two steps, because a shift by all 64 bits is undefined.
    std::uint64_t padded(std::uint64_t packed, int missing) const {
        return missing == 0 ? packed : packed << (missing * bits_ - 1) << 1;
    }
    std::uint64_t mask() const { return (std::uint64_t{1} << bits_) - 1; }

    const Token* tokens_;
    Index size_;
    SuffixOrder order_;
    int bits_;
    int per_key_;
};

// Replaces each count by the sum of those before it: where its items begin.
template <class Integer>
void exclusive_sums(std::span<Integer> counts) {
    Integer total = 0;
    for (Integer& count : counts) {
        const Integer own = count;
        count = total;
        total += own;
    }
}

// The highest bit in which keys differ; -1: none.
class VaryingBits {
  public:
    void add(std::uint64_t key) {
        some_ |= key;
        all_ &= key;
    }
    int highest() const { return 63 - std::countl_zero(some_ ^ all_); }

  private:
    std::uint64_t some_ = 0, all_ = ~std::uint64_t{0};
};

// Sorts by the bits from `low` up to `high`. Returns where the result is: in either buffer.
std::uint64_t* radix_sort(std::uint64_t* from, std::uint64_t* to, std::size_t n, int low,
                          int high) {
    constexpr int kMaxDigits = 8;
    constexpr int kMaxBits = 11;
    // Wider histograms save passes, but clearing them costs more than that for few keys.
    const int widest = n < 4096 ? 8 : kMaxBits;
    const int digits = (high - low + widest) / widest;
    const int bits = (high - low + digits) / digits;
    const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
    std::array<std::uint32_t, kMaxDigits << kMaxBits> histogram;
    std::fill_n(histogram.begin(), static_cast<std::size_t>(digits) << bits, 0);
    for (std::size_t i = 0; i < n; ++i) {
        std::uint64_t rest = from[i] >> low;
        for (int d = 0; d < digits; ++d, rest >>= bits) {
            ++histogram[(static_cast<std::size_t>(d) << bits) + (rest & mask)];
        }
    }
    for (int d = 0; d < digits; ++d) {
        const std::span<std::uint32_t> counts(
            histogram.data() + (static_cast<std::size_t>(d) << bits), std::size_t{1} << bits);
        const int shift = low + d * bits;
        if (counts[from[0] >> shift & mask] == n) continue;  // one value: nothing to move
        exclusive_sums(counts);
        for (std::size_t i = 0; i < n; ++i) to[counts[from[i] >> shift & mask]++] = from[i];
        std::swap(from, to);
    }
    return from;
}

// The first n elements of a scratch vector, which is enlarged if necessary; old values are lost.
template <class T, class Allocator>
std::span<T> scratch_of(std::vector<T, Allocator>& values, std::size_t n) {
    if (values.size() < n) {
        // Freed first, so that the old and the new memory are never held together.
        std::vector<T, Allocator>().swap(values);
        values.resize(n);
    }
    return {values.data(), n};
}

// Stable sort by key (positions ascend already), by the method that is fastest for the size.
template <class Keyed>
void sort_keyed(std::span<Keyed> entries, std::vector<Keyed>& buffer) {
    if (entries.size() == 2) {  // most ties
        if (entries[1].key < entries[0].key) std::swap(entries[0], entries[1]);
        return;
    }
    constexpr std::size_t kInsertion = 24;
    constexpr std::size_t kComparison = 512;
    if (entries.size() <= kInsertion) {
        for (std::size_t i = 1; i < entries.size(); ++i) {
            const Keyed entry = entries[i];
            std::size_t at = i;
            for (; at > 0 && entries[at - 1].key > entry.key; --at) entries[at] = entries[at - 1];
            entries[at] = entry;
        }
        return;
    }
    if (entries.size() <= kComparison) {
        std::stable_sort(entries.begin(), entries.end(),
                         [](const Keyed& a, const Keyed& b) { return a.key < b.key; });
        return;
    }
    std::span<Keyed> from = entries, to = scratch_of(buffer, entries.size());
    for (int shift = 0; shift < 64; shift += 8) {
        std::array<std::size_t, 256> counts{};
        for (const Keyed& entry : from) ++counts[entry.key >> shift & 255];
        if (counts[from[0].key >> shift & 255] == from.size()) continue;
        exclusive_sums(std::span<std::size_t>(counts));
        for (const Keyed& entry : from) to[counts[entry.key >> shift & 255]++] = entry;
        std::swap(from, to);
    }
    if (from.data() != entries.data()) std::copy(from.begin(), from.end(), entries.begin());
}

// Reads keys of symbols from the stream for one tie after the other. Their tokens lie anywhere in
// the stream, so those of the next ties are prefetched.
template <class Token, class Position>
class TieReader {
  public:
    using Tie = typename SuffixScratch<Position>::Tie;
    using Keyed = typename SuffixScratch<Position>::Keyed;

    TieReader(const SymbolReader<Token>& reader, std::span<const Position> positions,
              std::span<const Tie> ties, int from)
        : reader_(reader), positions_(positions), ties_(ties), from_(from) {}

    // Before the positions of the next tie are read by other means.
    void pass(const Tie& tie) {
        const Index n = static_cast<Index>(tie.last - tie.first);
        release_pages(n);
        prefetch_ties();
        prefetched_ -= n;
    }

    // Fills `group` with the key of symbols [from, from + per_key) and the position of each.
    void read(const Tie& tie, std::span<Keyed> group) {
        const std::size_t n = group.size();
        pass(tie);
        for (std::size_t k = 0; k < n; ++k) {
            if (k + kAhead < n) prefetch_position(positions_[tie.first + k + kAhead]);
            const Position position = positions_[tie.first + k];
            group[k] = {reader_.key(static_cast<Index>(position), from_, reader_.per_key()),
                        position};
        }
    }

  private:
    // Every position may bring in a page of its own.
    void release_pages(Index n) {
        read_ += n;
        if (read_ < kBetweenReleases) return;
        release_pages_if_needed();
        read_ = 0;
    }
    void prefetch_ties() {
        while (next_ < ties_.size() && prefetched_ < kAhead) {
            const Tie& tie = ties_[next_++];
            prefetched_ += static_cast<Index>(tie.last - tie.first);
            const std::uint32_t last =
                std::min<std::uint32_t>(tie.last, tie.first + static_cast<std::uint32_t>(kAhead));
            for (std::uint32_t k = tie.first; k < last; ++k) prefetch_position(positions_[k]);
        }
    }
    void prefetch_position(Position position) const {
        prefetch(reader_.address(static_cast<Index>(position), from_));
    }

    const SymbolReader<Token>& reader_;
    std::span<const Position> positions_;
    std::span<const Tie> ties_;
    int from_;
    std::size_t next_ = 0;  // first tie that is not prefetched
    Index prefetched_ = 0;  // positions prefetched and not yet read
    Index read_ = 0;        // positions read since the last check of resident memory
};

// Sorts two suffixes that share their first `from` symbols, and sets what they share. Their tokens
// are read while they are in the cache.
template <class Token, class Position>
void order_pair(const SymbolReader<Token>& reader, std::span<Position> pair, std::uint8_t& lcp,
                int from) {
    const int per_key = reader.per_key();
    for (;; from += per_key) {
        const std::uint64_t a = reader.key(static_cast<Index>(pair[0]), from, per_key),
                            b = reader.key(static_cast<Index>(pair[1]), from, per_key);
        if (a != b) {
            if (b < a) std::swap(pair[0], pair[1]);
            lcp = static_cast<std::uint8_t>(from + reader.common(a, b, per_key));
            return;
        }
        if (!reader.may_continue(a, from + per_key)) {
            lcp = static_cast<std::uint8_t>(
                std::min(reader.depth(), from + reader.symbols(a, per_key)));
            return;
        }
    }
}

// After the suffixes of a tie have been sorted by a key of symbols [from, from + per_key): fills
// their common prefix lengths, and appends the ties that are left. key(k) is that of the k-th.
template <class Token, class Key, class Tie>
void compare_neighbours(const SymbolReader<Token>& reader, Key&& key, const Tie& tie, int from,
                        int per_key, std::span<std::uint8_t> lcp, std::vector<Tie>& still_tied) {
    const std::uint32_t n = tie.last - tie.first;
    std::uint32_t start = 0;  // of the run of equal keys
    std::uint64_t before = key(0);
    for (std::uint32_t k = 1; k <= n; ++k) {
        const std::uint64_t here = k < n ? key(k) : 0;
        if (k < n && here == before) {
            lcp[tie.first + k] = static_cast<std::uint8_t>(
                std::min(reader.depth(), from + reader.symbols(here, per_key)));
            continue;
        }
        if (k - start > 1 && reader.may_continue(before, from + per_key)) {
            still_tied.push_back({tie.first + start, tie.first + k});
        }
        if (k < n) {
            lcp[tie.first + k] =
                static_cast<std::uint8_t>(from + reader.common(here, before, per_key));
        }
        start = k;
        before = here;
    }
}

// A tie of more positions is sorted in place, by reading its keys several times: a stream that
// repeats itself would otherwise take several times the memory of its positions.
constexpr std::size_t kLargeTie = std::size_t{1} << 20;

// Sorts positions by key and then by position. Few different keys take few passes: each one sets
// apart the positions that have the key of the pivot.
template <class Position, class Key>
void sort_in_place(std::span<Position> positions, Key&& key, int passes) {
    constexpr std::size_t kFew = 64;
    while (positions.size() > kFew && passes-- > 0) {
        const std::size_t n = positions.size();
        std::array<std::uint64_t, 5> sample{};
        for (std::size_t k = 0; k < sample.size(); ++k) {
            sample[k] = key(positions[k * (n - 1) / (sample.size() - 1)]);
        }
        std::sort(sample.begin(), sample.end());
        const std::uint64_t pivot = sample[sample.size() / 2];
        std::size_t below = 0, at = 0, above = n;
        while (at < above) {
            if (at % static_cast<std::size_t>(kBetweenReleases) == 0) release_pages_if_needed();
            const std::uint64_t here = key(positions[at]);
            if (here < pivot) {
                std::swap(positions[below++], positions[at++]);
            } else if (here > pivot) {
                std::swap(positions[at], positions[--above]);
            } else {
                ++at;
            }
        }
        const auto same = positions.subspan(below, above - below);
        if (!std::is_sorted(same.begin(), same.end())) std::sort(same.begin(), same.end());
        const auto lower = positions.first(below), upper = positions.subspan(above);
        sort_in_place(lower.size() < upper.size() ? lower : upper, key, passes);
        positions = lower.size() < upper.size() ? upper : lower;
    }
    std::sort(positions.begin(), positions.end(), [&](Position i, Position j) {
        const std::uint64_t a = key(i), b = key(j);
        return a != b ? a < b : i < j;
    });
}

template <class Token, class Position>
void sort_large_tie(const SymbolReader<Token>& reader, std::span<Position> positions, int from) {
    const auto key = [&](Position i) {
        return reader.key(static_cast<Index>(i), from, reader.per_key());
    };
    sort_in_place(positions, key, 2 * bit_width(positions.size()));
}

template <class Token, class Position>
void fill_suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                       std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads) {
    const Segment all{0, static_cast<Index>(tokens.size())};
    const SuffixBlocks<Token, Position> blocks(tokens, vocab_size, order, {0, vocab_size},
                                               {&all, 1}, threads);
    parallel_with(
        blocks.n_blocks(), threads, [] { return SuffixScratch<Position>(); },
        [&](Index block, SuffixScratch<Position>& scratch) {
            const auto sorted = blocks.sort(block, scratch);
            const Index begin = blocks.offsets()[block];
            std::copy(sorted.positions.begin(), sorted.positions.end(), suffixes.begin() + begin);
            std::copy(sorted.lcp.begin(), sorted.lcp.end(), lcp.begin() + begin);
        });
}

}  // namespace

Index tokens_of_block(Index n_tokens) { return Index{1} << row_bits_of({0, n_tokens}); }

SuffixPacking::SuffixPacking(Index vocab_size, int depth) {
    require(depth >= 1 && depth <= kMaxDepth, "depth must lie in 1 .. 255");
    require(vocab_size > 0, "vocab_size must be positive");
    symbol_bits = bit_width(static_cast<std::uint64_t>(vocab_size));
    const int max_in_entry = (kKeyBits - row_bits_of({0, vocab_size})) / symbol_bits;
    entry_symbols = std::min(depth - 1, max_in_entry);
    const int left = depth - 1 - entry_symbols;
    tail_symbols = left <= 64 / symbol_bits ? left : 0;
}

template <class Token, class Position>
SuffixBlocks<Token, Position>::SuffixBlocks(std::span<const Token> tokens, Index vocab_size,
                                            const SuffixOrder& order, TokenRange range,
                                            std::span<const Segment> segments, int threads,
                                            bool with_positions, std::uint64_t residues)
    : tokens_(tokens),
      order_{order.depth - static_cast<int>(order.prefix.size()), order.backward, order.stop_token},
      prefix_(order.prefix.begin(), order.prefix.end()),
      range_(range),
      vocab_size_(vocab_size),
      packing_(vocab_size, order_.depth),
      words_(packing_.tail_symbols > 0 ? 2 : 1),
      with_positions_(with_positions || packing_.reads_tokens(order_.depth)),
      residues_(residues) {
    check_range(range, vocab_size);
    require(prefix_.empty() || (order.backward && ~residues == 0),
            "a prefix is for all positions of sequences that are read backward");
    require(prefix_.empty() || order.stop_token < range.first || order.stop_token >= range.last,
            "nothing follows a prefix and the stop token");
    const Index n = static_cast<Index>(tokens.size());
    require(n == 0 || static_cast<std::uint64_t>(n - 1) <= std::numeric_limits<Position>::max(),
            "position type too narrow for this stream");
    Index before = 0;
    for (const Segment& segment : segments) {
        require(before <= segment.first && segment.first <= segment.last && segment.last <= n,
                "segments must be ascending, disjoint and inside the stream");
        before = segment.last;
    }
    row_bits_ = row_bits_of(range);
    n_blocks_ = range.size() == 0 ? 0 : ((range.size() - 1) >> row_bits_) + 1;
    n_cells_ = (n + kCell - 1) >> kCellBits;
    const Index cells = std::max<Index>(n_cells_, 1);
    const Index n_chunks =
        static_cast<Index>(chunk_bounds(n, 4 * Index{std::max(threads, 1)}).size()) - 1;
    for (Index c = 0; c <= std::min(n_chunks, cells); ++c) {
        chunks_.push_back(n_cells_ * c / std::min(n_chunks, cells));
    }
    count_entries(segments, threads);
    write_entries(segments, threads);
}

template <class Token, class Position>
template <class Visit>
void SuffixBlocks<Token, Position>::for_positions(std::span<const Segment> segments, Index first,
                                                  Index last, Visit&& visit) const {
    // Read backward, the symbol after the prefix stands before it.
    const Index shift = std::ssize(prefix_);
    auto segment = std::upper_bound(segments.begin(), segments.end(), first + shift,
                                    [](Index i, const Segment& s) { return i < s.last; });
    for (; segment != segments.end() && segment->first < last + shift; ++segment) {
        const Index begin = std::max(first, segment->first - shift),
                    end = std::min(last, segment->last - shift);
        if (shift > 0) {
            for (Index i = begin; i < end; ++i) {
                if (begins_with_prefix(i + shift)) visit(i, i + 1);
            }
            continue;
        }
        if (~residues_ == 0) {
            visit(begin, end);
            continue;
        }
        for (Index i = begin; i < end; ++i) {
            if (residues_ >> (i & 63) & 1) visit(i, i + 1);
        }
    }
}

// Whether the suffix at a position begins with the prefix and goes on inside the range.
template <class Token, class Position>
bool SuffixBlocks<Token, Position>::begins_with_prefix(Index position) const {
    const Token* at = tokens_.data() + position;
    for (const Index symbol : prefix_) {
        if (static_cast<Index>(*at) != symbol) return false;
        --at;
    }
    const Index next = static_cast<Index>(*at);
    return next >= range_.first && next < range_.last;
}

// Makes positions and common prefixes those of whole suffixes.
template <class Token, class Position>
void SuffixBlocks<Token, Position>::restore_prefix(const Slice& slice) const {
    const int shift = this->shift();
    if (shift == 0) return;
    for (std::uint8_t& shared : slice.lcp) shared = static_cast<std::uint8_t>(shared + shift);
    for (Position& position : slice.positions) position += static_cast<Position>(shift);
}

template <class Token, class Position>
void SuffixBlocks<Token, Position>::count_entries(std::span<const Segment> segments, int threads) {
    const Index n = static_cast<Index>(tokens_.size());
    const Index n_chunks = static_cast<Index>(chunks_.size()) - 1;
    std::vector<std::vector<Index>> sizes(static_cast<std::size_t>(n_chunks));
    parallel_for(n_chunks, threads, [&](Index c) {
        auto& block_sizes = sizes[c];
        block_sizes.assign(static_cast<std::size_t>(n_blocks_), 0);
        const Index first = chunks_[c] << kCellBits,
                    last = std::min(n, chunks_[c + 1] << kCellBits);
        // Tokens outside all segments are checked too: suffixes of the segments contain them.
        for (Index i = first; i < last; ++i) {
            if (static_cast<Index>(tokens_[i]) >= vocab_size_) {
                throw_token_out_of_range(tokens_[i], i, vocab_size_);
            }
        }
        for_positions(segments, first, last, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                const Index token = static_cast<Index>(tokens_[i]);
                if (token >= range_.first && token < range_.last) {
                    ++block_sizes[(token - range_.first) >> row_bits_];
                }
            }
        });
    });
    std::size_t total = 0;
    offsets_.assign(1, 0);
    chunk_end_.resize(static_cast<std::size_t>(n_chunks * n_blocks_));
    for (Index b = 0; b < n_blocks_; ++b) {
        Index of_block = 0;
        for (Index c = 0; c < n_chunks; ++c) {
            total = EntryStreams::begin_after(total);
            chunk_end_[c * n_blocks_ + b] = total;  // the begin, until write_entries moves it on
            total += static_cast<std::size_t>(sizes[c][b]) * words_;
            of_block += sizes[c][b];
        }
        offsets_.push_back(offsets_.back() + of_block);
    }
    entries_.resize(EntryStreams::begin_after(total));
}

template <class Token, class Position>
void SuffixBlocks<Token, Position>::write_entries(std::span<const Segment> segments, int threads) {
    const Index n = static_cast<Index>(tokens_.size());
    const Index n_chunks = static_cast<Index>(chunks_.size()) - 1;
    const std::uint64_t row_mask = (std::uint64_t{1} << row_bits_) - 1;
    const int key_shift = packing_.entry_symbols * packing_.symbol_bits;
    const bool has_tails = packing_.tail_symbols > 0;
    cell_begin_.resize(static_cast<std::size_t>(n_cells_ * n_blocks_));
    parallel_for(n_chunks, threads, [&](Index c) {
        const auto begin = chunk_end_.begin() + c * n_blocks_;
        EntryStreams streams(entries_.data(), {begin, begin + n_blocks_});
        for (Index cell = chunks_[c]; cell < chunks_[c + 1]; ++cell) {
            std::copy(streams.next().begin(), streams.next().end(),
                      cell_begin_.begin() + cell * n_blocks_);
            const Index first = cell << kCellBits, last = std::min(n, first + kCell);
            const auto put = [&](Index i, std::uint64_t symbols, std::uint64_t tail) {
                const Index token = static_cast<Index>(tokens_[i]);
                if (token < range_.first || token >= range_.last) return;
                const std::uint64_t row = static_cast<std::uint64_t>(token - range_.first);
                const std::uint64_t key = (row & row_mask) << key_shift | symbols;
                const auto stream = static_cast<std::size_t>(row >> row_bits_);
                streams.put(stream, key << kCellBits | static_cast<std::uint64_t>(i - first));
                if (has_tails) streams.put(stream, tail);
            };
            for_positions(segments, first, last,
                          [&](Index from, Index to) { pack_symbols(from, to, put); });
        }
        std::copy(streams.next().begin(), streams.next().end(), begin);
        streams.finish();
    });
}

// Calls put(i, symbols 1 .. entry_symbols, tail) for the positions i of [first, last).
template <class Token, class Position>
template <class Put>
void SuffixBlocks<Token, Position>::pack_symbols(Index first, Index last, Put&& put) const {
    const int bits = packing_.symbol_bits, in_entry = packing_.entry_symbols,
              in_tail = packing_.tail_symbols;
    const SymbolReader<Token> reader(tokens_, order_, bits);
    const auto tail_at = [&](Index i) {
        return in_tail == 0 ? 0 : reader.tail(i, 1 + in_entry, in_tail);
    };
    if (in_entry == 0) {
        for (Index i = first; i < last; ++i) put(i, reader.key(i, 1, in_entry), tail_at(i));
        return;
    }
    if (!order_.backward) return pack_forward(first, last, reader, put, tail_at);
    // Read backward, the symbols of the next position are these and one more: a sliding window.
    const int newest = (in_entry - 1) * bits, newest_of_tail = (in_tail - 1) * bits;
    std::uint64_t symbols = reader.key(first, 1, in_entry), tail = tail_at(first);
    for (Index i = first; i < last; ++i) {
        put(i, symbols, tail);
        const Index token = static_cast<Index>(tokens_[i]);
        const bool ends = token == order_.stop_token;
        if (in_tail > 0) {
            const std::uint64_t oldest = symbols & symbol_mask();  // moves on into the tail
            tail = ends ? 0 : oldest << newest_of_tail | tail >> bits;
        }
        const std::uint64_t older = ends ? 0 : symbols >> bits;
        symbols = static_cast<std::uint64_t>(token + 1) << newest | older;
    }
}

// The same where sequences are read forward: the symbols of the next position are these without
// the first, and one more.
template <class Token, class Position>
template <class Reader, class Put, class Tail>
void SuffixBlocks<Token, Position>::pack_forward(Index first, Index last, const Reader& reader,
                                                 Put&& put, Tail&& tail_at) const {
    const int bits = packing_.symbol_bits, in_entry = packing_.entry_symbols;
    if (last - first < 2 * in_entry || order_.stop_token >= 0) {
        for (Index i = first; i < last; ++i) put(i, reader.key(i, 1, in_entry), tail_at(i));
        return;
    }
    const std::uint64_t mask = (std::uint64_t{1} << (in_entry * bits)) - 1;
    const Index whole = std::min(last, static_cast<Index>(tokens_.size()) - in_entry);
    std::uint64_t symbols = reader.key(first, 0, in_entry);
    for (Index i = first; i < whole; ++i) {
        const auto newest = static_cast<std::uint64_t>(tokens_[i + in_entry]) + 1;
        symbols = (symbols << bits | newest) & mask;
        put(i, symbols, tail_at(i));
    }
    for (Index i = std::max(first, whole); i < last; ++i) {
        put(i, reader.key(i, 1, in_entry), tail_at(i));
    }
}

// Calls visit(entry, key, position) for the entries of a block in stream order; the entry is a
// place in entries_.
template <class Token, class Position>
template <class Visit>
void SuffixBlocks<Token, Position>::for_entries(Index block, Visit&& visit) const {
    Index chunk = 0;
    for (Index cell = 0; cell < n_cells_; ++cell) {
        while (chunks_[chunk + 1] <= cell) ++chunk;
        const bool last = cell + 1 == chunks_[chunk + 1];
        const std::size_t end = last ? chunk_end_[chunk * n_blocks_ + block]
                                     : cell_begin_[(cell + 1) * n_blocks_ + block];
        const Index first = cell << kCellBits;
        for (std::size_t k = cell_begin_[cell * n_blocks_ + block]; k < end; k += words_) {
            visit(k, entries_[k] >> kCellBits,
                  static_cast<Position>(first + static_cast<Index>(entries_[k] & kCellMask)));
        }
    }
}

template <class Token, class Position>
SortedSuffixes<Position> SuffixBlocks<Token, Position>::sort(
    Index block, SuffixScratch<Position>& scratch) const {
    const std::size_t n = static_cast<std::size_t>(size(block));
    const bool has_tails = packing_.tail_symbols > 0;
    const Slice block_part{
        scratch_of(scratch.keys, n), scratch_of(scratch.positions, with_positions_ ? n : 0),
        scratch_of(scratch.lcp, n), scratch_of(scratch.tails, has_tails ? n : 0)};
    const SortedSuffixes<Position> sorted{block_part.positions, block_part.lcp, block_part.keys,
                                          block_part.tails, range_.first + (block << row_bits_)};
    if (n == 0) return sorted;

    const auto for_block = [&](auto&& visit) { for_entries(block, visit); };
    const auto place = [&](std::size_t k, std::size_t entry, std::uint64_t key, Position position) {
        block_part.keys[k] = key;
        if (with_positions_) block_part.positions[k] = position;
        if (has_tails) block_part.tails[k] = entries_[entry + 1];
    };
    std::uint64_t before = ~std::uint64_t{0};
    if (static_cast<Index>(n) <= kLeaf) {
        std::size_t k = 0;
        for_block([&](std::size_t entry, std::uint64_t key, Position position) {
            place(k++, entry, key, position);
        });
        const int key_bits = row_bits_ + packing_.entry_symbols * packing_.symbol_bits;
        sort_slice(block_part, before, key_bits, scratch);
    } else {
        // Split while the entries are read, which saves a pass over all of them.
        VaryingBits varying;
        for_block([&](std::size_t, std::uint64_t key, Position) { varying.add(key); });
        const Split split = split_by_leading_bits(varying.highest() + 1, for_block, place);
        sort_split(block_part, before, split, scratch);
    }
    block_part.lcp[0] = 0;
    restore_prefix(block_part);
    return sorted;
}

template <class Token, class Position>
Index SuffixBlocks<Token, Position>::symbol_from_stream(Index position, int m) const {
    const SymbolReader<Token> reader(tokens_, order_, packing_.symbol_bits);
    return static_cast<Index>(reader.tail(position - shift(), m, 1)) - 1;
}

// One pass of a counting sort, by the kSplitBits highest of the lowest key_bits bits of the keys.
// Above these bits the keys must be equal. The order of entries with equal bits does not change.
//   for_entries(visit)   calls visit(entry, key, position) for each; called twice
//   place(k, entry, key, position)  stores an entry in place k
template <class Token, class Position>
template <class ForEntries, class Place>
auto SuffixBlocks<Token, Position>::split_by_leading_bits(int key_bits, ForEntries&& for_entries,
                                                          Place&& place) -> Split {
    const int shift = std::max(key_bits - kSplitBits, 0);
    const std::uint64_t mask = std::min(kSplitMask, (std::uint64_t{1} << key_bits) - 1);
    Split split{shift, std::vector<std::size_t>(kSplitMask + 2, 0)};
    std::array<std::size_t, kSplitMask + 2> next{};
    for_entries([&](std::size_t, std::uint64_t key, Position) { ++next[key >> shift & mask]; });
    exclusive_sums(std::span<std::size_t>(next));
    std::copy(next.begin(), next.end(), split.bounds.begin());
    for_entries([&](std::size_t entry, std::uint64_t key, Position position) {
        place(next[key >> shift & mask]++, entry, key, position);
    });
    return split;
}

// Sorts each piece of a slice that has been split; keys of one piece differ in lower bits alone.
template <class Token, class Position>
void SuffixBlocks<Token, Position>::sort_split(const Slice& slice, std::uint64_t& before,
                                               const Split& split,
                                               SuffixScratch<Position>& scratch) const {
    const auto& bounds = split.bounds;
    for (std::size_t d = 0; d + 1 < bounds.size(); ++d) {
        sort_slice(slice.of(bounds[d], bounds[d + 1] - bounds[d]), before, split.lower_bits,
                   scratch);
    }
}

// Sorts a slice whose keys differ in their lowest key_bits bits alone. `before` is the key before
// the slice, and becomes its last.
template <class Token, class Position>
void SuffixBlocks<Token, Position>::sort_slice(const Slice& slice, std::uint64_t& before,
                                               int key_bits,
                                               SuffixScratch<Position>& scratch) const {
    const std::size_t n = slice.keys.size();
    if (n == 0) return;
    if (static_cast<Index>(n) <= kLeaf || key_bits == 0) {
        release_pages_if_needed();
        return sort_leaf(slice, before, key_bits, scratch);
    }
    const auto moved_keys = scratch_of(scratch.moved_keys, n);
    const auto moved_positions = scratch_of(scratch.moved_positions, slice.positions.size());
    const auto moved_tails = scratch_of(scratch.moved_tails, slice.tails.size());
    const auto for_part = [&](auto&& visit) {
        for (std::size_t k = 0; k < n; ++k) visit(k, slice.keys[k], Position{});
    };
    const auto move = [&](std::size_t to, std::size_t k, std::uint64_t key, Position) {
        moved_keys[to] = key;
        if (!moved_positions.empty()) moved_positions[to] = slice.positions[k];
        if (!moved_tails.empty()) moved_tails[to] = slice.tails[k];
    };
    const Split split = split_by_leading_bits(key_bits, for_part, move);
    std::copy(moved_keys.begin(), moved_keys.end(), slice.keys.begin());
    std::copy(moved_positions.begin(), moved_positions.end(), slice.positions.begin());
    std::copy(moved_tails.begin(), moved_tails.end(), slice.tails.begin());
    sort_split(slice, before, split, scratch);
}

// Sorts a slice that fits the cache, first by its keys and then, where these are equal, by what
// follows (break_ties).
template <class Token, class Position>
void SuffixBlocks<Token, Position>::sort_leaf(const Slice& slice, std::uint64_t& before,
                                              int key_bits,
                                              SuffixScratch<Position>& scratch) const {
    const auto& [keys, positions, lcp, tails] = slice;
    const int bits = packing_.symbol_bits, in_entry = packing_.entry_symbols;
    const SymbolReader<Token> reader(tokens_, order_, bits);
    const std::size_t n = keys.size();
    const int known = 1 + in_entry;
    auto& ties = scratch.ties;
    ties.clear();
    // Of equal keys: how many symbols they share, and a tie where more symbols follow.
    const std::uint64_t symbols_mask = (std::uint64_t{1} << (in_entry * bits)) - 1;
    const auto shared = [&](std::uint64_t key) {
        return static_cast<std::uint8_t>(1 + reader.symbols(key & symbols_mask, in_entry));
    };
    const auto add_tie = [&](std::size_t first, std::size_t last, std::uint64_t key) {
        const bool more = in_entry == 0 ? order_.depth > 1 : reader.may_continue(key, known);
        if (more) {
            ties.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last)});
        }
    };
    // Symbols shared by keys whose highest different bit is this one.
    std::array<std::uint8_t, 64> common{};
    for (int bit = 0; bit < in_entry * bits; ++bit) {
        common[bit] = static_cast<std::uint8_t>(in_entry - bit / bits);
    }
    const std::uint64_t previous = before;
    if (key_bits == 0) {  // all keys are equal: one tie, of any size
        std::fill(lcp.begin(), lcp.end(), shared(keys[0]));
        if (n > 1) add_tie(0, n, keys[0]);
        before = keys[0];
        lcp[0] = common[63 - std::countl_zero(previous ^ before)];
        return break_ties(slice, scratch);
    }

    // Sort words of a key and its place, which fits below the key.
    std::uint64_t* leaf = scratch_of(scratch.leaf, n).data();
    VaryingBits varying;
    for (std::size_t k = 0; k < n; ++k) {
        varying.add(keys[k]);
        leaf[k] = keys[k] << kCellBits | k;
    }
    constexpr std::size_t kComparison = 64;
    if (n <= kComparison) {
        std::sort(leaf, leaf + n);
    } else if (varying.highest() >= 0) {
        leaf = radix_sort(leaf, scratch_of(scratch.buffer, n).data(), n, kCellBits,
                          kCellBits + varying.highest());
    }

    // Gather positions and tails in the order of the keys, and find the ties.
    const auto sorted = scratch_of(scratch.sorted, positions.size());
    const auto sorted_tails = scratch_of(scratch.sorted_tails, tails.size());
    std::uint64_t last = previous;
    std::size_t group = 0;  // where the run of equal keys begins
    for (std::size_t k = 0; k < n; ++k) {
        const std::uint64_t from = leaf[k] & kCellMask;
        if (!positions.empty()) sorted[k] = positions[from];
        if (!tails.empty()) sorted_tails[k] = tails[from];
        const std::uint64_t key = keys[k] = leaf[k] >> kCellBits;
        const std::uint64_t different = key ^ last;
        if (different == 0) {
            lcp[k] = shared(key);
            continue;
        }
        lcp[k] = common[63 - std::countl_zero(different)];
        if (k - group > 1) add_tie(group, k, last);
        group = k;
        last = key;
    }
    if (n - group > 1) add_tie(group, n, last);
    before = last;
    std::copy(sorted.begin(), sorted.end(), positions.begin());
    std::copy(sorted_tails.begin(), sorted_tails.end(), tails.begin());
    break_ties(slice, scratch);
}

// Sorts what shares all symbols of its entries: by its tails, or else by keys of the next symbols
// in the stream, one key at a time, until no ties are left.
template <class Token, class Position>
void SuffixBlocks<Token, Position>::break_ties(const Slice& slice,
                                               SuffixScratch<Position>& scratch) const {
    const auto& [keys, positions, lcp, tails] = slice;
    const SymbolReader<Token> reader(tokens_, order_, packing_.symbol_bits);
    const bool has_tails = !tails.empty();
    const int per_key = has_tails ? packing_.tail_symbols : reader.per_key();
    for (int from = 1 + packing_.entry_symbols; !scratch.ties.empty(); from += per_key) {
        scratch.still_tied.clear();
        TieReader<Token, Position> tie_reader(reader, positions, scratch.ties, from);
        for (const auto& tie : scratch.ties) {
            const std::size_t n = tie.last - tie.first;
            if (n == 2 && !has_tails) {  // most ties
                tie_reader.pass(tie);
                order_pair(reader, positions.subspan(tie.first, 2), lcp[tie.first + 1], from);
                continue;
            }
            if (n > kLargeTie && !has_tails) {
                const auto part = positions.subspan(tie.first, n);
                tie_reader.pass(tie);
                sort_large_tie(reader, part, from);
                compare_neighbours(
                    reader,
                    [&](std::uint32_t k) {
                        return reader.key(static_cast<Index>(part[k]), from, per_key);
                    },
                    tie, from, per_key, lcp, scratch.still_tied);
                continue;
            }
            const auto group = scratch_of(scratch.group, n);
            if (has_tails) {
                for (std::size_t k = 0; k < n; ++k) {
                    group[k] = {tails[tie.first + k],
                                positions.empty() ? Position{0} : positions[tie.first + k]};
                }
            } else {
                tie_reader.read(tie, group);
            }
            sort_keyed(group, scratch.group_buffer);
            for (std::size_t k = 0; k < n; ++k) {
                if (!positions.empty()) positions[tie.first + k] = group[k].position;
                if (has_tails) tails[tie.first + k] = group[k].key;
            }
            compare_neighbours(
                reader, [&](std::uint32_t k) { return group[k].key; }, tie, from, per_key, lcp,
                scratch.still_tied);
        }
        std::swap(scratch.ties, scratch.still_tied);
    }
}

template <class Token>
void suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                  std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads) {
    require(suffixes.size() == tokens.size() && lcp.size() == tokens.size(),
            "suffixes and lcp must have one entry per token");
    if (tokens.size() <= std::size_t{1} << 32) {
        fill_suffix_array<Token, std::uint32_t>(tokens, vocab_size, order, suffixes, lcp, threads);
    } else {
        fill_suffix_array<Token, std::uint64_t>(tokens, vocab_size, order, suffixes, lcp, threads);
    }
}

template class SuffixBlocks<std::uint16_t, std::uint32_t>;
template class SuffixBlocks<std::uint16_t, std::uint64_t>;
template class SuffixBlocks<std::uint32_t, std::uint32_t>;
template class SuffixBlocks<std::uint32_t, std::uint64_t>;
template void suffix_array(std::span<const std::uint16_t>, Index, const SuffixOrder&,
                           std::span<Index>, std::span<std::uint8_t>, int);
template void suffix_array(std::span<const std::uint32_t>, Index, const SuffixOrder&,
                           std::span<Index>, std::span<std::uint8_t>, int);

}  // namespace ngramstat
