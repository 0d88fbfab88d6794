#include "ngramstat/pairs/pair_products.hpp"

#include <algorithm>
#include <array>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"

namespace ngramstat {

namespace {

constexpr Index kRuns = 256;  // of documents: enough to balance any thread count

}  // namespace
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
    const auto bounds = balanced_blocks(prefix, kRuns);
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
        // One class's documents lie all over the stream: its task reads most pages of it.
        release_pages_if_needed();
    }
}

struct BilinearTables {
    const float* left;  // vocab_size x kBlockSize
    const float* right;
    const double* left_sum;  // over lanes, vocab_size
    const double* right_sum;
    Index own;
};
using BilinearSums = std::array<std::array<double, kBlockSize>, kBilinearSums>;

template <class Token>
struct AddBilinear {
    template <int kBytes>
    static void run(const Token* left, const Token* right, Index n, const BilinearTables& tables,
                    BilinearSums& sums) {
        Lanes<kBytes> both{}, by_right{}, by_left{}, own_left{}, own_right{};
        for (Index i = 0; i < n; ++i) {
            const float* one = tables.left + Index{left[i]} * kBlockSize;
            const float* two = tables.right + Index{right[i]} * kBlockSize;
            Lanes<kBytes> x, y;
            x.load(one);
            y.load(two);
            both.add_product(x, y);
            by_right.add_product(tables.left_sum[left[i]], y);
            by_left.add_product(tables.right_sum[right[i]], x);
            own_left.add_product(static_cast<double>(one[tables.own]), y);
            own_right.add_product(static_cast<double>(two[tables.own]), x);
        }
        Index s = 0;
        for (const auto* lanes : {&both, &by_right, &by_left, &own_left, &own_right}) {
            std::array<double, kBlockSize> values;
            lanes->store(values.data());
            for (Index k = 0; k < kBlockSize; ++k) sums[s][k] += values[k];
            ++s;
        }
    }
};

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
    const Index sets = sets_of(a.size(), vocab_size * kBlockSize, documents.n_classes);
    require(b.size() == a.size(), "a and b must have one size");
    auto lane_sums = [](std::span<const float> lanes) {
        std::vector<double> sums(lanes.size() / kBlockSize);
        for (std::size_t x = 0; x < sums.size(); ++x) {
            for (Index k = 0; k < kBlockSize; ++k) sums[x] += lanes[x * kBlockSize + k];
        }
        return sums;
    };
    const auto a_sums = lane_sums(a);
    const auto b_sums = lane_sums(b);
    std::vector<double> found(
        static_cast<std::size_t>(documents.n_classes * kBilinearSums * kBlockSize));
    const Index per_set = documents.n_classes / sets;
    require(per_set <= kBlockSize, "at most kBlockSize classes a set of vectors");
    const auto add_pairs = built_for_level<AddBilinear<Token>>();
    parallel_for(documents.n_classes, threads, [&](Index k) {
        const Index set = k / per_set;
        const BilinearTables tables{
            a.data() + set * vocab_size * kBlockSize, b.data() + set * vocab_size * kBlockSize,
            a_sums.data() + set * vocab_size, b_sums.data() + set * vocab_size, k % per_set};
        BilinearSums sums{};
        for_class_runs(tokens, vocab_size, lag, documents, k, [&](Index first, Index last) {
            add_pairs(tokens.data() + first, tokens.data() + first + lag, last - first, tables,
                      sums);
        });
        double* out = found.data() + k * kBilinearSums * kBlockSize;
        for (const auto& lanes : sums) out = std::copy(lanes.begin(), lanes.end(), out);
    });
    return found;
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
            Lanes<kBytes> row, sum;
            row.load(source + Index{b[i]} * kBlockSize);
            sum.load(to);
            sum.add_product(weight, row);
            sum.store(to);
        }
    }
};

}  // namespace

template <class Token>
void multiply_pairs(std::span<const Token> tokens, Index vocab_size, Index lag,
                    std::span<const double> x, std::span<const double> class_weights,
                    const ClassedDocuments& documents, bool transposed, std::span<double> out,
                    int threads) {
    check_classed(documents, static_cast<Index>(tokens.size()), lag);
    const std::size_t size = static_cast<std::size_t>(vocab_size * kBlockSize);
    require(x.size() == size && out.size() == size, "x and out must be (vocab_size, 8)");
    require(static_cast<Index>(class_weights.size()) == documents.n_classes,
            "one weight per class is needed");
    std::vector<Index> prefix{0};
    for (std::size_t d = 0; d < documents.starts.size(); ++d) {
        prefix.push_back(prefix.back() + documents.ends[d] - documents.starts[d] + 1);
    }
    // Each run of documents adds to its own copy of out; the copies are summed in order. Wide ones
    // are fewer, to bound the scratch.
    const auto bounds = balanced_blocks(prefix, vocab_size <= (1 << 16) ? 16 : 4);
    const Index runs = documents.starts.empty() ? 0 : static_cast<Index>(bounds.size()) - 1;
    std::vector<std::vector<double>> partial(static_cast<std::size_t>(runs));
    const auto add = built_for_level<AddProducts<Token>>();
    parallel_for(runs, threads, [&](Index run) {
        partial[run].assign(size, 0.0);
        for (Index d = bounds[run]; d < bounds[run + 1]; ++d) {
            const double weight = class_weights[documents.classes[d]];
            const Index first = documents.starts[d];
            const Index last = std::min(documents.ends[d], documents.right_limits[d] - lag);
            if (first >= last || weight == 0.0) continue;
            check_tokens(tokens, first, last, vocab_size);
            check_tokens(tokens, first + lag, last + lag, vocab_size);
            const Token* left = tokens.data() + first;
            const Token* right = left + lag;
            add(transposed ? right : left, transposed ? left : right, last - first, weight,
                x.data(), partial[run].data());
        }
    });
    for (std::size_t i = 0; i < size; ++i) {
        double sum = 0.0;
        for (const auto& copy : partial) sum += copy[i];
        out[i] = sum;
    }
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                            \
    template PairSums sum_pairs_by_document(                                                    \
        std::span<const Token>, Index, Index, std::span<const double>, std::span<const double>, \
        std::span<const Index>, std::span<const Index>, std::span<const Index>, int);           \
    template ClassProducts multiply_pairs_by_class(                                             \
        std::span<const Token>, Index, Index, std::span<const double>, std::span<const double>, \
        const ClassedDocuments&, int);                                                          \
    template std::vector<double> bilinear_sums_by_class(                                        \
        std::span<const Token>, Index, Index, std::span<const float>, std::span<const float>,   \
        const ClassedDocuments&, int);                                                          \
    template void multiply_pairs(std::span<const Token>, Index, Index, std::span<const double>, \
                                 std::span<const double>, const ClassedDocuments&, bool,        \
                                 std::span<double>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
