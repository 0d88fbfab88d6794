#include "ngramstat/pair_counts.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "ngramstat/parallel.hpp"
#include "ngramstat/prefetch.hpp"
#include "ngramstat/simd.hpp"

namespace ngramstat {

namespace {

constexpr Index kBlocks = 256;        // row blocks per matrix: enough to balance any thread count
constexpr Index kPrefetchAhead = 24;  // positions; hides the latency of one random line

// A row with fewer occurrences than this share of the vocabulary is counted by sorting its columns
// instead of scanning vocab_size counters for the non-zero ones.
constexpr Index kDenseShare = 8;

// Counters of one row, kinds: within A, within B, across A, across B.
constexpr int kKinds = 4;

// A block while its rows are counted.
struct Growing {
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

struct RowCounter {
    explicit RowCounter(Index vocab_size) : vocab(vocab_size) {}

    // The counters of one class, all zero. Made for the first row that wants them: most blocks of a
    // large vocabulary hold rare tokens only, and zeroing 16 * vocab bytes for each of them costs
    // more than their counting.
    std::uint32_t* dense_counts(int cls) {
        if (dense.empty()) dense.assign(static_cast<std::size_t>(kKinds * vocab), 0);
        return dense.data() + cls * vocab;
    }

    // Adds one finished row to the two runs of rows, from the dense counters, and clears them.
    void flush_dense(Growing& within, Growing& across) {
        flush_dense_into(dense.data(), within);
        flush_dense_into(dense.data() + 2 * vocab, across);
        std::fill(dense.begin(), dense.end(), 0);
    }

