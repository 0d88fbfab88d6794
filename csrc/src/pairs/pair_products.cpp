#include "ngramstat/pairs/pair_products.hpp"

#include <algorithm>
#include <array>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/huge_pages.hpp"
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
struct LargestToken {
    template <int kBytes>
    static void run(const Token* tokens, Index n, Token* largest) {
        Token found = 0;
        for (Index i = 0; i < n; ++i) found = std::max(found, tokens[i]);
        *largest = found;
    }
};

template <class Token>
void check_tokens(std::span<const Token> tokens, Index first, Index last, Index vocab_size) {
    if (first >= last) return;
    // Short stretches come by the million, and choosing the level takes as long as one of them.
    static const auto find_largest = built_for_level<LargestToken<Token>>();
    Token largest = 0;
    find_largest(tokens.data() + first, last - first, &largest);
    if (static_cast<Index>(largest) < vocab_size) return;
    Index at = first;
    while (static_cast<Index>(tokens[at]) < vocab_size) ++at;
    throw_token_out_of_range(tokens[at], at, vocab_size);
}

// Those of the pairs of a segment.
template <class Token>
void check_tokens(const PairsAtLag<Token>& pairs, const SegmentRuns& runs) {
    if (runs.first >= runs.last) return;
    // Left and right tokens mostly overlap.
    const Index right = std::max(runs.last, runs.first + pairs.lag);
    check_tokens(pairs.tokens, runs.first, runs.last, pairs.vocab_size);
    check_tokens(pairs.tokens, right, runs.last + pairs.lag, pairs.vocab_size);
}

Index kinds_of(std::size_t size, Index vocab_size) {
    require(vocab_size > 0 && size % static_cast<std::size_t>(vocab_size) == 0,
            "u and v must have vocab_size entries");
    const Index n_kinds = static_cast<Index>(size) / vocab_size;
    require(n_kinds == 1 || n_kinds == 2, "there must be vectors for one or two kinds of pairs");
    return n_kinds;
}

// Sums of u[left[i]] * v[right[i]], u[left[i]] and v[right[i]] for each kind, over n pairs. The
// pairs are dealt out to kChains sums, added in their order at the end: one chain of additions
// would wait for each result.
template <int kKinds>
struct RunSums {
    std::array<double, kKinds> product{}, left{}, right{};

    void add(const RunSums& other) {
        for (int k = 0; k < kKinds; ++k) {
            product[k] += other.product[k];
            left[k] += other.left[k];
            right[k] += other.right[k];
        }
    }
};

constexpr Index kChains = 4;

// u, v: vocab_size x n_kinds, of which the first kKinds are summed.
template <int kKinds, class Token>
RunSums<kKinds> sum_run(const Token* left, const Token* right, Index n, const double* u,
                        const double* v, Index n_kinds) {
    std::array<RunSums<kKinds>, kChains> chains;
    const auto add = [&](Index i, RunSums<kKinds>& sums) {
        const double* x = u + left[i] * n_kinds;
        const double* y = v + right[i] * n_kinds;
        for (int k = 0; k < kKinds; ++k) {
            sums.product[k] += x[k] * y[k];
            sums.left[k] += x[k];
            sums.right[k] += y[k];
        }
    };
    Index i = 0;
    for (; i + kChains <= n; i += kChains) {
        for (Index chain = 0; chain < kChains; ++chain) add(i + chain, chains[chain]);
    }
    for (; i < n; ++i) add(i, chains[0]);
    chains[0].add(chains[1]);
    chains[2].add(chains[3]);
    chains[0].add(chains[2]);
    return chains[0];
}

