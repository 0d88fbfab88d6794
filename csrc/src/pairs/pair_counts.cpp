#include "ngramstat/pairs/pair_counts.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <mutex>
#include <utility>

#include "ngramstat/base/id_set.hpp"
#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

constexpr Index kRowBlocks = 256;     // per matrix: enough to balance any thread count
constexpr Index kPrefetchAhead = 24;  // positions; hides the latency of one random line

// A row whose token occurs less often than vocab_size / kDenseFraction times is counted by sorting
// its columns instead of scanning vocab_size counters for the non-zero ones.
constexpr Index kDenseFraction = 8;

// Kinds of pairs: within in half 0, within in half 1, across in half 0, across in half 1.
constexpr int kKinds = 4;

// A block whose rows are being counted.
struct GrowingBlock {
    std::vector<Index> row_start{0};
    CountEntries<std::uint32_t> entries;

    CountBlock finish(Index first_row) {
        CountBlock block;
        block.first_row = first_row;
        block.row_start = std::move(row_start);
        block.set_entries(entries);
        return block;
    }
};

constexpr std::uint32_t kLargestCount = std::numeric_limits<std::uint32_t>::max();

[[noreturn]] void throw_too_many() {
    throw std::overflow_error("a token occurs more than 2^32-1 times within one document half");
}

struct RowCounter {
    explicit RowCounter(Index vocab_size) : vocab(vocab_size) {}

    // The counters of one half, all zero. Allocated for the first row that uses them: most blocks
    // of a large vocabulary hold rare tokens only, and zeroing 16 * vocab bytes for each of them
    // would cost more than counting them.
    std::uint32_t* dense_counts(int half) {
        if (dense.empty()) dense.assign(static_cast<std::size_t>(kKinds * vocab), 0);
        return dense.data() + half * vocab;
    }

    // Adds the dense counters of another worker.
    void add(const RowCounter& other) {
        std::uint32_t* counts = dense_counts(0);
        for (std::size_t k = 0; k < other.dense.size(); ++k) {
            if (counts[k] + std::uint64_t{other.dense[k]} > kLargestCount) throw_too_many();
            counts[k] += other.dense[k];
        }
    }

    // Adds one finished row to the two runs of rows, from the dense counters, and clears them.
    void flush_dense(GrowingBlock& within, GrowingBlock& across) {
        flush_dense_into(dense.data(), within);
        flush_dense_into(dense.data() + 2 * vocab, across);
        std::fill(dense.begin(), dense.end(), 0);
    }

    // The same from the keys column * kKinds + kind.
    void flush_sparse(GrowingBlock& within, GrowingBlock& across) {
        std::sort(keys.begin(), keys.end());
        for (std::size_t i = 0; i < keys.size();) {
            const std::uint64_t column = keys[i] / kKinds;
            std::uint32_t counts[kKinds] = {};
            for (; i < keys.size() && keys[i] / kKinds == column; ++i) ++counts[keys[i] % kKinds];
            push(within, column, counts[0], counts[1]);
            push(across, column, counts[2], counts[3]);
        }
        end_row(within);
        end_row(across);
        keys.clear();
    }

    Index vocab;
    std::vector<std::uint32_t> dense;
    std::vector<std::uint64_t> keys;

  private:
    static void push(GrowingBlock& rows, std::uint64_t column, std::uint32_t a, std::uint32_t b) {
        if ((a | b) == 0) return;
        rows.entries.column.push_back(static_cast<std::uint32_t>(column));
        rows.entries.first.push_back(a);
        rows.entries.second.push_back(b);
    }

    static void end_row(GrowingBlock& rows) {
        rows.row_start.push_back(static_cast<Index>(rows.entries.column.size()));
    }

    void flush_dense_into(const std::uint32_t* counts, GrowingBlock& rows) const {
        for (Index column = 0; column < vocab; ++column) {
            push(rows, static_cast<std::uint64_t>(column), counts[column], counts[vocab + column]);
        }
        end_row(rows);
    }
};

// Positions between two looks at the memory.
constexpr Index kBetweenReleases = 4096;

