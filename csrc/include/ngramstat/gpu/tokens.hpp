// Copies tokens to the device: the whole stream where it fits, otherwise window by window.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"

namespace ngramstat::gpu {

// Two windows of a stream, so that one is filled while the other is worked on.
template <class Executor, class Token>
class Windows {
  public:
    // Uses at most `max_fraction` of the available memory for the whole stream.
    Windows(Executor& on, const Stream<Token>& stream, double max_fraction)
        : on_(on), stream_(stream) {
        if (stream.on_device) {
            whole_ = stream.data;
            is_whole_ = true;
            return;
        }
        const auto bytes = static_cast<double>(stream.size) * sizeof(Token);
        if (bytes > max_fraction * static_cast<double>(on.available())) return;
        copy_ = Buffer<Token>(on, stream.size);
        on.upload(copy_.data(), stream.data, stream.size);
        whole_ = copy_.data();
        is_whole_ = true;
    }

    ~Windows() {
        // A fetch may still be under way into a slot.
        if (slots_[0].size() > 0) on_.drop_copies();
    }
    Windows(const Windows&) = delete;
    Windows& operator=(const Windows&) = delete;

    // Whether the whole stream is on the device, and its address there.
    bool is_whole() const { return is_whole_; }
    const Token* whole() const { return whole_; }

    // Allocates windows of `size` tokens; none are needed where the whole stream is on the device.
    void reserve(Index size) {
        if (is_whole_) return;
        for (auto& slot : slots_) {
            if (slot.size() < size) {
                slot.reset();
                slot = Buffer<Token>(on_, size);
            }
        }
        on_.synchronize();
    }
    void drop() {
        on_.drop_copies();
        for (auto& slot : slots_) slot.reset();
    }

    // Starts to copy [first, last) into a slot, once the work before its release is done.
    void fetch(int slot, Index first, Index last) {
        firsts_[static_cast<std::size_t>(slot)] = first;
        if (is_whole_) return;
        on_.copy_ahead(slots_[static_cast<std::size_t>(slot)].data(), stream_.data + first,
                       last - first, slot);
    }
    // Address of the window's first token; work submitted after this waits for the copy.
    const Token* use(int slot) {
        if (is_whole_) return whole_ + firsts_[static_cast<std::size_t>(slot)];
        on_.wait_for_copy(slot);
        return slots_[static_cast<std::size_t>(slot)].data();
    }
    // The slot may be filled again once the work submitted so far is done.
    void release(int slot) {
        if (!is_whole_) on_.release_slot(slot);
    }

  private:
    Executor& on_;
    Stream<Token> stream_;
    bool is_whole_ = false;
    const Token* whole_ = nullptr;
    Buffer<Token> copy_;
    std::array<Buffer<Token>, 2> slots_;
    std::array<Index, 2> firsts_{};
};

// Counts the tokens of a window by id, and finds the first position with an id >= vocab_size.
template <class Token>
struct CountTokens {
    static constexpr int kPhases = 3;
    static constexpr Index kPositions = 1 << 16;  // of a block

    const Token* tokens;
    Index n;
    Index first;  // position of tokens[0]
    Index vocab_size;
    bool shared;  // whether a block's counters fit its memory
    std::uint64_t* counts;
    std::uint64_t* bad;

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* block_counts = at.shared_as<std::uint32_t>();
        if constexpr (kPhase == 0) {
            if (!shared) return;
            for (Index y = at.thread; y < vocab_size; y += at.threads) block_counts[y] = 0;
        } else if constexpr (kPhase == 1) {
            const Index begin = at.block * kPositions;
            const Index end = begin + kPositions < n ? begin + kPositions : n;
            for (Index i = begin + at.thread; i < end; i += at.threads) {
                const Index token = static_cast<Index>(tokens[i]);
                if (token >= vocab_size) {
                    lower_to(bad, static_cast<std::uint64_t>(first + i));
                } else if (shared) {
                    add(&block_counts[token], std::uint32_t{1});
                } else {
                    add(&counts[token], std::uint64_t{1});
                }
            }
        } else {
            if (!shared) return;
            for (Index y = at.thread; y < vocab_size; y += at.threads) {
                if (block_counts[y] != 0) add(&counts[y], std::uint64_t{block_counts[y]});
            }
        }
    }
};

// Occurrences of every id. Throws std::out_of_range for a token that is not below vocab_size.
template <class Executor, class Token>
std::vector<Index> count_tokens(Executor& on, Windows<Executor, Token>& windows,
                                const Stream<Token>& stream, Index vocab_size) {
    constexpr Index kWindow = Index{1} << 26;
    require(vocab_size > 0, "vocab_size must be positive");
    Buffer<std::uint64_t> counts(on, vocab_size + 1);
    on.clear(counts.data(), vocab_size);
    std::uint64_t bad = ~std::uint64_t{0};
    std::uint64_t* bad_at = counts.data() + vocab_size;
    on.upload(bad_at, &bad, 1);
    const std::size_t shared = static_cast<std::size_t>(vocab_size) * sizeof(std::uint32_t);
    const bool fits = shared <= on.max_shared_bytes();
    Index window = std::min(stream.size, kWindow);
    if (windows.is_whole()) window = stream.size;
    while (!windows.is_whole() && window > 4096 &&
           static_cast<std::size_t>(2 * window) * sizeof(Token) > on.available() / 2) {
        window /= 2;
    }
    windows.reserve(window);
    int slot = 0;
    if (stream.size > 0) windows.fetch(0, 0, window);
    for (Index first = 0; first < stream.size; first += window, slot = 1 - slot) {
        const Index n = std::min(window, stream.size - first);
        const Token* tokens = windows.use(slot);
        const Index blocks =
            (n + CountTokens<Token>::kPositions - 1) / CountTokens<Token>::kPositions;
        on.for_blocks(
            blocks, 512, fits ? shared : 0,
            CountTokens<Token>{tokens, n, first, vocab_size, fits, counts.data(), bad_at});
        windows.release(slot);
        if (first + n < stream.size) {
            windows.fetch(1 - slot, first + n, std::min(stream.size, first + n + window));
        }
    }
    std::vector<std::uint64_t> host(static_cast<std::size_t>(vocab_size) + 1);
    on.download(host.data(), counts.data(), vocab_size + 1);
    if (const std::uint64_t position = host.back(); position != ~std::uint64_t{0}) {
        Token token{};
        if (windows.is_whole()) {
            on.download(&token, windows.whole() + position, 1);
        } else {
            token = stream.data[position];
        }
        throw_token_out_of_range(token, static_cast<Index>(position), vocab_size);
    }
    return {host.begin(), host.end() - 1};
}

}  // namespace ngramstat::gpu