// The sums over one document, added to entry `at`. u, v: vocab_size x n_kinds.
template <class Token>
void sum_document(const PairsAtLag<Token>& pairs, Index n_kinds, const double* u, const double* v,
                  const SegmentRuns& runs, PairSums& sums, std::size_t at) {
    const auto of_run = [&]<int kKinds>(Index first, Index last) {
        const Token* left = pairs.tokens.data() + first;
        return sum_run<kKinds>(left, left + pairs.lag, last - first, u, v, n_kinds);
    };
    RunSums<1> all;
    sums.pairs[at] = static_cast<Count>(runs.last - runs.first);
    if (n_kinds == 1) {
        all = of_run.template operator()<1>(runs.first, runs.last);
    } else {
        all = of_run.template operator()<1>(runs.first, runs.inside_first);
        const auto inside = of_run.template operator()<2>(runs.inside_first, runs.inside_last);
        all.add({{inside.product[0]}, {inside.left[0]}, {inside.right[0]}});
        all.add(of_run.template operator()<1>(runs.inside_last, runs.last));
        const std::size_t of_inside = sums.left.size() + at;
        sums.pairs[of_inside] = static_cast<Count>(runs.inside_last - runs.inside_first);
        sums.product[of_inside] = inside.product[1];
    }
    sums.product[at] = all.product[0];
    sums.left[at] = all.left[0];
    sums.right[at] = all.right[0];
}

// Writes vectors of n_kinds one after the other as rows of their entries.
void put_side_by_side(std::span<const double> vectors, Index n_kinds, double* rows) {
    const Index size = static_cast<Index>(vectors.size()) / n_kinds;
    for (Index kind = 0; kind < n_kinds; ++kind) {
        for (Index x = 0; x < size; ++x) rows[x * n_kinds + kind] = vectors[kind * size + x];
    }
}

}  // namespace

