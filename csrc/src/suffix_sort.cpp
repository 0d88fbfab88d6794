#include "ngramstat/suffix_sort.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace ngramstat {

namespace {

using Entry = SuffixScratch::Entry;

bool entry_less(const Entry& a, const Entry& b) {
    return a.key != b.key ? a.key < b.key : a.position < b.position;
}

// Stable sort by key. Entries come in ascending position order, so (key, position) is the result
// of both branches.
void sort_entries(Entry* entries, Entry* buffer, Index n, int key_bits) {
    // Below: comparison sort wins (2 cores, Xeon 2.0 GHz, 2026-11). Above: one counting pass on the
    // high bits first, so that the passes over the parts stay in the L2 cache.
    constexpr Index kComparison = 192;
    constexpr Index kInCache = 1 << 16;
    constexpr int kHighBits = 10;
    if (n <= kComparison) {
        std::sort(entries, entries + n, entry_less);
        return;
    }
    if (n > kInCache && key_bits > kHighBits) {
        const int shift = key_bits - kHighBits;
        std::vector<Index> start((std::size_t{1} << kHighBits) + 1, 0);
        const std::uint64_t mask = (std::uint64_t{1} << kHighBits) - 1;
        for (Index i = 0; i < n; ++i) ++start[(entries[i].key >> shift & mask) + 1];
        for (std::size_t d = 1; d < start.size(); ++d) start[d] += start[d - 1];
        std::vector<Index> next(start.begin(), start.end() - 1);
        for (Index i = 0; i < n; ++i) buffer[next[entries[i].key >> shift & mask]++] = entries[i];
        std::copy(buffer, buffer + n, entries);
        for (std::size_t d = 0; d + 1 < start.size(); ++d) {
            sort_entries(entries + start[d], buffer + start[d], start[d + 1] - start[d], shift);
        }
        return;
    }
    constexpr int kDigits = 8;
    Index histogram[kDigits][256] = {};
    const int digits = (key_bits + 7) / 8;
    for (Index i = 0; i < n; ++i) {
        for (int d = 0; d < digits; ++d) ++histogram[d][entries[i].key >> (8 * d) & 255];
    }
    Entry* from = entries;
    Entry* to = buffer;
    for (int d = 0; d < digits; ++d) {
        Index* counts = histogram[d];
        if (counts[from[0].key >> (8 * d) & 255] == n) continue;  // one value: nothing to move
        Index total = 0;
        for (int v = 0; v < 256; ++v) {
            const Index count = counts[v];
            counts[v] = total;
            total += count;
        }
        for (Index i = 0; i < n; ++i) to[counts[from[i].key >> (8 * d) & 255]++] = from[i];
        std::swap(from, to);
    }
    if (from != entries) std::copy(from, from + n, entries);
}

// Reads symbols of suffixes and packs them into keys, most significant first; 0 is "ended".
template <class Token>
class SymbolReader {
  public:
    SymbolReader(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order)
        : tokens_(tokens),
          order_(order),
          bits_(std::bit_width(static_cast<std::uint64_t>(vocab_size))),
          per_key_(std::max(1, 64 / bits_)) {}

    int per_key() const { return per_key_; }
    int key_bits() const { return per_key_ * bits_; }

    // Symbols [from, from + per_key) of the suffix at i, as far as depth reaches.
    std::uint64_t key(Index i, int from) const {
        std::uint64_t packed = 0;
        int taken = 0;
        const int wanted = std::min(per_key_, order_.depth - from);
        // The stop token ends a sequence after itself; symbol 0 never stops it. Symbols before
        // `from` are shared by all entries of a tie group and hold no stop token.
        for (; taken < wanted; ++taken) {
            const Index at = order_.backward ? i - from - taken : i + from + taken;
            if (at < 0 || at >= static_cast<Index>(tokens_.size())) break;
            const Index token = static_cast<Index>(tokens_[at]);
            packed = packed << bits_ | static_cast<std::uint64_t>(token + 1);
            if (token == order_.stop_token && from + taken > 0) {
                ++taken;
                break;
            }
        }
        const int missing = per_key_ - taken;
        return missing == 0 ? packed : missing * bits_ >= 64 ? 0 : packed << (missing * bits_);
    }

    // Leading symbols that two different keys share.
    int common(std::uint64_t a, std::uint64_t b) const {
        return (std::countl_zero(a ^ b) - (64 - key_bits())) / bits_;
    }

    // Symbols a key holds before it ends.
    int symbols(std::uint64_t key) const {
        if (key == 0) return 0;
        return per_key_ - std::countr_zero(key) / bits_;
    }

    // Whether sequences with this key may differ in later symbols.
    bool goes_on(std::uint64_t key, int from) const {
        const std::uint64_t mask =
            bits_ == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits_) - 1;
        const std::uint64_t last = key & mask;
        return from + per_key_ < order_.depth && last != 0 &&
               static_cast<Index>(last) - 1 != order_.stop_token;
    }