// Feeds every pair of one group of positions at one lag to visit(right token, is_across).
template <class Token, class Position, class Visit>
void for_pairs(std::span<const Token> tokens, const PositionIndex<Position>& index, Index group,
               Index lag, Visit&& visit) {
    const auto positions = index.group(group);
    const std::uint32_t* remaining = index.remaining.data() + index.offsets[group];
    const Index last = static_cast<Index>(tokens.size()) - lag;  // left positions lie below it
    const Index n =
        std::lower_bound(positions.begin(), positions.end(), std::max<Index>(last, 0),
                         [](Position p, Index limit) { return static_cast<Index>(p) < limit; }) -
        positions.begin();
    if (n == 0) return;  // the lag may reach past the stream, where no pointer may point
    const Token* shifted = tokens.data() + lag;
    // The positions of one token are all over the stream, and each may bring in a page.
    const auto visit_some = [&](Index first, Index end) {
        for (Index k = first; k < end; ++k) {
            if (k + kPrefetchAhead < n) prefetch(shifted + positions[k + kPrefetchAhead]);
            visit(shifted[positions[k]], static_cast<Index>(remaining[k]) < lag);
        }
    };
    in_pieces(0, n, visit_some, kBetweenReleases);
}

void check_row_fits(Index occurrences) {
    if (occurrences > Index{kLargestCount}) throw_too_many();
}

// Counts the pairs at one lag whose left token is this one and stands in [part.first, part.last).
template <class Token>
void add_pairs_of_token(std::span<const Token> tokens, const Documents& documents, Index token,
                        Index lag, TokenRange part, RowCounter& counter) {
    const auto ends = documents.ends();
    const Index n = static_cast<Index>(tokens.size()), vocab_size = counter.vocab;
    std::size_t d = static_cast<std::size_t>(
        std::upper_bound(ends.begin(), ends.end(), part.first) - ends.begin());
    for (Index i = part.first; i < part.last; ++d) {
        const Index stop = std::min({part.last, ends[d], std::max<Index>(n - lag, 0)});
        const Index begin = documents.content_starts()[d];
        // Left tokens before it have the right one in the content.
        const Index end = documents.content_ends()[d] - lag;
        std::uint32_t* counts = counter.dense_counts(documents.halves()[d]);
        for (; i < stop; ++i) {
            if (static_cast<Index>(tokens[i]) != token) continue;
            const Index right = static_cast<Index>(tokens[i + lag]);
            if (right >= vocab_size) throw_token_out_of_range(tokens[i + lag], i + lag, vocab_size);
            const bool across = i < begin || i >= end;
            std::uint32_t& count = counts[(across ? 2 * vocab_size : 0) + right];
            if (count == kLargestCount) throw_too_many();
            ++count;
        }
        i = std::min(part.last, ends[d]);
        release_pages_if_needed();
    }
}

}  // namespace

namespace {

void check_lags(std::span<const Index> lags, Index n_tokens) {
    for (const Index lag : lags) {
        require(lag >= 1, "lags must be at least 1");
        // `remaining` holds 32 bits and saturates at 2^32 - 1.
        require(lag < std::numeric_limits<std::uint32_t>::max() || lag >= n_tokens,
                "lags within the stream must be below 2^32 - 1");
    }
}

// Counts one row at one lag and adds it to the two runs of rows. Frequent tokens have dense
// counters, rare ones a list of keys.
template <class Token, class Position>
void count_row(std::span<const Token> tokens, const PositionIndex<Position>& index, Index row,
               Index lag, RowCounter& counter, GrowingBlock& within, GrowingBlock& across) {
    const Index vocab_size = counter.vocab;
    const Index occurrences = index.offsets[2 * row + 2] - index.offsets[2 * row];
    const bool use_dense = occurrences * kDenseFraction >= vocab_size;
    for (int half = 0; half < 2; ++half) {
        const Index group = 2 * row + half;
        if (use_dense) {
            std::uint32_t* counts = counter.dense_counts(half);
            for_pairs(tokens, index, group, lag, [&](Token right, bool is_across) {
                ++counts[(is_across ? 2 * vocab_size : 0) + right];
            });
        } else {
            for_pairs(tokens, index, group, lag, [&](Token right, bool is_across) {
                const int kind = (is_across ? 2 : 0) + half;
                counter.keys.push_back(std::uint64_t{right} * kKinds + static_cast<unsigned>(kind));
            });
        }
    }
    if (use_dense) {
        counter.flush_dense(within, across);
    } else {
        counter.flush_sparse(within, across);
    }
}

}  // namespace