template <class Token>
PairSums sum_pairs_by_document(const PairsAtLag<Token>& pairs, std::span<const double> u,
                               std::span<const double> v, const Documents& documents, bool across,
                               int threads) {
    check_pairs(pairs, documents.n_tokens());
    const std::size_t kinds = static_cast<std::size_t>(kinds_of(u.size(), pairs.vocab_size));
    require(u.size() == v.size(), "u and v must have one size");
    const Index n_kinds = static_cast<Index>(kinds);
    ScratchTables<double> rows(2, static_cast<Index>(u.size()));
    put_side_by_side(u, n_kinds, rows[0]);
    put_side_by_side(v, n_kinds, rows[1]);
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
            sum_document(pairs, n_kinds, rows[0], rows[1], runs, sums, static_cast<std::size_t>(d));
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

// Visits the left positions [first, last) of the pairs of one class, segment by segment, with
// whether the pairs are inside a document. All tokens of a segment's pairs are checked before.
template <class Token, class Visit>
void for_class_runs(const PairsAtLag<Token>& pairs, const SegmentsOfClasses& segments, Index cls,
                    Visit&& visit) {
    segments.for_each(cls, [&](const PairSegment& segment) {
        const SegmentRuns runs(segment, pairs.lag);
        if (runs.first >= runs.last) return;
        check_tokens(pairs, runs);
        visit(runs.first, runs.inside_first, false);
        visit(runs.inside_first, runs.inside_last, true);
        visit(runs.inside_last, runs.last, false);
        // The segments of a class are spread over the stream: each task reads most of its pages.
        release_pages_if_needed();
    });
}

// Adds some numbers to as many of a wider type, or of the same.
template <class From, class To, int kNumbers, int kBytes>
struct RowAdder {
#if defined(__GNUC__) || defined(__clang__)
    static constexpr int kRowBytes = kNumbers * int{sizeof(To)};
    static constexpr int kRegisterBytes = kBytes < kRowBytes ? kBytes : kRowBytes;
    static constexpr int kPerRegister = kRegisterBytes / int{sizeof(To)};
    using Sums = VectorOf<To, kRegisterBytes>;
    using Source = typename VectorOf<From, kPerRegister* int{sizeof(From)}>::Unaligned;
    static void add(To* to, const From* from) {
        auto* target = reinterpret_cast<typename Sums::Unaligned*>(to);
        const auto* source = reinterpret_cast<const Source*>(from);
        for (int p = 0; p < kNumbers / kPerRegister; ++p) {
            target[p] += __builtin_convertvector(source[p], typename Sums::Aligned);
        }
    }
#else
    static void add(To* to, const From* from) {
        for (int k = 0; k < kNumbers; ++k) to[k] += static_cast<To>(from[k]);
    }
#endif
};

// What a token adds to its partner's cell, and what a cell has from the right tokens of its item's
// pairs, then from the left ones: the values of each kind, then its pairs.
template <class Token, int kKinds>
struct AddPairs {
    static constexpr Index kHalfCell = 2 * kKinds, kCell = 2 * kHalfCell;

    template <int kBytes>
    static void run(const Token* left, const Token* right, Index n, const double* of_left,
                    const double* of_right, double* cells) {
        using Row = RowAdder<double, double, kHalfCell, kBytes>;
        for (Index i = 0; i < n; ++i) {
            const Index a = left[i], b = right[i];
            Row::add(cells + a * kCell, of_right + b * kHalfCell);
            Row::add(cells + b * kCell + kHalfCell, of_left + a * kHalfCell);
        }
    }
};

// Writes the vectors of one set with a one for each pair of a kind, (vocab_size x 2 n_kinds): for
// pairs inside documents, and with `outside` for those that count for kind 0 alone.
void put_with_ones(const double* vectors, Index vocab_size, Index n_kinds, bool outside,
                   double* rows) {
    std::fill_n(rows, vocab_size * 2 * n_kinds, 0.0);
    for (Index x = 0; x < vocab_size; ++x) {
        double* row = rows + x * 2 * n_kinds;
        for (Index kind = 0; kind < (outside ? 1 : n_kinds); ++kind) {
            row[kind] = vectors[x * n_kinds + kind];
            row[n_kinds + kind] = 1.0;
        }
    }
}

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
    const SegmentsOfClasses of_classes(segments);
    const auto add = n_kinds == 1 ? built_for_level<AddPairs<Token, 1>>()
                                  : built_for_level<AddPairs<Token, 2>>();
    const Index half_cell = 2 * n_kinds, cell_size = 2 * half_cell;
    // Of every set: for pairs inside documents those of the left, then of the right tokens; the
    // same for other pairs.
    ScratchTables<double> rows(4 * sets, vocab_size * half_cell);
    for (Index set = 0; set < sets; ++set) {
        const Index at = set * vocab_size * n_kinds;
        for (const bool outside : {false, true}) {
            const Index table = 4 * set + (outside ? 2 : 0);
            put_with_ones(u.data() + at, vocab_size, n_kinds, outside, rows[table]);
            put_with_ones(v.data() + at, vocab_size, n_kinds, outside, rows[table + 1]);
        }
    }
    const auto make_cells = [&] { return ScratchTables<double>(1, vocab_size * cell_size); };
    parallel_with(n_classes, threads, make_cells, [&](Index k, ScratchTables<double>& of_thread) {
        const Index set = k / (n_classes / sets);
        double* cells = of_thread[0];
        std::fill_n(cells, vocab_size * cell_size, 0.0);
        for_class_runs(pairs, of_classes, k, [&](Index first, Index last, bool inside) {
            const Token* left = pairs.tokens.data() + first;
            const Index table = 4 * set + (inside ? 0 : 2);
            add(left, left + pairs.lag, last - first, rows[table], rows[table + 1], cells);
        });
        for (Index kind = 0; kind < n_kinds; ++kind) {
            for (Index x = 0; x < vocab_size; ++x) {
                const double* cell = cells + x * cell_size + kind;
                const auto at = static_cast<std::size_t>((kind * n_classes + k) * vocab_size + x);
                products.left[at] = cell[0];
                products.right[at] = cell[half_cell];
                products.counts.left[at] = static_cast<Count>(cell[n_kinds]);
                products.counts.right[at] = static_cast<Count>(cell[half_cell + n_kinds]);
            }
        }
    });
    return products;
}

