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

// The bounds of the left tokens of a segment's pairs, [first, last), and of those inside a
// document.
struct SegmentRuns {
    Index first, last;
    Index inside_first, inside_last;

    SegmentRuns(const PairSegment& segment, Index lag)
        : first(segment.first), last(std::max(first, end_of_left_tokens(segment, lag))) {
        inside_first = std::clamp(segment.content_first, first, last);
        inside_last = std::clamp(segment.content_last - lag, inside_first, last);
    }
};

template <class Token>
void check_tokens(std::span<const Token> tokens, Index first, Index last, Index vocab_size) {
    Token largest = 0;
    for (Index i = first; i < last; ++i) largest = std::max(largest, tokens[i]);
    if (first == last || static_cast<Index>(largest) < vocab_size) return;
    Index at = first;
    while (static_cast<Index>(tokens[at]) < vocab_size) ++at;
    throw_token_out_of_range(tokens[at], at, vocab_size);
}

template <class Token>
void check_tokens(const PairsAtLag<Token>& pairs, const SegmentRuns& runs) {
    check_tokens(pairs.tokens, runs.first, runs.last, pairs.vocab_size);
    check_tokens(pairs.tokens, runs.first + pairs.lag, runs.last + pairs.lag, pairs.vocab_size);
}

Index kinds_of(std::size_t size, Index vocab_size) {
    require(vocab_size > 0 && size % static_cast<std::size_t>(vocab_size) == 0,
            "u and v must have vocab_size entries");
    const Index n_kinds = static_cast<Index>(size) / vocab_size;
    require(n_kinds == 1 || n_kinds == 2, "there must be vectors for one or two kinds of pairs");
    return n_kinds;
}

// Sums of u[left[i]] * v[right[i]], u[left[i]] and v[right[i]] over n pairs. The pairs are dealt
// out to kChains sums, added in their order at the end: one chain of additions would wait for each
// result.
constexpr Index kChains = 4;
template <class Token>
std::array<double, 3> sum_run(const Token* left, const Token* right, Index n, const double* u,
                              const double* v) {
    double product[kChains] = {}, of_left[kChains] = {}, of_right[kChains] = {};
    const auto add = [&](Index i, Index chain) {
        const double x = u[left[i]], y = v[right[i]];
        product[chain] += x * y;
        of_left[chain] += x;
        of_right[chain] += y;
    };
    Index i = 0;
    for (; i + kChains <= n; i += kChains) {
        for (Index chain = 0; chain < kChains; ++chain) add(i + chain, chain);
    }
    for (; i < n; ++i) add(i, i % kChains);
    const auto total = [](const double* sums) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); };
    return {total(product), total(of_left), total(of_right)};
}

// The sums over one document. Adds to entry `at`.
template <class Token>
void sum_document(const PairsAtLag<Token>& pairs, std::span<const double> u,
                  std::span<const double> v, const SegmentRuns& runs, PairSums& sums,
                  std::size_t at) {
    const Token* left = pairs.tokens.data();
    const Token* right = left + pairs.lag;
    const auto [product, of_left, of_right] =
        sum_run(left + runs.first, right + runs.first, runs.last - runs.first, u.data(), v.data());
    sums.pairs[at] = static_cast<Count>(runs.last - runs.first);
    sums.product[at] = product;
    sums.left[at] = of_left;
    sums.right[at] = of_right;
    const std::size_t vocab_size = static_cast<std::size_t>(pairs.vocab_size);
    if (u.size() == vocab_size) return;
    const Index n_inside = runs.inside_last - runs.inside_first;
    const auto inside = sum_run(left + runs.inside_first, right + runs.inside_first, n_inside,
                                u.data() + vocab_size, v.data() + vocab_size);
    sums.pairs[sums.left.size() + at] = static_cast<Count>(n_inside);
    sums.product[sums.left.size() + at] = inside[0];
}

}  // namespace