template <class Token, class Position>
std::vector<PairCounts> count_pairs(std::span<const Token> tokens,
                                    const PositionIndex<Position>& index, Index vocab_size,
                                    std::span<const Index> lags, int threads) {
    check_lags(lags, static_cast<Index>(tokens.size()));
    const Index n_rows = index.range.size();
    const std::size_t n_lags = lags.size();
    std::vector<Index> row_prefix(static_cast<std::size_t>(n_rows) + 1);
    for (Index r = 0; r <= n_rows; ++r) row_prefix[r] = index.offsets[2 * r] + r;
    for (Index g = 0; g < 2 * n_rows; ++g) check_row_fits(index.size(g));
    const auto bounds = balanced_blocks(row_prefix, kRowBlocks);
    const Index n_blocks = static_cast<Index>(bounds.size()) - 1;

    std::vector<std::vector<CountBlock>> within(static_cast<std::size_t>(n_blocks));
    auto across = within;
    parallel_for(n_blocks, threads, [&](Index b) {
        RowCounter counter(vocab_size);
        std::vector<GrowingBlock> inside(n_lags), outside(n_lags);
        // The lags of one row follow each other: similar lags find the row's lines of the stream
        // still in cache.
        for (Index row = bounds[b]; row < bounds[b + 1]; ++row) {
            for (std::size_t l = 0; l < n_lags; ++l) {
                count_row(tokens, index, row, lags[l], counter, inside[l], outside[l]);
            }
        }
        for (std::size_t l = 0; l < n_lags; ++l) {
            within[b].push_back(inside[l].finish(index.range.first + bounds[b]));
            across[b].push_back(outside[l].finish(index.range.first + bounds[b]));
        }
    });

    std::vector<PairCounts> counts;
    for (std::size_t l = 0; l < n_lags; ++l) {
        PairCounts pair{CountMatrix(vocab_size, vocab_size), CountMatrix(vocab_size, vocab_size)};
        pair.within.start_at(index.range.first);
        pair.across.start_at(index.range.first);
        for (Index b = 0; b < n_blocks; ++b) {
            pair.within.append(std::move(within[b][l]));
            pair.across.append(std::move(across[b][l]));
        }
        counts.push_back(std::move(pair));
    }
    return counts;
}

template <class Token>
std::vector<PairCounts> count_pairs_of_token(std::span<const Token> tokens, Index vocab_size,
                                             const Documents& documents, Index token,
                                             std::span<const Index> lags, int threads) {
    const Index n = static_cast<Index>(tokens.size());
    check_lags(lags, n);
    check_range({token, token + 1}, vocab_size);
    documents.require_length(n);
    const auto bounds = chunk_bounds(n, threads);
    std::vector<PairCounts> counts;
    for (const Index lag : lags) {
        std::deque<RowCounter> counters;
        std::mutex mutex;
        parallel_with(
            static_cast<Index>(bounds.size()) - 1, threads,
            [&] {
                const std::lock_guard<std::mutex> lock(mutex);
                return &counters.emplace_back(vocab_size);
            },
            [&](Index c, RowCounter* counter) {
                add_pairs_of_token(tokens, documents, token, lag, {bounds[c], bounds[c + 1]},
                                   *counter);
            });
        RowCounter all(vocab_size);
        for (const RowCounter& counter : counters) all.add(counter);
        GrowingBlock within, across;
        all.flush_dense(within, across);
        PairCounts pair{CountMatrix(vocab_size, vocab_size), CountMatrix(vocab_size, vocab_size)};
        pair.within.start_at(token);
        pair.across.start_at(token);
        pair.within.append(within.finish(token));
        pair.across.append(across.finish(token));
        counts.push_back(std::move(pair));
    }
    return counts;
}

