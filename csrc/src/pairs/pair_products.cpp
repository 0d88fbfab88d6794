#include "ngramstat/pairs/pair_products.hpp"

#include <algorithm>
#include <array>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"

namespace ngramstat {

namespace {

constexpr Index kRuns = 256;  // of segments: enough to balance any thread count

template <class Token>
void check_pairs(const PairsAtLag<Token>& pairs, Index n_tokens) {
    require(pairs.lag >= 1, "lags must be at least 1");
    require(n_tokens == static_cast<Index>(pairs.tokens.size()),
            "the last document must end where the stream ends");
}

// The exclusive end of the left tokens of a segment's pairs.
Index end_of_left_tokens(const PairSegment& segment, Index lag) {
    return std::min(segment.last, segment.right_limit - lag);
}

// Bounds of at most `n_runs` runs of segments with about equal numbers of tokens.
std::vector<Index> balanced_runs(const LabelledSegments& segments, Index n_runs) {
    std::vector<Index> prefix{0};
    for (Index s = 0; s < segments.size(); ++s) {
        prefix.push_back(prefix.back() + segments[s].last - segments[s].first + 1);
    }
    return balanced_blocks(prefix, n_runs);
}

// The sums over one segment, in the order of the stream. Adds to entry `at`.
template <class Token>
void sum_segment(const PairsAtLag<Token>& pairs, std::span<const double> u,
                 std::span<const double> v, const PairSegment& segment, PairSums& sums, Index at) {
    const auto& [tokens, vocab_size, lag] = pairs;
    const Index stop = end_of_left_tokens(segment, lag);
    double product = 0.0;
    double left = 0.0;
    double right = 0.0;
    for (Index i = segment.first; i < stop; ++i) {
        const Token a = tokens[i];
        const Token b = tokens[i + lag];
        if (static_cast<Index>(a) >= vocab_size) throw_token_out_of_range(a, i, vocab_size);
        if (static_cast<Index>(b) >= vocab_size) throw_token_out_of_range(b, i + lag, vocab_size);
        product += u[a] * v[b];
        left += u[a];
        right += v[b];
    }
    sums.pairs[at] = static_cast<Count>(std::max<Index>(stop - segment.first, 0));
    sums.product[at] = product;
    sums.left[at] = left;
    sums.right[at] = right;
}

}  // namespace

template <class Token>
PairSums sum_pairs_by_document(const PairsAtLag<Token>& pairs, std::span<const double> u,
                               std::span<const double> v, const Documents& documents, bool across,
                               int threads) {
    check_pairs(pairs, documents.n_tokens());
    require(static_cast<Index>(u.size()) == pairs.vocab_size &&
                static_cast<Index>(v.size()) == pairs.vocab_size,
            "u and v must have vocab_size entries");
    // One segment per document; the labels play no role.
    const LabelledSegments segments(documents, across, PairLabel::half);
    const std::size_t size = static_cast<std::size_t>(documents.size());
    PairSums sums{std::vector<Count>(size), std::vector<double>(size), std::vector<double>(size),
                  std::vector<double>(size)};
    const auto bounds = balanced_runs(segments, kRuns);
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads, [&](Index run) {
        for (Index d = bounds[run]; d < bounds[run + 1]; ++d) {
            sum_segment(pairs, u, v, segments[d], sums, d);
        }
    });
    return sums;
}

