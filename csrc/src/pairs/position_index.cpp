#include "ngramstat/pairs/position_index.hpp"

#include <limits>

namespace ngramstat {

namespace {

constexpr std::uint32_t kSaturated = std::numeric_limits<std::uint32_t>::max();

// Calls visit(position, class, remaining) for every position of [first, last).
template <class Visit>
void for_positions(const DocumentSpans* documents, Index first, Index last, Visit&& visit) {
    if (documents == nullptr) {
        for (Index i = first; i < last; ++i) visit(i, 0, std::uint32_t{0});
        return;
    }
    const auto& ends = documents->ends;
    std::size_t d =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), first) - ends.begin());
    for (Index i = first; i < last; ++d) {
        const Index stop = std::min(last, ends[d]);
        const Index begin = documents->content_starts[d];
        const Index end = documents->content_ends[d];
        const int cls = documents->classes[d];
        for (; i < stop; ++i) {
            const bool inside = i >= begin && i < end;
            const Index left = inside ? end - 1 - i : 0;
            visit(i, cls, left < Index{kSaturated} ? static_cast<std::uint32_t>(left) : kSaturated);
        }
    }
}

template <class Token, class Position>
PositionIndex<Position> build(std::span<const Token> tokens, TokenRange range, Index vocab_size,
                              const DocumentSpans* documents, int threads) {
    check_range(range, vocab_size);
    const Index n = static_cast<Index>(tokens.size());
    require(n == 0 || static_cast<std::uint64_t>(n - 1) <= std::numeric_limits<Position>::max(),
            "position type too narrow for this stream");
    const int n_classes = documents == nullptr ? 1 : 2;
    const Index n_groups = range.size() * n_classes;
    // The index does not depend on the chunks: they are filled in stream order.
    const auto bounds = chunk_bounds(n, threads);
    const Index n_chunks = static_cast<Index>(bounds.size()) - 1;

    std::vector<std::vector<Index>> cursor(static_cast<std::size_t>(n_chunks));
    parallel_for(n_chunks, threads, [&](Index c) {
        auto& counts = cursor[c];
        counts.assign(static_cast<std::size_t>(n_groups), 0);
        for_positions(documents, bounds[c], bounds[c + 1], [&](Index i, int cls, std::uint32_t) {
            const Index token = static_cast<Index>(tokens[i]);
            if (token >= vocab_size) throw_token_out_of_range(tokens[i], i, vocab_size);
            if (token >= range.first && token < range.last) {
                ++counts[(token - range.first) * n_classes + cls];
            }
        });
    });

    PositionIndex<Position> index;
    index.range = range;
    index.n_classes = n_classes;
    index.offsets.resize(static_cast<std::size_t>(n_groups) + 1);
    Index total = 0;
    for (Index g = 0; g < n_groups; ++g) {
        index.offsets[g] = total;
        for (auto& counts : cursor) {
            const Index count = counts[g];
            counts[g] = total;
            total += count;
        }
    }
    index.offsets[n_groups] = total;
    index.positions.resize(static_cast<std::size_t>(total));
    if (documents != nullptr) index.remaining.resize(static_cast<std::size_t>(total));

    parallel_for(n_chunks, threads, [&](Index c) {
        auto& next = cursor[c];
        Position* positions = index.positions.data();
        std::uint32_t* remaining = documents == nullptr ? nullptr : index.remaining.data();
        for_positions(documents, bounds[c], bounds[c + 1],
                      [&](Index i, int cls, std::uint32_t left) {
                          const Index token = static_cast<Index>(tokens[i]);
                          if (token < range.first || token >= range.last) return;
                          const Index slot = next[(token - range.first) * n_classes + cls]++;
                          positions[slot] = static_cast<Position>(i);
                          if (remaining != nullptr) remaining[slot] = left;
                      });
    });
    return index;
}

}  // namespace

void check_documents(const DocumentSpans& documents, Index n_tokens) {
    const std::size_t n = documents.ends.size();
    require(documents.content_starts.size() == n && documents.content_ends.size() == n &&
                documents.classes.size() == n,
            "document arrays must have one length");
    require(n_tokens == 0 || n > 0, "a stream with tokens needs at least one document");
    Index start = 0;
    for (std::size_t d = 0; d < n; ++d) {
        require(documents.ends[d] > start, "document_ends must be strictly increasing");
        require(documents.content_starts[d] >= start &&
                    documents.content_ends[d] >= documents.content_starts[d] &&
                    documents.content_ends[d] <= documents.ends[d],
                "document content must lie inside its document");
        require(documents.classes[d] <= 1, "document classes must be 0 or 1");
        start = documents.ends[d];
    }
    require(start == n_tokens, "the last document must end where the stream ends");
}

template <class Token>
std::vector<Index> token_counts(std::span<const Token> tokens, Index vocab_size, int threads) {
    require(vocab_size > 0, "vocab_size must be positive");
    const auto bounds = chunk_bounds(static_cast<Index>(tokens.size()), threads);
    const Index n_chunks = static_cast<Index>(bounds.size()) - 1;
    std::vector<std::vector<Index>> partial(static_cast<std::size_t>(n_chunks));
    parallel_for(n_chunks, threads, [&](Index c) {
        partial[c].assign(static_cast<std::size_t>(vocab_size), 0);
        for (Index i = bounds[c]; i < bounds[c + 1]; ++i) {
            if (static_cast<Index>(tokens[i]) >= vocab_size) {
                throw_token_out_of_range(tokens[i], i, vocab_size);
            }
            ++partial[c][tokens[i]];
        }
    });
    std::vector<Index> counts = std::move(partial.front());
    for (Index c = 1; c < n_chunks; ++c) {
        for (Index token = 0; token < vocab_size; ++token) counts[token] += partial[c][token];
    }
    return counts;
}

template <class Token, class Position>
PositionIndex<Position> index_positions(std::span<const Token> tokens, TokenRange range,
                                        Index vocab_size, int threads) {
    return build<Token, Position>(tokens, range, vocab_size, nullptr, threads);
}

template <class Token, class Position>
PositionIndex<Position> index_document_positions(std::span<const Token> tokens, TokenRange range,
                                                 Index vocab_size, const DocumentSpans& documents,
                                                 int threads) {
    check_documents(documents, static_cast<Index>(tokens.size()));
    return build<Token, Position>(tokens, range, vocab_size, &documents, threads);
}

#define NGRAMSTAT_INSTANTIATE(Token, Position)                                                 \
    template PositionIndex<Position> index_positions<Token, Position>(std::span<const Token>,  \
                                                                      TokenRange, Index, int); \
    template PositionIndex<Position> index_document_positions<Token, Position>(                \
        std::span<const Token>, TokenRange, Index, const DocumentSpans&, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t, std::uint32_t)
NGRAMSTAT_INSTANTIATE(std::uint16_t, std::uint64_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t, std::uint32_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t, std::uint64_t)
#undef NGRAMSTAT_INSTANTIATE
template std::vector<Index> token_counts(std::span<const std::uint16_t>, Index, int);
template std::vector<Index> token_counts(std::span<const std::uint32_t>, Index, int);

}  // namespace ngramstat