template <class Token>
PairSums sum_pairs_by_document(const PairsAtLag<Token>& pairs, std::span<const double> u,
                               std::span<const double> v, const Documents& documents, bool across,
                               int threads) {
    check_pairs(pairs, documents.n_tokens());
    const std::size_t kinds = static_cast<std::size_t>(kinds_of(u.size(), pairs.vocab_size));
    require(u.size() == v.size(), "u and v must have one size");
    // One segment per document; the labels play no role.
    const LabelledSegments segments(documents, across, PairLabel::half);
    const std::size_t size = static_cast<std::size_t>(documents.size());
    PairSums sums{std::vector<Count>(kinds * size), std::vector<double>(kinds * size),
                  std::vector<double>(size), std::vector<double>(size)};
    const auto bounds = balanced_runs(segments, kRuns);
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads, [&](Index run) {
        for (Index d = bounds[run]; d < bounds[run + 1]; ++d) {
            const SegmentRuns runs(segments[d], pairs.lag);
            check_tokens(pairs, runs);
            sum_document(pairs, u, v, runs, sums, static_cast<std::size_t>(d));
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

// Visits the left positions [first, last) of the pairs of one class, segment by segment, with
// whether the pairs are inside a document. All tokens of a segment's pairs are checked before.
template <class Token, class Visit>
void for_class_runs(const PairsAtLag<Token>& pairs, const LabelledSegments& segments, Index cls,
                    Visit&& visit) {
    for (Index s = 0; s < segments.size(); ++s) {
        const PairSegment segment = segments[s];
        if (segment.label != cls) continue;
        const SegmentRuns runs(segment, pairs.lag);
        if (runs.first >= runs.last) continue;
        check_tokens(pairs, runs);
        visit(runs.first, runs.inside_first, false);
        visit(runs.inside_first, runs.inside_last, true);
        visit(runs.inside_last, runs.last, false);
        // The segments of a class are spread over the stream: each task reads most of its pages.
        release_pages_if_needed();
    }
}

// Four doubles, half a line.
template <int kBytes>
struct HalfBlock {
    static constexpr int kRegisterBytes = kBytes < 32 ? kBytes : 32;
    static constexpr int kRegisters = 32 / kRegisterBytes;
#if defined(__GNUC__) || defined(__clang__)
    using Unaligned = typename VectorOf<double, kRegisterBytes>::Unaligned;
    static void add(double* to, const double* from) {
        auto* target = reinterpret_cast<Unaligned*>(to);
        const auto* source = reinterpret_cast<const Unaligned*>(from);
        for (int p = 0; p < kRegisters; ++p) target[p] += source[p];
    }
#else
    static void add(double* to, const double* from) {
        for (int k = 0; k < 4; ++k) to[k] += from[k];
    }
#endif
};

// What a token adds to its partner's cell, and what a cell has from the right tokens of its item's
// pairs and from the left ones: values of both kinds, then pairs of both kinds.
constexpr Index kHalfCell = 4, kCell = 2 * kHalfCell;

template <class Token>
struct AddPairs {
    template <int kBytes>
    static void run(const Token* left, const Token* right, Index n, const double* of_left,
                    const double* of_right, double* cells) {
        for (Index i = 0; i < n; ++i) {
            const Index a = left[i], b = right[i];
            HalfBlock<kBytes>::add(cells + a * kCell, of_right + b * kHalfCell);
            HalfBlock<kBytes>::add(cells + b * kCell + kHalfCell, of_left + a * kHalfCell);
        }
    }
};

// The vectors of one set with a one for each pair of a kind, (vocab_size x kHalfCell): for pairs
// inside documents, and with `outside` for those that count for kind 0 alone.
std::vector<double> with_ones(const double* vectors, Index vocab_size, Index n_kinds,
                              bool outside) {
    std::vector<double> rows(static_cast<std::size_t>(vocab_size * kHalfCell));
    for (Index x = 0; x < vocab_size; ++x) {
        for (Index kind = 0; kind < (outside ? 1 : n_kinds); ++kind) {
            rows[x * kHalfCell + kind] = vectors[x * n_kinds + kind];
            rows[x * kHalfCell + 2 + kind] = 1.0;
        }
    }
    return rows;
}

// The segments of each class in their order: there are many more than those of one class where
// positions have classes of their own.
class SegmentsOfClasses {
  public:
    explicit SegmentsOfClasses(const LabelledSegments& segments)
        : segments_(segments), of_class_(static_cast<std::size_t>(segments.n_labels())) {
        for (Index s = 0; s < segments.size(); ++s) of_class_[segments[s].label].push_back(s);
    }
    template <class Visit>
    void for_each(Index cls, Visit&& visit) const {
        for (const Index s : of_class_[static_cast<std::size_t>(cls)]) visit(segments_[s]);
    }

  private:
    const LabelledSegments& segments_;
    std::vector<std::vector<Index>> of_class_;
};

// Counts the pairs of one class.
template <class Token>
void count_class(const PairsAtLag<Token>& pairs, const SegmentsOfClasses& segments, Index cls,
                 Count* left, Count* right) {
    segments.for_each(cls, [&](const PairSegment& segment) {
        const SegmentRuns runs(segment, pairs.lag);
        check_tokens(pairs, runs);
        for (Index i = runs.first; i < runs.last; ++i) {
            ++left[pairs.tokens[i]];
            ++right[pairs.tokens[i + pairs.lag]];
        }
        release_pages_if_needed();
    });
}

// Where the left and the right tokens of the pairs of a segment differ from all its tokens:
// visit(first, last, counts for the left, for the right tokens), counts of -1, 0 or 1.
template <class Visit>
void for_differences(const PairSegment& segment, Index lag, Visit&& visit) {
    const auto [first, last] = std::pair{segment.first, segment.last};
    const Index end = SegmentRuns(segment, lag).last;
    visit(end, last, -1, 0);
    if (end == first) {
        visit(first, last, 0, -1);
        return;
    }
    visit(first, std::min(last, first + lag), 0, -1);
    visit(std::min(last, end + lag), last, 0, -1);
    visit(std::max(last, first + lag), end + lag, 0, 1);
}

// The same from all tokens of the class, which `left` and `right` hold at first.
template <class Token>
void count_class_from_tokens(const PairsAtLag<Token>& pairs, const SegmentsOfClasses& segments,
                             Index cls, Count* left, Count* right) {
    segments.for_each(cls, [&](const PairSegment& segment) {
        const auto add = [&](Index first, Index last, int of_left, int of_right) {
            if (first >= last) return;
            check_tokens(pairs.tokens, first, last, pairs.vocab_size);
            Count* counts = of_left != 0 ? left : right;
            const Count change = static_cast<Count>(of_left + of_right);
            for (Index i = first; i < last; ++i) counts[pairs.tokens[i]] += change;
        };
        for_differences(segment, pairs.lag, add);
        release_pages_if_needed();
    });
}

// Whether the differences have fewer tokens than the pairs of a class.
bool has_few_differences(const SegmentsOfClasses& segments, Index lag, Index cls) {
    Index of_pairs = 0, of_differences = 0;
    segments.for_each(cls, [&](const PairSegment& segment) {
        const SegmentRuns runs(segment, lag);
        of_pairs += 2 * (runs.last - runs.first);
        for_differences(segment, lag, [&](Index first, Index last, int, int) {
            of_differences += std::max<Index>(last - first, 0);
        });
    });
    return of_differences < of_pairs;
}

}  // namespace

template <class Token>
ClassCounts count_pairs_by_class(const PairsAtLag<Token>& pairs, const LabelledSegments& segments,
                                 std::span<const Count> tokens_by_class, int threads) {
    check_pairs(pairs, segments.n_tokens());
    const Index vocab_size = pairs.vocab_size;
    const std::size_t size = static_cast<std::size_t>(segments.n_labels() * vocab_size);
    require(tokens_by_class.empty() || tokens_by_class.size() == size,
            "tokens_by_class must be (n_classes, vocab_size)");
    ClassCounts counts{std::vector<Count>(size), std::vector<Count>(size)};
    const SegmentsOfClasses of_classes(segments);
    parallel_for(segments.n_labels(), threads, [&](Index k) {
        Count* left = counts.left.data() + k * vocab_size;
        Count* right = counts.right.data() + k * vocab_size;
        if (tokens_by_class.empty() || !has_few_differences(of_classes, pairs.lag, k)) {
            count_class(pairs, of_classes, k, left, right);
            return;
        }
        std::copy_n(tokens_by_class.data() + k * vocab_size, vocab_size, left);
        std::copy_n(left, vocab_size, right);
        count_class_from_tokens(pairs, of_classes, k, left, right);
    });
    return counts;
}

template <class Token>
std::vector<Count> count_tokens_by_class(std::span<const Token> tokens, Index vocab_size,
                                         const LabelledSegments& segments, int threads) {
    require(segments.n_tokens() == static_cast<Index>(tokens.size()),
            "the last document must end where the stream ends");
    require(vocab_size > 0, "there must be vocabulary items");
    std::vector<Count> counts(static_cast<std::size_t>(segments.n_labels() * vocab_size));
    const SegmentsOfClasses of_classes(segments);
    parallel_for(segments.n_labels(), threads, [&](Index k) {
        Count* of_class = counts.data() + k * vocab_size;
        of_classes.for_each(k, [&](const PairSegment& segment) {
            check_tokens(tokens, segment.first, segment.last, vocab_size);
            for (Index i = segment.first; i < segment.last; ++i) ++of_class[tokens[i]];
            release_pages_if_needed();
        });
    });
    return counts;
}

template <class Token>
ClassProducts multiply_pairs_by_class(const PairsAtLag<Token>& pairs, Index n_kinds,
                                      std::span<const double> u, std::span<const double> v,
                                      const LabelledSegments& segments, int threads) {
    check_pairs(pairs, segments.n_tokens());
    require(n_kinds == 1 || n_kinds == 2, "there must be vectors for one or two kinds of pairs");
    const Index vocab_size = pairs.vocab_size, n_classes = segments.n_labels();
    const Index sets = sets_of(u.size(), vocab_size * n_kinds, n_classes);
    require(v.size() == u.size(), "u and v must have one size");
    const std::size_t size = static_cast<std::size_t>(n_kinds * n_classes * vocab_size);
    ClassProducts products{std::vector<double>(size),
                           std::vector<double>(size),
                           {std::vector<Count>(size), std::vector<Count>(size)}};
    const auto add = built_for_level<AddPairs<Token>>();
    struct Tables {
        std::vector<double> of_left, of_right;
    };
    std::vector<std::array<Tables, 2>> tables(static_cast<std::size_t>(sets));
    for (Index set = 0; set < sets; ++set) {
        const double* set_u = u.data() + set * vocab_size * n_kinds;
        const double* set_v = v.data() + set * vocab_size * n_kinds;
        for (const bool outside : {false, true}) {
            tables[set][outside] = {with_ones(set_u, vocab_size, n_kinds, outside),
                                    with_ones(set_v, vocab_size, n_kinds, outside)};
        }
    }
    parallel_for(n_classes, threads, [&](Index k) {
        const auto& of_set = tables[k / (n_classes / sets)];
        std::vector<double> cells(static_cast<std::size_t>(vocab_size * kCell));
        for_class_runs(pairs, segments, k, [&](Index first, Index last, bool inside) {
            const Token* left = pairs.tokens.data() + first;
            const Tables& rows = of_set[inside ? 0 : 1];
            add(left, left + pairs.lag, last - first, rows.of_left.data(), rows.of_right.data(),
                cells.data());
        });
        for (Index kind = 0; kind < n_kinds; ++kind) {
            for (Index x = 0; x < vocab_size; ++x) {
                const double* cell = cells.data() + x * kCell + kind;
                const auto at = static_cast<std::size_t>((kind * n_classes + k) * vocab_size + x);
                products.left[at] = cell[0];
                products.right[at] = cell[kHalfCell];
                products.counts.left[at] = static_cast<Count>(cell[2]);
                products.counts.right[at] = static_cast<Count>(cell[kHalfCell + 2]);
            }
        }
    });
    return products;
}

namespace {

// Pairs whose sums are of single precision before they are added to those of doubles.
constexpr Index kSinglePairs = 1 << 18;

// sums[left[i]] += rows[right[i]], for rows of kSingleBlockSize.
template <class Token>
struct AddRows {
    template <int kBytes>
    static void run(const Token* left, const Token* right, Index n, const float* rows,
                    float* sums) {
        for (Index i = 0; i < n; ++i) {
            float* to = sums + left[i] * kSingleBlockSize;
            VectorBlock<kBytes, float> row, sum;
            row.load(rows + right[i] * kSingleBlockSize);
            sum.load(to);
            sum.add(row);
            sum.store(to);
        }
    }
};

// Rows of kSingleBlockSize for each vocabulary item: a block of vectors for each of `kinds` kinds,
// out of n_kinds that `vectors` has, and zeros.
std::vector<float> rows_of_kinds(const float* vectors, Index vocab_size, Index n_kinds,
                                 Index kinds) {
    std::vector<float> rows(static_cast<std::size_t>(vocab_size * kSingleBlockSize));
    for (Index x = 0; x < vocab_size; ++x) {
        std::copy_n(vectors + x * n_kinds * kBlockSize, kinds * kBlockSize,
                    rows.data() + x * kSingleBlockSize);
    }
    return rows;
}

// J b of the pairs of one class, for the blocks of both kinds.
template <class Token>
class RowSums {
  public:
    RowSums(Index vocab_size)
        : singles_(static_cast<std::size_t>(vocab_size * kSingleBlockSize)),
          sums_(singles_.size()) {}

    // Adds the rows of the right tokens of n pairs to those of their left tokens.
    void add(const Token* left, const Token* right, Index n, const float* rows) {
        while (n > 0) {
            const Index some = std::min(n, kSinglePairs - pending_);
            add_(left, right, some, rows, singles_.data());
            left += some;
            right += some;
            n -= some;
            pending_ += some;
            if (pending_ == kSinglePairs) flush();
        }
    }
    const std::vector<double>& sums() {
        flush();
        return sums_;
    }

  private:
    void flush() {
        for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += singles_[i];
        std::fill(singles_.begin(), singles_.end(), 0.0F);
        pending_ = 0;
    }

    typename BuiltFor<AddRows<Token>>::Function add_ = built_for_level<AddRows<Token>>();
    std::vector<float> singles_;
    std::vector<double> sums_;
    Index pending_ = 0;
};

}  // namespace

template <class Token>
std::vector<double> bilinear_forms_by_class(const PairsAtLag<Token>& pairs, Index n_kinds,
                                            std::span<const float> a, std::span<const float> b,
                                            const LabelledSegments& segments, int threads) {
    check_pairs(pairs, segments.n_tokens());
    require(n_kinds == 1 || n_kinds == 2, "there must be vectors for one or two kinds of pairs");
    const Index vocab_size = pairs.vocab_size, n_classes = segments.n_labels();
    const Index set_size = vocab_size * n_kinds * kBlockSize;
    const Index sets = sets_of(a.size(), set_size, n_classes);
    require(b.size() == a.size(), "a and b must have one size");
    constexpr Index kForms = kBlockSize * kBlockSize;
    std::vector<double> result(static_cast<std::size_t>(n_kinds * n_classes * kForms));
    // The vectors of b for pairs that count for kind 0 alone, and for those inside documents.
    std::vector<std::array<std::vector<float>, 2>> rows;
    for (Index set = 0; set < sets; ++set) {
        const float* vectors = b.data() + set * set_size;
        rows.push_back({rows_of_kinds(vectors, vocab_size, n_kinds, 1),
                        rows_of_kinds(vectors, vocab_size, n_kinds, n_kinds)});
    }
    parallel_for(n_classes, threads, [&](Index k) {
        const Index set = k / (n_classes / sets);
        // J b, from which the forms follow without another pass.
        RowSums<Token> row_sums(vocab_size);
        for_class_runs(pairs, segments, k, [&](Index first, Index last, bool inside) {
            const Token* left = pairs.tokens.data() + first;
            row_sums.add(left, left + pairs.lag, last - first, rows[set][inside ? 1 : 0].data());
        });
        const auto& sums = row_sums.sums();
        for (Index x = 0; x < vocab_size; ++x) {
            for (Index kind = 0; kind < n_kinds; ++kind) {
                const float* left = a.data() + set * set_size + (x * n_kinds + kind) * kBlockSize;
                const double* right = sums.data() + x * kSingleBlockSize + kind * kBlockSize;
                double* forms = result.data() + (kind * n_classes + k) * kForms;
                for (Index c = 0; c < kBlockSize; ++c) {
                    for (Index j = 0; j < kBlockSize; ++j) {
                        forms[c * kBlockSize + j] += left[c] * right[j];
                    }
                }
            }
        }
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
        const SegmentRuns lefts(segment, pairs.lag);
        if (lefts.first >= lefts.last || weight == 0.0) return;
        check_tokens(pairs, lefts);
        const Token* left = pairs.tokens.data() + lefts.first;
        const Token* right = left + pairs.lag;
        add(transposed ? right : left, transposed ? left : right, lefts.last - lefts.first, weight,
            x.data(), sums.data());
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
    template ClassCounts count_pairs_by_class(const PairsAtLag<Token>&, const LabelledSegments&,   \
                                              std::span<const Count>, int);                        \
    template std::vector<Count> count_tokens_by_class(std::span<const Token>, Index,               \
                                                      const LabelledSegments&, int);               \
    template ClassProducts multiply_pairs_by_class(                                                \
        const PairsAtLag<Token>&, Index, std::span<const double>, std::span<const double>,         \
        const LabelledSegments&, int);                                                             \
    template std::vector<double> bilinear_forms_by_class(                                          \
        const PairsAtLag<Token>&, Index, std::span<const float>, std::span<const float>,           \
        const LabelledSegments&, int);                                                             \
    template void multiply_pairs(const PairsAtLag<Token>&, std::span<const double>,                \
                                 std::span<const double>, const LabelledSegments&, bool,           \
                                 std::span<double>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