namespace {

// Sums of rows of 16-bit integers by vocabulary item: in 32 bits, which are as exact as doubles at
// half the memory, and added to doubles before they overflow.
struct RowSums {
    static constexpr std::uint16_t kMostRows = 0xffff;  // whose sum fits 32 bits, whatever they are

    RowSums(Index n_items, Index row_size)
        : n_items(n_items),
          row_size(row_size),
          recent(1, n_items * row_size),
          rows_added(1, n_items),
          whole(1, n_items * row_size) {}
    void clear() {
        std::fill_n(recent[0], n_items * row_size, 0);
        std::fill_n(rows_added[0], n_items, std::uint16_t{0});
        std::fill_n(whole[0], n_items * row_size, 0.0);
    }
    // Moves what was added to one item since the last time to `whole`.
    void carry(Index item) {
        for (Index k = item * row_size; k < (item + 1) * row_size; ++k) {
            whole[0][k] += recent[0][k];
            recent[0][k] = 0;
        }
        rows_added[0][item] = 0;
    }
    // Moves everything to `whole`.
    const double* finished() {
        for (Index item = 0; item < n_items; ++item) carry(item);
        return whole[0];
    }

    Index n_items, row_size;
    ScratchTables<std::int32_t> recent;
    ScratchTables<std::uint16_t> rows_added;
    ScratchTables<double> whole;
};

// sums[left[i]] += rows[right[i]], for rows of a block for each kind.
template <class Token, int kKinds>
struct AddRows {
    template <int kBytes>
    static void run(const Token* left, const Token* right, Index n, const std::int16_t* rows,
                    RowSums& sums) {
        constexpr int kRow = kKinds * int{kBlockSize};
        std::int32_t* recent = sums.recent[0];
        std::uint16_t* rows_added = sums.rows_added[0];
        for (Index i = 0; i < n; ++i) {
            const Index item = left[i];
            RowAdder<std::int16_t, std::int32_t, kRow, kBytes>::add(recent + item * kRow,
                                                                    rows + Index{right[i]} * kRow);
            if (++rows_added[item] == RowSums::kMostRows) sums.carry(item);
        }
    }
};

// forms[c][j] += sum over n rows, `stride` apart, of left[c] * right[j].
struct AddForms {
    template <int kBytes>
    static void run(const float* left, const double* right, Index n, Index stride, double* forms) {
        std::array<VectorBlock<kBytes>, kBlockSize> sums;
        for (Index c = 0; c < kBlockSize; ++c) sums[c].load(forms + c * kBlockSize);
        for (Index x = 0; x < n; ++x) {
            VectorBlock<kBytes> row;
            row.load(right + x * stride);
            for (Index c = 0; c < kBlockSize; ++c) {
                sums[c].add_product(static_cast<double>(left[x * stride + c]), row);
            }
        }
        for (Index c = 0; c < kBlockSize; ++c) sums[c].store(forms + c * kBlockSize);
    }
};

// Writes a block of vectors for each vocabulary item and kind, with those of the last kinds zero
// where `kinds` is less than n_kinds.
void put_rows_of_kinds(const std::int16_t* vectors, Index vocab_size, Index n_kinds, Index kinds,
                       std::int16_t* rows) {
    const Index row_size = n_kinds * kBlockSize;
    std::fill_n(rows, vocab_size * row_size, std::int16_t{0});
    for (Index x = 0; x < vocab_size; ++x) {
        std::copy_n(vectors + x * row_size, kinds * kBlockSize, rows + x * row_size);
    }
}

}  // namespace