namespace {

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

// Visits the left positions [first, last) of the pairs of one class, segment by segment. All tokens
// of a segment's pairs are checked before.
template <class Token, class Visit>
void for_class_runs(const PairsAtLag<Token>& pairs, const LabelledSegments& segments, Index cls,
                    Visit&& visit) {
    const auto& [tokens, vocab_size, lag] = pairs;
    for (Index s = 0; s < segments.size(); ++s) {
        const PairSegment segment = segments[s];
        if (segment.label != cls) continue;
        const Index first = segment.first, last = end_of_left_tokens(segment, lag);
        if (first >= last) continue;
        check_tokens(tokens, first, last, vocab_size);
        check_tokens(tokens, first + lag, last + lag, vocab_size);
        visit(first, last);
        // The segments of a class are spread over the stream: each task reads most of its pages.
        release_pages_if_needed();
    }
}

// The vectors of one set, and the number of the class within it.
struct BilinearTables {
    const float* left;  // vocab_size x kBlockSize
    const float* right;
    const double* left_sum;  // over the eight vectors, vocab_size
    const double* right_sum;
    Index own;
};
using BilinearSums = std::array<std::array<double, kBlockSize>, kBilinearSums>;

template <class Token>
struct AddBilinear {
    template <int kBytes>
    static void run(const Token* left, const Token* right, Index n, const BilinearTables& tables,
                    BilinearSums& sums) {
        VectorBlock<kBytes> both{}, by_right{}, by_left{}, own_left{}, own_right{};
        for (Index i = 0; i < n; ++i) {
            const float* one = tables.left + Index{left[i]} * kBlockSize;
            const float* two = tables.right + Index{right[i]} * kBlockSize;
            VectorBlock<kBytes> x, y;
            x.load_widened(one);
            y.load_widened(two);
            both.add_product(x, y);
            by_right.add_product(tables.left_sum[left[i]], y);
            by_left.add_product(tables.right_sum[right[i]], x);
            own_left.add_product(static_cast<double>(one[tables.own]), y);
            own_right.add_product(static_cast<double>(two[tables.own]), x);
        }
        Index s = 0;
        for (const auto* block : {&both, &by_right, &by_left, &own_left, &own_right}) {
            std::array<double, kBlockSize> values;
            block->store(values.data());
            for (Index k = 0; k < kBlockSize; ++k) sums[s][k] += values[k];
            ++s;
        }
    }
};

}  // namespace

template <class Token>
ClassProducts multiply_pairs_by_class(const PairsAtLag<Token>& pairs, std::span<const double> u,
                                      std::span<const double> v, const LabelledSegments& segments,
                                      int threads) {
    check_pairs(pairs, segments.n_tokens());
    const auto tokens = pairs.tokens;
    const Index vocab_size = pairs.vocab_size, lag = pairs.lag, n_classes = segments.n_labels();
    const Index sets = sets_of(u.size(), vocab_size, n_classes);
    require(v.size() == u.size(), "u and v must have one size");
    const std::size_t size = static_cast<std::size_t>(n_classes * vocab_size);
    ClassProducts products{std::vector<double>(size), std::vector<double>(size),
                           std::vector<Count>(size), std::vector<Count>(size)};
    // What one side of a pair touches lies in one cache line.
    struct Cell {
        double left = 0.0;
        double right = 0.0;
        Count left_count = 0;
        Count right_count = 0;
    };
    parallel_for(n_classes, threads, [&](Index k) {
        const Index set = k / (n_classes / sets);
        const double* class_u = u.data() + set * vocab_size;
        const double* class_v = v.data() + set * vocab_size;
        std::vector<Cell> cells(static_cast<std::size_t>(vocab_size));
        for_class_runs(pairs, segments, k, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                const Token a = tokens[i], b = tokens[i + lag];
                Cell& of_left = cells[a];
                of_left.left += class_v[b];
                ++of_left.left_count;
                Cell& of_right = cells[b];
                of_right.right += class_u[a];
                ++of_right.right_count;
            }
        });
        for (Index x = 0; x < vocab_size; ++x) {
            const std::size_t at = static_cast<std::size_t>(k * vocab_size + x);
            products.left[at] = cells[x].left;
            products.right[at] = cells[x].right;
            products.left_count[at] = cells[x].left_count;
            products.right_count[at] = cells[x].right_count;
        }
    });
    return products;
}

template <class Token>
std::vector<double> bilinear_sums_by_class(const PairsAtLag<Token>& pairs, std::span<const float> a,
                                           std::span<const float> b,
                                           const LabelledSegments& segments, int threads) {
    check_pairs(pairs, segments.n_tokens());
    const Index vocab_size = pairs.vocab_size, n_classes = segments.n_labels();
    const Index sets = sets_of(a.size(), vocab_size * kBlockSize, n_classes);
    require(b.size() == a.size(), "a and b must have one size");
    auto sums_over_block = [](std::span<const float> block) {
        std::vector<double> sums(block.size() / kBlockSize);
        for (std::size_t x = 0; x < sums.size(); ++x) {
            for (Index k = 0; k < kBlockSize; ++k) sums[x] += block[x * kBlockSize + k];
        }
        return sums;
    };
    const auto a_sums = sums_over_block(a);
    const auto b_sums = sums_over_block(b);
    std::vector<double> result(static_cast<std::size_t>(n_classes * kBilinearSums * kBlockSize));
    const Index per_set = n_classes / sets;
    require(per_set <= kBlockSize, "at most kBlockSize classes a set of vectors");
    const auto add_pairs = built_for_level<AddBilinear<Token>>();
    parallel_for(n_classes, threads, [&](Index k) {
        const Index set = k / per_set;
        const BilinearTables tables{
            a.data() + set * vocab_size * kBlockSize, b.data() + set * vocab_size * kBlockSize,
            a_sums.data() + set * vocab_size, b_sums.data() + set * vocab_size, k % per_set};
        BilinearSums sums{};
        for_class_runs(pairs, segments, k, [&](Index first, Index last) {
            const Token* left = pairs.tokens.data() + first;
            add_pairs(left, left + pairs.lag, last - first, tables, sums);
        });
        double* out = result.data() + k * kBilinearSums * kBlockSize;
        for (const auto& row : sums) out = std::copy(row.begin(), row.end(), out);
    });
    return result;
}