  private:
    std::span<const Token> tokens_;
    SuffixOrder order_;
    int bits_;
    int per_key_;
};

// Sorts positions that share their first `from` symbols. lcp[0] is left alone.
template <class Token, class Position>
void refine(const SymbolReader<Token>& reader, const SuffixOrder& order, int from,
            std::span<Position> positions, std::span<std::uint8_t> lcp, SuffixScratch& scratch) {
    const Index n = static_cast<Index>(positions.size());
    if (n <= 1) return;
    if (from >= order.depth) {
        std::fill(lcp.begin() + 1, lcp.end(), static_cast<std::uint8_t>(order.depth));
        return;
    }
    if (static_cast<Index>(scratch.entries.size()) < n) {
        scratch.entries.resize(static_cast<std::size_t>(n));
        scratch.buffer.resize(static_cast<std::size_t>(n));
    }
    Entry* entries = scratch.entries.data();
    for (Index k = 0; k < n; ++k) {
        entries[k] = {reader.key(static_cast<Index>(positions[k]), from), positions[k]};
    }
    sort_entries(entries, scratch.buffer.data(), n, reader.key_bits());

    // The recursion reuses the scratch, so all that the entries tell is written out first.
    std::vector<std::pair<Index, Index>> ties;
    positions[0] = static_cast<Position>(entries[0].position);
    Index group = 0;
    for (Index k = 1; k <= n; ++k) {
        if (k < n) positions[k] = static_cast<Position>(entries[k].position);
        if (k < n && entries[k].key == entries[k - 1].key) {
            lcp[k] = static_cast<std::uint8_t>(
                std::min(order.depth, from + reader.symbols(entries[k].key)));
            continue;
        }
        if (k - group > 1 && reader.goes_on(entries[group].key, from)) ties.emplace_back(group, k);
        if (k < n) {
            lcp[k] =
                static_cast<std::uint8_t>(from + reader.common(entries[k].key, entries[k - 1].key));
        }
        group = k;
    }
    for (const auto& [begin, end] : ties) {
        const std::size_t first = static_cast<std::size_t>(begin);
        const std::size_t size = static_cast<std::size_t>(end - begin);
        refine(reader, order, from + reader.per_key(), positions.subspan(first, size),
               lcp.subspan(first, size), scratch);
    }
}

void check_order(const SuffixOrder& order) {
    require(order.depth >= 1 && order.depth <= kMaxDepth, "depth must lie in 1 .. 255");
}

template <class Token, class Position>
void fill_suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                       std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads) {
    auto index =
        index_positions<Token, Position>(tokens, TokenRange{0, vocab_size}, vocab_size, threads);
    const auto tasks = bucket_tasks(index);
    parallel_for(static_cast<Index>(tasks.size()) - 1, threads, [&](Index task) {
        SuffixScratch scratch;
        for (Index g = tasks[task]; g < tasks[task + 1]; ++g) {
            const std::size_t start = static_cast<std::size_t>(index.offsets[g]);
            const std::size_t size = static_cast<std::size_t>(index.size(g));
            const std::span<Position> bucket(index.positions.data() + start, size);
            sort_bucket(tokens, vocab_size, order, bucket, lcp.subspan(start, size), scratch);
            std::copy(bucket.begin(), bucket.end(), suffixes.begin() + index.offsets[g]);
        }
    });
}

}  // namespace

template <class Token, class Position>
void sort_bucket(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                 std::span<Position> positions, std::span<std::uint8_t> lcp,
                 SuffixScratch& scratch) {
    check_order(order);
    if (positions.empty()) return;
    lcp[0] = 0;
    refine(SymbolReader<Token>(tokens, vocab_size, order), order, 1, positions, lcp, scratch);
}

template <class Token>
void suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                  std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads) {
    check_order(order);
    require(suffixes.size() == tokens.size() && lcp.size() == tokens.size(),
            "suffixes and lcp must have one entry per token");
    if (tokens.size() <= std::size_t{1} << 32) {
        fill_suffix_array<Token, std::uint32_t>(tokens, vocab_size, order, suffixes, lcp, threads);
    } else {
        fill_suffix_array<Token, std::uint64_t>(tokens, vocab_size, order, suffixes, lcp, threads);
    }
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                              \
    template void sort_bucket(std::span<const Token>, Index, const SuffixOrder&,                  \
                              std::span<std::uint32_t>, std::span<std::uint8_t>, SuffixScratch&); \
    template void sort_bucket(std::span<const Token>, Index, const SuffixOrder&,                  \
                              std::span<std::uint64_t>, std::span<std::uint8_t>, SuffixScratch&); \
    template void suffix_array(std::span<const Token>, Index, const SuffixOrder&,                 \
                               std::span<Index>, std::span<std::uint8_t>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