namespace {

// Counts the tokens of one document after the other, as rows of their counts.
template <class Token>
class DocumentRows {
  public:
    explicit DocumentRows(Index vocab_size)
        : vocab_size_(vocab_size), items_(static_cast<std::size_t>(vocab_size)) {}

    // Adds the tokens [first, last) of the stream as a row.
    void add(std::span<const Token> tokens, Index first, Index last) {
        check_row_fits(last - first);
        const auto document =
            tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
        for (std::size_t i = 0; i < document.size(); ++i) {
            if (static_cast<Index>(document[i]) >= vocab_size_) {
                throw_token_out_of_range(document[i], first + static_cast<Index>(i), vocab_size_);
            }
        }
        // Sorting a document that is short beside the vocabulary takes less.
        if (last - first >= vocab_size_ / kSorted) {
            count(document);
        } else {
            sort(document);
        }
        rows_.row_start.push_back(static_cast<Index>(rows_.entries.column.size()));
    }

    CountBlock finish(Index first_row) { return rows_.finish(first_row); }

  private:
    static constexpr Index kSorted = 64;  // items of the vocabulary to a token of the document

    void push(std::uint32_t column, std::uint32_t count) {
        rows_.entries.column.push_back(column);
        rows_.entries.first.push_back(count);
    }

    void count(std::span<const Token> document) {
        if (counts_.empty()) counts_.assign(static_cast<std::size_t>(vocab_size_), 0);
        for (const Token token : document) {
            ++counts_[token];
            items_.add(token);
        }
        items_.take([this](std::uint32_t item) { push(item, std::exchange(counts_[item], 0)); });
    }

    void sort(std::span<const Token> document) {
        sorted_.assign(document.begin(), document.end());
        std::sort(sorted_.begin(), sorted_.end());
        for (std::size_t i = 0; i < sorted_.size();) {
            std::size_t end = i;
            while (end < sorted_.size() && sorted_[end] == sorted_[i]) ++end;
            push(sorted_[i], static_cast<std::uint32_t>(end - i));
            i = end;
        }
    }

    Index vocab_size_;
    GrowingBlock rows_;
    std::vector<Token> sorted_;
    std::vector<std::uint32_t> counts_;
    IdSet items_;  // that counts_ has
};

}  // namespace

template <class Token>
CountMatrix count_document_tokens(std::span<const Token> tokens, Index vocab_size,
                                  const Documents& documents, int threads) {
    documents.require_length(static_cast<Index>(tokens.size()));
    const auto content_starts = documents.content_starts();
    const auto content_ends = documents.content_ends();
    const Index n_documents = documents.size();
    std::vector<Index> prefix{0};
    for (Index d = 0; d < n_documents; ++d) {
        prefix.push_back(prefix.back() + content_ends[d] - content_starts[d] + 1);
    }
    const auto bounds = balanced_blocks(prefix, kRowBlocks);
    const Index n_blocks = static_cast<Index>(bounds.size()) - 1;
    std::vector<CountBlock> blocks(static_cast<std::size_t>(n_blocks));
    parallel_for(n_blocks, threads, [&](Index b) {
        DocumentRows<Token> rows(vocab_size);
        for (Index d = bounds[b]; d < bounds[b + 1]; ++d) {
            rows.add(tokens, content_starts[d], content_ends[d]);
        }
        blocks[b] = rows.finish(bounds[b]);
    });
    CountMatrix counts(n_documents, vocab_size);
    for (auto& block : blocks) counts.append(std::move(block));
    return counts;
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                            \
    template std::vector<PairCounts> count_pairs(std::span<const Token>,                        \
                                                 const PositionIndex<std::uint32_t>&, Index,    \
                                                 std::span<const Index>, int);                  \
    template std::vector<PairCounts> count_pairs(std::span<const Token>,                        \
                                                 const PositionIndex<std::uint64_t>&, Index,    \
                                                 std::span<const Index>, int);                  \
    template std::vector<PairCounts> count_pairs_of_token(                                      \
        std::span<const Token>, Index, const Documents&, Index, std::span<const Index>, int);   \
    template CountMatrix count_document_tokens(std::span<const Token>, Index, const Documents&, \
                                               int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