namespace {

// target[a[i]] += weight * source[b[i]], for rows of kBlockSize.
template <class Token>
struct AddProducts {
    template <int kBytes>
    static void run(const Token* a, const Token* b, Index n, double weight, const double* source,
                    double* target) {
        for (Index i = 0; i < n; ++i) {
            double* to = target + Index{a[i]} * kBlockSize;
            VectorBlock<kBytes> row, sum;
            row.load(source + Index{b[i]} * kBlockSize);
            sum.load(to);
            sum.add_product(weight, row);
            sum.store(to);
        }
    }
};

}  // namespace

template <class Token>
void multiply_pairs(const PairsAtLag<Token>& pairs, std::span<const double> x,
                    std::span<const double> class_weights, const LabelledSegments& segments,
                    bool transposed, std::span<double> out, int threads) {
    check_pairs(pairs, segments.n_tokens());
    const Index vocab_size = pairs.vocab_size;
    const std::size_t size = static_cast<std::size_t>(vocab_size * kBlockSize);
    require(x.size() == size && out.size() == size, "x and out must be (vocab_size, 8)");
    require(static_cast<Index>(class_weights.size()) == segments.n_labels(),
            "one weight per class is needed");
    // Each run of segments adds to its own copy of out; the copies are summed in order. Wide ones
    // are fewer, to bound the scratch.
    const auto bounds = balanced_runs(segments, vocab_size <= (1 << 16) ? 16 : 4);
    const Index runs = static_cast<Index>(bounds.size()) - 1;
    std::vector<std::vector<double>> partial(static_cast<std::size_t>(runs));
    const auto add = built_for_level<AddProducts<Token>>();
    const auto add_segment = [&](const PairSegment& segment, std::vector<double>& sums) {
        const double weight = class_weights[segment.label];
        const Index first = segment.first, last = end_of_left_tokens(segment, pairs.lag);
        if (first >= last || weight == 0.0) return;
        check_tokens(pairs.tokens, first, last, pairs.vocab_size);
        check_tokens(pairs.tokens, first + pairs.lag, last + pairs.lag, pairs.vocab_size);
        const Token* left = pairs.tokens.data() + first;
        const Token* right = left + pairs.lag;
        add(transposed ? right : left, transposed ? left : right, last - first, weight, x.data(),
            sums.data());
    };
    parallel_for(runs, threads, [&](Index run) {
        partial[run].assign(size, 0.0);
        for (Index s = bounds[run]; s < bounds[run + 1]; ++s) {
            add_segment(segments[s], partial[run]);
        }
    });
    for (std::size_t i = 0; i < size; ++i) {
        double sum = 0.0;
        for (const auto& copy : partial) sum += copy[i];
        out[i] = sum;
    }
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                               \
    template PairSums sum_pairs_by_document(const PairsAtLag<Token>&, std::span<const double>,     \
                                            std::span<const double>, const Documents&, bool, int); \
    template ClassProducts multiply_pairs_by_class(                                                \
        const PairsAtLag<Token>&, std::span<const double>, std::span<const double>,                \
        const LabelledSegments&, int);                                                             \
    template std::vector<double> bilinear_sums_by_class(                                           \
        const PairsAtLag<Token>&, std::span<const float>, std::span<const float>,                  \
        const LabelledSegments&, int);                                                             \
    template void multiply_pairs(const PairsAtLag<Token>&, std::span<const double>,                \
                                 std::span<const double>, const LabelledSegments&, bool,           \
                                 std::span<double>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