template <class Token>
std::vector<double> bilinear_forms_by_class(const PairsAtLag<Token>& pairs, Index n_kinds,
                                            std::span<const float> a,
                                            std::span<const std::int16_t> b,
                                            const LabelledSegments& segments, int threads) {
    check_pairs(pairs, segments.n_tokens());
    require(n_kinds == 1 || n_kinds == 2, "there must be vectors for one or two kinds of pairs");
    const Index vocab_size = pairs.vocab_size, n_classes = segments.n_labels();
    const Index set_size = vocab_size * n_kinds * kBlockSize;
    const Index sets = sets_of(a.size(), set_size, n_classes);
    require(b.size() == a.size(), "a and b must have one size");
    constexpr Index kForms = kBlockSize * kBlockSize;
    std::vector<double> result(static_cast<std::size_t>(n_kinds * n_classes * kForms));
    // The vectors of b of every set: for pairs that count for kind 0 alone, and for those inside
    // documents.
    ScratchTables<std::int16_t> rows(2 * sets, set_size);
    for (Index set = 0; set < sets; ++set) {
        const std::int16_t* vectors = b.data() + set * set_size;
        put_rows_of_kinds(vectors, vocab_size, n_kinds, 1, rows[2 * set]);
        put_rows_of_kinds(vectors, vocab_size, n_kinds, n_kinds, rows[2 * set + 1]);
    }
    const SegmentsOfClasses of_classes(segments);
    const auto add_forms = built_for_level<AddForms>();
    const auto add_rows =
        n_kinds == 1 ? built_for_level<AddRows<Token, 1>>() : built_for_level<AddRows<Token, 2>>();
    const auto make_sums = [&] { return RowSums(vocab_size, n_kinds * kBlockSize); };
    parallel_with(n_classes, threads, make_sums, [&](Index k, RowSums& sums) {
        const Index set = k / (n_classes / sets);
        // J b, from which the forms follow without another pass.
        sums.clear();
        for_class_runs(pairs, of_classes, k, [&](Index first, Index last, bool inside) {
            const Token* left = pairs.tokens.data() + first;
            add_rows(left, left + pairs.lag, last - first, rows[2 * set + (inside ? 1 : 0)], sums);
        });
        const double* product = sums.finished();
        for (Index kind = 0; kind < n_kinds; ++kind) {
            add_forms(a.data() + set * set_size + kind * kBlockSize, product + kind * kBlockSize,
                      vocab_size, n_kinds * kBlockSize,
                      result.data() + (kind * n_classes + k) * kForms);
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
    ScratchTables<double> partial(runs, static_cast<Index>(size));
    ScratchTables<double> vectors(1, static_cast<Index>(size));
    std::copy(x.begin(), x.end(), vectors[0]);
    const auto add = built_for_level<AddProducts<Token>>();
    const auto add_segment = [&](const PairSegment& segment, double* sums) {
        const double weight = class_weights[segment.label];
        const SegmentRuns lefts(segment, pairs.lag);
        if (lefts.first >= lefts.last || weight == 0.0) return;
        check_tokens(pairs, lefts);
        const Token* left = pairs.tokens.data() + lefts.first;
        const Token* right = left + pairs.lag;
        add(transposed ? right : left, transposed ? left : right, lefts.last - lefts.first, weight,
            vectors[0], sums);
        release_pages_if_needed();
    };
    parallel_for(runs, threads, [&](Index run) {
        std::fill_n(partial[run], size, 0.0);
        for (Index s = bounds[run]; s < bounds[run + 1]; ++s) {
            add_segment(segments[s], partial[run]);
        }
    });
    for (std::size_t i = 0; i < size; ++i) {
        double sum = 0.0;
        for (Index run = 0; run < runs; ++run) sum += partial[run][i];
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
        const PairsAtLag<Token>&, Index, std::span<const float>, std::span<const std::int16_t>,    \
        const LabelledSegments&, int);                                                             \
    template void multiply_pairs(const PairsAtLag<Token>&, std::span<const double>,                \
                                 std::span<const double>, const LabelledSegments&, bool,           \
                                 std::span<double>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