    // The same from sorted keys column * kKinds + kind.
    void flush_sparse(Growing& within, Growing& across) {
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
    static void push(Growing& rows, std::uint64_t column, std::uint32_t a, std::uint32_t b) {
        if ((a | b) == 0) return;
        rows.entries.column.push_back(static_cast<std::uint32_t>(column));
        rows.entries.first.push_back(a);
        rows.entries.second.push_back(b);
    }

    static void end_row(Growing& rows) {
        rows.row_start.push_back(static_cast<Index>(rows.entries.column.size()));
    }

    void flush_dense_into(const std::uint32_t* counts, Growing& rows) const {
        for (Index column = 0; column < vocab; ++column) {
            push(rows, static_cast<std::uint64_t>(column), counts[column], counts[vocab + column]);
        }
        end_row(rows);
    }
};

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
    for (Index k = 0; k < n; ++k) {
        if (k + kPrefetchAhead < n) prefetch(shifted + positions[k + kPrefetchAhead]);
        visit(shifted[positions[k]], static_cast<Index>(remaining[k]) < lag);
    }
}

void check_row_fits(Index occurrences) {
    if (occurrences > Index{std::numeric_limits<std::uint32_t>::max()}) {
        throw std::overflow_error("a token occurs more than 2^32-1 times within one document half");
    }
}

}  // namespace

template <class Token, class Position>
std::vector<PairCounts> count_pairs(std::span<const Token> tokens,
                                    const PositionIndex<Position>& index, Index vocab_size,
                                    std::span<const Index> lags, int threads) {
    require(index.n_classes == 2 && index.remaining.size() == index.positions.size(),
            "count_pairs needs an index with document classes");
    for (const Index lag : lags) {
        require(lag >= 1, "lags must be at least 1");
        // `remaining` holds 32 bits and saturates at 2^32 - 1.
        require(lag < std::numeric_limits<std::uint32_t>::max() ||
                    lag >= static_cast<Index>(tokens.size()),
                "lags within the stream must be below 2^32 - 1");
    }
    const Index n_rows = index.range.size();
    const Index n_lags = static_cast<Index>(lags.size());

    std::vector<Index> row_prefix(static_cast<std::size_t>(n_rows) + 1);
    for (Index r = 0; r <= n_rows; ++r) row_prefix[r] = index.offsets[2 * r] + r;
    for (Index g = 0; g < 2 * n_rows; ++g) check_row_fits(index.size(g));
    const auto bounds = balanced_blocks(row_prefix, kBlocks);
    const Index n_blocks = n_rows == 0 ? 0 : static_cast<Index>(bounds.size()) - 1;

    std::vector<std::vector<CountBlock>> within(static_cast<std::size_t>(n_blocks));
    auto across = within;
    parallel_for(n_blocks, threads, [&](Index b) {
        RowCounter counter(vocab_size);
        std::vector<Growing> inside(static_cast<std::size_t>(n_lags)), outside(inside.size());
        for (Index row = bounds[b]; row < bounds[b + 1]; ++row) {
            const Index occurrences = index.offsets[2 * row + 2] - index.offsets[2 * row];
            const bool use_dense = occurrences * kDenseShare >= vocab_size;
            // The lags of one row follow each other: neighbouring lags find the row's lines of the
            // stream still in cache.
            for (Index l = 0; l < n_lags; ++l) {
                for (int cls = 0; cls < 2; ++cls) {
                    const Index group = 2 * row + cls;
                    if (use_dense) {
                        std::uint32_t* counts = counter.dense_counts(cls);
                        for_pairs(tokens, index, group, lags[l], [&](Token right, bool is_across) {
                            ++counts[(is_across ? 2 * vocab_size : 0) + right];
                        });
                    } else {
                        for_pairs(tokens, index, group, lags[l], [&](Token right, bool is_across) {
                            counter.keys.push_back(std::uint64_t{right} * kKinds +
                                                   (is_across ? 2 : 0) + cls);
                        });
                    }
                }
                if (use_dense) {
                    counter.flush_dense(inside[l], outside[l]);
                } else {
                    counter.flush_sparse(inside[l], outside[l]);
                }
            }
        }
        for (Index l = 0; l < n_lags; ++l) {
            within[b].push_back(inside[l].finish(index.range.first + bounds[b]));
            across[b].push_back(outside[l].finish(index.range.first + bounds[b]));
        }
    });

    std::vector<PairCounts> counts;
    for (Index l = 0; l < n_lags; ++l) {
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
CountMatrix count_document_tokens(std::span<const Token> tokens, Index vocab_size,
                                  std::span<const Index> content_starts,
                                  std::span<const Index> content_ends, int threads) {
    const Index n_documents = static_cast<Index>(content_starts.size());
    require(content_ends.size() == content_starts.size(), "document arrays must have one length");
    std::vector<Index> prefix{0};
    for (Index d = 0; d < n_documents; ++d) {
        require(0 <= content_starts[d] && content_starts[d] <= content_ends[d] &&
                    content_ends[d] <= static_cast<Index>(tokens.size()),
                "document content must lie inside the stream");
        prefix.push_back(prefix.back() + content_ends[d] - content_starts[d] + 1);
    }
    const auto bounds = balanced_blocks(prefix, kBlocks);
    const Index n_blocks = n_documents == 0 ? 0 : static_cast<Index>(bounds.size()) - 1;
    std::vector<CountBlock> blocks(static_cast<std::size_t>(n_blocks));
    parallel_for(n_blocks, threads, [&](Index b) {
        Growing rows;
        std::vector<Token> sorted;
        for (Index d = bounds[b]; d < bounds[b + 1]; ++d) {
            check_row_fits(content_ends[d] - content_starts[d]);
            sorted.assign(tokens.begin() + content_starts[d], tokens.begin() + content_ends[d]);
            std::sort(sorted.begin(), sorted.end());
            if (!sorted.empty() && static_cast<Index>(sorted.back()) >= vocab_size) {
                const auto start = tokens.begin() + content_starts[d];
                const auto at = std::find(start, tokens.begin() + content_ends[d], sorted.back());
                throw_token_out_of_range(sorted.back(), at - tokens.begin(), vocab_size);
            }
            for (std::size_t i = 0; i < sorted.size();) {
                std::size_t end = i;
                while (end < sorted.size() && sorted[end] == sorted[i]) ++end;
                rows.entries.column.push_back(sorted[i]);
                rows.entries.first.push_back(static_cast<std::uint32_t>(end - i));
                i = end;
            }
            rows.row_start.push_back(static_cast<Index>(rows.entries.column.size()));
        }
        blocks[b] = rows.finish(bounds[b]);
    });
    CountMatrix counts(n_documents, vocab_size);
    for (auto& block : blocks) counts.append(std::move(block));
    return counts;
}

template <class Token>
PairSums sum_pairs_by_document(std::span<const Token> tokens, Index vocab_size, Index lag,
                               std::span<const double> u, std::span<const double> v,
                               std::span<const Index> starts, std::span<const Index> ends,
                               std::span<const Index> right_limits, int threads) {
    const Index n_documents = static_cast<Index>(starts.size());
    require(lag >= 1, "lags must be at least 1");
    require(ends.size() == starts.size() && right_limits.size() == starts.size(),
            "document arrays must have one length");
    require(
        static_cast<Index>(u.size()) == vocab_size && static_cast<Index>(v.size()) == vocab_size,
        "u and v must have vocab_size entries");
    const Index n_tokens = static_cast<Index>(tokens.size());
    std::vector<Index> prefix{0};
    for (Index d = 0; d < n_documents; ++d) {
        require(0 <= starts[d] && starts[d] <= ends[d] && ends[d] <= n_tokens &&
                    0 <= right_limits[d] && right_limits[d] <= n_tokens,
                "documents must lie inside the stream");
        prefix.push_back(prefix.back() + ends[d] - starts[d] + 1);
    }
    const std::size_t size = static_cast<std::size_t>(n_documents);
    PairSums sums{std::vector<Count>(size), std::vector<double>(size), std::vector<double>(size),
                  std::vector<double>(size)};
    const auto bounds = balanced_blocks(prefix, kBlocks);
    parallel_for(n_documents == 0 ? 0 : static_cast<Index>(bounds.size()) - 1, threads,
                 [&](Index b) {
                     for (Index d = bounds[b]; d < bounds[b + 1]; ++d) {
                         const Index stop = std::min(ends[d], right_limits[d] - lag);
                         double product = 0.0;
                         double left = 0.0;
                         double right = 0.0;
                         for (Index i = starts[d]; i < stop; ++i) {
                             const Token a = tokens[i];
                             const Token c = tokens[i + lag];
                             if (static_cast<Index>(a) >= vocab_size) {
                                 throw_token_out_of_range(a, i, vocab_size);
                             }
                             if (static_cast<Index>(c) >= vocab_size) {
                                 throw_token_out_of_range(c, i + lag, vocab_size);
                             }
                             product += u[a] * v[c];
                             left += u[a];
                             right += v[c];
                         }
                         sums.pairs[d] = static_cast<Count>(std::max<Index>(stop - starts[d], 0));
                         sums.product[d] = product;
                         sums.left[d] = left;
                         sums.right[d] = right;
                     }
                 });
    return sums;
}

namespace {

void check_classed(const ClassedDocuments& documents, Index n_tokens, Index lag) {
    require(lag >= 1, "lags must be at least 1");
    const std::size_t n = documents.starts.size();
    require(documents.ends.size() == n && documents.right_limits.size() == n &&
                documents.classes.size() == n,
            "document arrays must have one length");
    for (std::size_t d = 0; d < n; ++d) {
        require(0 <= documents.starts[d] && documents.starts[d] <= documents.ends[d] &&
                    documents.ends[d] <= n_tokens && 0 <= documents.right_limits[d] &&
                    documents.right_limits[d] <= n_tokens,
                "documents must lie inside the stream");
        require(documents.classes[d] < documents.n_classes,
                "a document's class must be below n_classes");
    }
}

// Number of vectors of `length` that fill `size`, a divisor of n_classes.
Index sets_of(std::size_t size, Index length, Index n_classes) {
    require(length > 0 && size % static_cast<std::size_t>(length) == 0,
            "vectors must have one entry per token type");
    const Index sets = static_cast<Index>(size) / length;
    require(sets >= 1 && n_classes % sets == 0, "the vectors must serve equal numbers of classes");
    return sets;
}

template <class Token>
void check_tokens(std::span<const Token> tokens, Index first, Index last, Index vocab_size) {
    Token largest = 0;
    for (Index i = first; i < last; ++i) largest = std::max(largest, tokens[i]);
    if (first == last || static_cast<Index>(largest) < vocab_size) return;
    Index at = first;
    while (static_cast<Index>(tokens[at]) < vocab_size) ++at;
    throw_token_out_of_range(tokens[at], at, vocab_size);
}

// Visits the left positions [first, last) of the pairs of one class, document by document. All
// tokens of a pair are checked before.
template <class Token, class Visit>
void for_class_runs(std::span<const Token> tokens, Index vocab_size, Index lag,
                    const ClassedDocuments& documents, Index wanted, Visit&& visit) {
    for (std::size_t d = 0; d < documents.starts.size(); ++d) {
        if (documents.classes[d] != wanted) continue;
        const Index first = documents.starts[d];
        const Index last = std::min(documents.ends[d], documents.right_limits[d] - lag);
        if (first >= last) continue;
        check_tokens(tokens, first, last, vocab_size);
        check_tokens(tokens, first + lag, last + lag, vocab_size);
        visit(first, last);
    }
}

struct BilinearTables {
    const float* left;  // vocab_size x kLanes
    const float* right;
    const double* left_sum;  // over lanes, vocab_size
    const double* right_sum;
    Index own;
};
using BilinearSums = std::array<std::array<double, kLanes>, kBilinearSums>;

// Lanes side by side, in registers as wide as the target of a function has them: the order of every
// lane's sum is the same for all of them, and with it its bits.
#if defined(__GNUC__) || defined(__clang__)
#define NGRAMSTAT_INLINE __attribute__((always_inline)) inline
using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));
using FloatLanes = float __attribute__((vector_size(kLanes * sizeof(float))));
// Not by value: functions for different targets would hand wide vectors over in different ways.
NGRAMSTAT_INLINE void load_lanes(const float* from, Lanes& to) {
    FloatLanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    to = __builtin_convertvector(lanes, Lanes);
}
#else
#define NGRAMSTAT_INLINE inline
struct Lanes {
    double value[kLanes] = {};
    friend Lanes operator*(Lanes a, const Lanes& b) {
        for (Index k = 0; k < kLanes; ++k) a.value[k] *= b.value[k];
        return a;
    }
    friend Lanes operator*(double a, Lanes b) {
        for (double& value : b.value) value *= a;
        return b;
    }
    Lanes& operator+=(const Lanes& other) {
        for (Index k = 0; k < kLanes; ++k) value[k] += other.value[k];
        return *this;
    }
};
inline void load_lanes(const float* from, Lanes& to) { std::copy_n(from, kLanes, to.value); }
#endif

template <class Token>
NGRAMSTAT_INLINE void add_bilinear(const Token* left, const Token* right, Index n,
                                   const BilinearTables& tables, BilinearSums& sums) {
    Lanes both{}, by_right{}, by_left{}, own_left{}, own_right{};
    for (Index i = 0; i < n; ++i) {
        const float* one = tables.left + Index{left[i]} * kLanes;
        const float* two = tables.right + Index{right[i]} * kLanes;
        Lanes x, y;
        load_lanes(one, x);
        load_lanes(two, y);
        both += x * y;
        by_right += tables.left_sum[left[i]] * y;
        by_left += tables.right_sum[right[i]] * x;
        own_left += static_cast<double>(one[tables.own]) * y;
        own_right += static_cast<double>(two[tables.own]) * x;
    }
    Index s = 0;
    for (const Lanes* lanes : {&both, &by_right, &by_left, &own_left, &own_right}) {
        std::array<double, kLanes> values;
        std::memcpy(values.data(), lanes, sizeof values);
        for (Index k = 0; k < kLanes; ++k) sums[s][k] += values[k];
        ++s;
    }
}

template <class Token>
using Bilinear = void (*)(const Token*, const Token*, Index, const BilinearTables&, BilinearSums&);

template <class Token>
void bilinear_scalar(const Token* left, const Token* right, Index n, const BilinearTables& tables,
                     BilinearSums& sums) {
    add_bilinear(left, right, n, tables, sums);
}
#ifdef NGRAMSTAT_X86
template <class Token>
__attribute__((target("avx2"))) void bilinear_avx2(const Token* left, const Token* right, Index n,
                                                   const BilinearTables& tables,
                                                   BilinearSums& sums) {
    add_bilinear(left, right, n, tables, sums);
}
template <class Token>
__attribute__((target("avx512f,prefer-vector-width=512"))) void bilinear_avx512(
    const Token* left, const Token* right, Index n, const BilinearTables& tables,
    BilinearSums& sums) {
    add_bilinear(left, right, n, tables, sums);
}
#endif

template <class Token>
Bilinear<Token> choose_bilinear() {
    switch (simd_level()) {
#ifdef NGRAMSTAT_X86
        case SimdLevel::avx512:
            return bilinear_avx512<Token>;
        case SimdLevel::avx2:
            return bilinear_avx2<Token>;
#endif
        default:
            return bilinear_scalar<Token>;
    }
}

}  // namespace

template <class Token>
ClassProducts multiply_pairs_by_class(std::span<const Token> tokens, Index vocab_size, Index lag,
                                      std::span<const double> u, std::span<const double> v,
                                      const ClassedDocuments& documents, int threads) {
    check_classed(documents, static_cast<Index>(tokens.size()), lag);
    const Index sets = sets_of(u.size(), vocab_size, documents.n_classes);
    require(v.size() == u.size(), "u and v must have one size");
    const std::size_t size = static_cast<std::size_t>(documents.n_classes * vocab_size);
    ClassProducts found{std::vector<double>(size), std::vector<double>(size),
                        std::vector<Count>(size), std::vector<Count>(size)};
    // What one side of a pair touches lies in one cache line.
    struct Cell {
        double left = 0.0;
        double right = 0.0;
        Count left_count = 0;
        Count right_count = 0;
    };
    parallel_for(documents.n_classes, threads, [&](Index k) {
        const Index set = k / (documents.n_classes / sets);
        const double* mine_u = u.data() + set * vocab_size;
        const double* mine_v = v.data() + set * vocab_size;
        std::vector<Cell> cells(static_cast<std::size_t>(vocab_size));
        for_class_runs(tokens, vocab_size, lag, documents, k, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                const Token one = tokens[i], two = tokens[i + lag];
                Cell& here = cells[one];
                here.left += mine_v[two];
                ++here.left_count;
                Cell& there = cells[two];
                there.right += mine_u[one];
                ++there.right_count;
            }
        });
        for (Index x = 0; x < vocab_size; ++x) {
            const std::size_t at = static_cast<std::size_t>(k * vocab_size + x);
            found.left[at] = cells[x].left;
            found.right[at] = cells[x].right;
            found.left_count[at] = cells[x].left_count;
            found.right_count[at] = cells[x].right_count;
        }
    });
    return found;
}

