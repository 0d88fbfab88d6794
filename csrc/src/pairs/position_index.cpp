#include "ngramstat/pairs/position_index.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <mutex>

namespace ngramstat {

namespace {

std::uint32_t saturated(Index n) {
    constexpr std::uint32_t kLargest = std::numeric_limits<std::uint32_t>::max();
    return n < Index{kLargest} ? static_cast<std::uint32_t>(n) : kLargest;
}

// Calls visit(position, half, preceding, remaining) for every position of [first, last).
template <class Visit>
void for_positions(const Documents& documents, Index first, Index last, Visit&& visit) {
    const auto ends = documents.ends();
    std::size_t d =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), first) - ends.begin());
    for (Index i = first; i < last; ++d) {
        const Index stop = std::min(last, ends[d]);
        const Index begin = documents.content_starts()[d];
        const Index end = documents.content_ends()[d];
        const int half = documents.halves()[d];
        in_pieces(i, stop, [&](Index from, Index to) {
            for (Index at = from; at < to; ++at) {
                const bool inside = at >= begin && at < end;
                visit(at, half, inside ? at - begin : 0, inside ? end - 1 - at : 0);
            }
        });
        i = stop;
    }
}

}  // namespace

template <class Token>
std::vector<Index> token_counts(std::span<const Token> tokens, Index vocab_size, int threads) {
    require(vocab_size > 0, "vocab_size must be positive");
    const auto bounds = chunk_bounds(static_cast<Index>(tokens.size()), threads);
    const Index n_chunks = static_cast<Index>(bounds.size()) - 1;
    // One of each worker, however long the stream.
    std::deque<std::vector<Index>> partial;
    std::mutex mutex;
    parallel_with(
        n_chunks, threads,
        [&] {
            const std::lock_guard<std::mutex> lock(mutex);
            return &partial.emplace_back(static_cast<std::size_t>(vocab_size), 0);
        },
        [&](Index c, std::vector<Index>* counts) {
            in_pieces(bounds[c], bounds[c + 1], [&](Index first, Index last) {
                for (Index i = first; i < last; ++i) {
                    if (static_cast<Index>(tokens[i]) >= vocab_size) {
                        throw_token_out_of_range(tokens[i], i, vocab_size);
                    }
                    ++(*counts)[tokens[i]];
                }
            });
        });
    std::vector<Index> counts = std::move(partial.front());
    partial.pop_front();
    for (const auto& more : partial) {
        for (Index token = 0; token < vocab_size; ++token) counts[token] += more[token];
    }
    return counts;
}

namespace {

// Turns the counts of each chunk by group into the slots where its positions of a group begin.
// Returns where each group begins, and the end.
std::vector<Index> begin_groups(std::vector<std::vector<Index>>& chunks, Index n_groups) {
    std::vector<Index> offsets(static_cast<std::size_t>(n_groups) + 1);
    Index total = 0;
    for (Index g = 0; g < n_groups; ++g) {
        offsets[g] = total;
        for (auto& counts : chunks) {
            const Index count = counts[g];
            counts[g] = total;
            total += count;
        }
    }
    offsets[n_groups] = total;
    return offsets;
}

}  // namespace

template <class Token, class Position>
PositionIndex<Position> index_document_positions(std::span<const Token> tokens, TokenRange range,
                                                 Index vocab_size, const Documents& documents,
                                                 int threads, ContentLimits limits) {
    check_range(range, vocab_size);
    const Index n = static_cast<Index>(tokens.size());
    documents.require_length(n);
    require(n == 0 || static_cast<std::uint64_t>(n - 1) <= std::numeric_limits<Position>::max(),
            "position type too narrow for this stream");
    const Index n_groups = 2 * range.size();
    // The index does not depend on the chunks: they are filled in stream order. Each has cursors of
    // its own, so there are no more of them than threads.
    const Index n_chunks = std::min<Index>(std::max(threads, 1),
                                           static_cast<Index>(chunk_bounds(n, threads).size()) - 1);
    std::vector<Index> bounds;
    for (Index c = 0; c <= n_chunks; ++c) bounds.push_back(n / n_chunks * c);
    bounds.back() = n;

    std::vector<std::vector<Index>> cursor(static_cast<std::size_t>(n_chunks));
    parallel_for(n_chunks, threads, [&](Index c) {
        auto& counts = cursor[c];
        counts.assign(static_cast<std::size_t>(n_groups), 0);
        for_positions(documents, bounds[c], bounds[c + 1], [&](Index i, int half, Index, Index) {
            const Index token = static_cast<Index>(tokens[i]);
            if (token >= vocab_size) throw_token_out_of_range(tokens[i], i, vocab_size);
            if (token >= range.first && token < range.last) {
                ++counts[2 * (token - range.first) + half];
            }
        });
    });

    PositionIndex<Position> index;
    index.range = range;
    index.offsets = begin_groups(cursor, n_groups);
    const std::size_t total = static_cast<std::size_t>(index.offsets.back());
    const std::size_t n_remaining = limits == ContentLimits::none ? 0 : total;
    const std::size_t n_preceding = limits == ContentLimits::both ? total : 0;
    release_pages_before(total * sizeof(Position) +
                         (n_remaining + n_preceding) * sizeof(std::uint32_t));
    index.positions.resize(total);
    index.remaining.resize(n_remaining);
    index.preceding.resize(n_preceding);

    parallel_for(n_chunks, threads, [&](Index c) {
        auto& next = cursor[c];
        Position* positions = index.positions.data();
        std::uint32_t* remaining = index.remaining.empty() ? nullptr : index.remaining.data();
        std::uint32_t* preceding = index.preceding.empty() ? nullptr : index.preceding.data();
        for_positions(documents, bounds[c], bounds[c + 1],
                      [&](Index i, int half, Index before, Index after) {
                          const Index token = static_cast<Index>(tokens[i]);
                          if (token < range.first || token >= range.last) return;
                          const Index slot = next[2 * (token - range.first) + half]++;
                          positions[slot] = static_cast<Position>(i);
                          if (remaining) remaining[slot] = saturated(after);
                          if (preceding) preceding[slot] = saturated(before);
                      });
    });
    return index;
}

#define NGRAMSTAT_INSTANTIATE(Token, Position)                                  \
    template PositionIndex<Position> index_document_positions<Token, Position>( \
        std::span<const Token>, TokenRange, Index, const Documents&, int, ContentLimits);
NGRAMSTAT_INSTANTIATE(std::uint16_t, std::uint32_t)
NGRAMSTAT_INSTANTIATE(std::uint16_t, std::uint64_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t, std::uint32_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t, std::uint64_t)
#undef NGRAMSTAT_INSTANTIATE
template std::vector<Index> token_counts(std::span<const std::uint16_t>, Index, int);
template std::vector<Index> token_counts(std::span<const std::uint32_t>, Index, int);

}  // namespace ngramstat