template <class Token>
std::vector<double> bilinear_sums_by_class(std::span<const Token> tokens, Index vocab_size,
                                           Index lag, std::span<const float> a,
                                           std::span<const float> b,
                                           const ClassedDocuments& documents, int threads) {
    check_classed(documents, static_cast<Index>(tokens.size()), lag);
    const Index sets = sets_of(a.size(), vocab_size * kLanes, documents.n_classes);
    require(b.size() == a.size(), "a and b must have one size");
    auto lane_sums = [](std::span<const float> lanes) {
        std::vector<double> sums(lanes.size() / kLanes);
        for (std::size_t x = 0; x < sums.size(); ++x) {
            for (Index k = 0; k < kLanes; ++k) sums[x] += lanes[x * kLanes + k];
        }
        return sums;
    };
    const auto a_sums = lane_sums(a);
    const auto b_sums = lane_sums(b);
    std::vector<double> found(
        static_cast<std::size_t>(documents.n_classes * kBilinearSums * kLanes));
    const Index per_set = documents.n_classes / sets;
    require(per_set <= kLanes, "at most kLanes classes a set of vectors");
    const auto add_pairs = choose_bilinear<Token>();
    parallel_for(documents.n_classes, threads, [&](Index k) {
        const Index set = k / per_set;
        const BilinearTables tables{
            a.data() + set * vocab_size * kLanes, b.data() + set * vocab_size * kLanes,
            a_sums.data() + set * vocab_size, b_sums.data() + set * vocab_size, k % per_set};
        BilinearSums sums{};
        for_class_runs(tokens, vocab_size, lag, documents, k, [&](Index first, Index last) {
            add_pairs(tokens.data() + first, tokens.data() + first + lag, last - first, tables,
                      sums);
        });
        double* out = found.data() + k * kBilinearSums * kLanes;
        for (const auto& lanes : sums) out = std::copy(lanes.begin(), lanes.end(), out);
    });
    return found;
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                            \
    template std::vector<PairCounts> count_pairs(std::span<const Token>,                        \
                                                 const PositionIndex<std::uint32_t>&, Index,    \
                                                 std::span<const Index>, int);                  \
    template std::vector<PairCounts> count_pairs(std::span<const Token>,                        \
                                                 const PositionIndex<std::uint64_t>&, Index,    \
                                                 std::span<const Index>, int);                  \
    template CountMatrix count_document_tokens(                                                 \
        std::span<const Token>, Index, std::span<const Index>, std::span<const Index>, int);    \
    template PairSums sum_pairs_by_document(                                                    \
        std::span<const Token>, Index, Index, std::span<const double>, std::span<const double>, \
        std::span<const Index>, std::span<const Index>, std::span<const Index>, int);           \
    template ClassProducts multiply_pairs_by_class(                                             \
        std::span<const Token>, Index, Index, std::span<const double>, std::span<const double>, \
        const ClassedDocuments&, int);                                                          \
    template std::vector<double> bilinear_sums_by_class(                                        \
        std::span<const Token>, Index, Index, std::span<const float>, std::span<const float>,   \
        const ClassedDocuments&, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
