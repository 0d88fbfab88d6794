// count_pairs, PairTables, count_document_tokens and sum_pairs_by_document against loops over all
// pairs.
#include <array>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/pairs/pair_counts.hpp"
#include "ngramstat/pairs/pair_products.hpp"
#include "ngramstat/pairs/pair_tables.hpp"

namespace {

using namespace ngramstat;

using Cells = std::map<std::pair<Index, Index>, std::array<Count, 2>>;

// All entries, after a check of the invariants of CountBlock.
Cells cells_of(const CountMatrix& matrix) {
    CHECK(matrix.complete());
    Cells cells;
    Index next_row = 0;
    Index entries = 0;
    for (const CountBlock& block : matrix.blocks()) {
        CHECK(block.first_row == next_row && block.n_rows() > 0);
        CHECK(block.row_start.front() == 0);
        block.with_entries([&](const auto& e) {
            CHECK(block.row_start.back() == static_cast<Index>(e.column.size()));
            CHECK(e.first.size() == e.column.size());
            CHECK(e.second.empty() || e.second.size() == e.column.size());
            for (Index r = 0; r < block.n_rows(); ++r) {
                for (Index k = block.row_start[r]; k < block.row_start[r + 1]; ++k) {
                    CHECK(k == block.row_start[r] || e.column[k - 1] < e.column[k]);
                    const Count second = e.second.empty() ? 0 : e.second[k];
                    CHECK(e.first[k] + second > 0);
                    cells[{block.first_row + r, e.column[k]}] = {e.first[k], second};
                    ++entries;
                }
            }
        });
        next_row += block.n_rows();
    }
    CHECK(next_row == matrix.n_rows());
    CHECK(entries == matrix.nnz());
    return cells;
}

template <class Token>
std::pair<Cells, Cells> naive_pairs(const check::Stream<Token>& stream, Index lag) {
    Cells within;
    Cells across;
    std::size_t d = 0;
    for (Index i = 0; i < stream.size() && lag < stream.size() - i; ++i) {
        while (i >= stream.ends[d]) ++d;
        const Index first = stream.content_starts[d];
        const Index last = stream.content_ends[d];
        const bool inside = i >= first && i < last && i + lag < last;
        auto& cells = inside ? within : across;
        ++cells[{stream.tokens[i], stream.tokens[i + lag]}][stream.halves[d]];
    }
    return {within, across};
}

template <class Position, class Token>
void check_pairs(const check::Stream<Token>& stream) {
    const Index n = stream.size();
    const Index vocab = stream.vocab_size;
    // Up to lags with one pair, with none, and far beyond the stream.
    std::vector<Index> lags{1, 2, 7, 64, n + 5, Index{1} << 62};
    if (n >= 2) lags.push_back(n - 1);
    if (n >= 1) lags.push_back(n);
    std::vector<std::pair<Cells, Cells>> expected;
    for (const Index lag : lags) expected.push_back(naive_pairs(stream, lag));
    const Documents documents = stream.documents();
    const std::vector<std::vector<TokenRange>> partitions{{{0, vocab}}, check::partition(vocab)};
    for (const int threads : check::kThreads) {
        for (const auto& ranges : partitions) {
            // A wide vocabulary makes the counters of each row block large: once is enough.
            if (vocab > 10'000 && (threads == 1 || ranges.size() == 1)) continue;
            check::in_case(stream.name + ", threads " + std::to_string(threads) + ", ranges " +
                           std::to_string(ranges.size()));
            const auto check_counts = [&](auto&& count) {
                std::vector<PairCounts> joined;
                for (std::size_t l = 0; l < lags.size(); ++l) {
                    joined.push_back({CountMatrix(vocab, vocab), CountMatrix(vocab, vocab)});
                }
                for (const TokenRange range : ranges) {
                    auto counts = count(range);
                    CHECK(counts.size() == lags.size());
                    for (std::size_t l = 0; l < lags.size(); ++l) {
                        joined[l].within.append(std::move(counts[l].within));
                        joined[l].across.append(std::move(counts[l].across));
                    }
                }
                for (std::size_t l = 0; l < lags.size(); ++l) {
                    CHECK(cells_of(joined[l].within) == expected[l].first);
                    CHECK(cells_of(joined[l].across) == expected[l].second);
                }
            };
            check_counts([&](TokenRange range) {
                const auto index = index_document_positions<Token, Position>(
                    stream.span(), range, vocab, documents, threads);
                return count_pairs(stream.span(), index, vocab, lags, threads);
            });
            if (!pair_tables_fit(vocab)) continue;
            check_counts([&](TokenRange range) {
                EntryBuffer buffer;
                PairTables<Token> tables(stream.span(), range, vocab, documents, threads);
                tables.count(std::vector<Index>{3, 1}, buffer,
                             threads);  // has no effect on the next call
                return tables.count(lags, buffer, threads);
            });
        }
    }
}

template <class Token>
void check_document_tokens(const check::Stream<Token>& stream) {
    Cells expected;
    for (std::size_t d = 0; d < stream.ends.size(); ++d) {
        for (Index i = stream.content_starts[d]; i < stream.content_ends[d]; ++i) {
            ++expected[{static_cast<Index>(d), stream.tokens[i]}][0];
        }
    }
    for (const int threads : check::kThreads) {
        check::in_case(stream.name + ", document tokens, threads " + std::to_string(threads));
        const auto counts =
            count_document_tokens(stream.span(), stream.vocab_size, stream.documents(), threads);
        CHECK(counts.n_rows() == static_cast<Index>(stream.ends.size()));
        CHECK(cells_of(counts) == expected);
    }
}

template <class Token>
void check_pair_sums(const check::Stream<Token>& stream) {
    check::Random random(5);
    std::vector<double> u(static_cast<std::size_t>(stream.vocab_size));
    auto v = u;
    for (double& value : u) value = random.real();
    for (double& value : v) value = random.real();
    const Documents documents = stream.documents();
    for (const Index lag : {Index{1}, Index{7}, stream.size() + 1, Index{1} << 62}) {
        for (const bool across : {false, true}) {
            const auto starts = across ? documents.starts() : documents.content_starts();
            const auto ends = across ? documents.ends() : documents.content_ends();
            for (const int threads : check::kThreads) {
                check::in_case(stream.name + ", sums at lag " + std::to_string(lag) + ", threads " +
                               std::to_string(threads));
                const PairsAtLag<Token> pairs_at_lag{stream.span(), stream.vocab_size, lag};
                const auto sums =
                    sum_pairs_by_document<Token>(pairs_at_lag, u, v, documents, across, threads);
                CHECK(sums.pairs.size() == starts.size());
                for (std::size_t d = 0; d < starts.size(); ++d) {
                    Count pairs = 0;
                    // Sums of every fourth pair; those beyond the last four go to the first.
                    std::array<std::array<double, 3>, 4> chains{};
                    const Index limit = across ? stream.size() : ends[d];
                    for (Index i = starts[d]; i < ends[d] && lag < limit - i; ++i) {
                        const double a = u[stream.tokens[i]];
                        const double b = v[stream.tokens[i + lag]];
                        const Index n = std::min(ends[d], limit - lag) - starts[d];
                        const std::size_t chain = pairs < Count(n / 4 * 4) ? pairs % 4 : 0;
                        ++pairs;
                        chains[chain][0] += a * b;
                        chains[chain][1] += a;
                        chains[chain][2] += b;
                    }
                    const auto total = [&](std::size_t k) {
                        return (chains[0][k] + chains[1][k]) + (chains[2][k] + chains[3][k]);
                    };
                    const double product = total(0), left = total(1), right = total(2);
                    // The same sums in the same order: equal to the last bit.
                    CHECK(sums.pairs[d] == pairs && sums.product[d] == product);
                    CHECK(sums.left[d] == left && sums.right[d] == right);
                }
            }
        }
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> values{0, 1, 2, 9};
    const std::span<const std::uint16_t> tokens(values);
    const std::vector<Index> lags{1};
    const std::vector<Index> zero_lag{1, 0};
    const Documents documents = Documents::single(4);
    const Documents shorter = Documents::single(3);
    const auto index =
        index_document_positions<std::uint16_t, std::uint32_t>(tokens, {0, 10}, 10, documents, 1);
    CHECK_THROWS(std::invalid_argument, count_pairs(tokens, index, 10, zero_lag, 1));
    EntryBuffer buffer;
    using Tables = PairTables<std::uint16_t>;
    Tables tables(tokens, {0, 10}, 10, documents, 1);
    CHECK_THROWS(std::invalid_argument, tables.count(zero_lag, buffer, 1));
    CHECK_THROWS(std::out_of_range, Tables(tokens, {0, 9}, 9, documents, 1));
    CHECK_THROWS(std::invalid_argument, Tables(tokens, {0, 11}, 10, documents, 1));
    CHECK_THROWS(std::invalid_argument, Tables(tokens, {0, 1}, 100'000, documents, 1));
    CHECK_THROWS(std::invalid_argument, Tables(tokens, {0, 10}, 10, shorter, 1));

    CHECK_THROWS(std::out_of_range, count_document_tokens(tokens, 9, documents, 1));
    CHECK_THROWS(std::invalid_argument, count_document_tokens(tokens, 10, shorter, 1));

    const std::vector<double> w(10, 1.0);
    auto sums = [&](Index vocab, Index lag, const Documents& of) {
        const auto u = std::span(w).first(static_cast<std::size_t>(vocab));
        sum_pairs_by_document<std::uint16_t>({tokens, vocab, lag}, u, u, of, false, 1);
    };
    CHECK_THROWS(std::out_of_range, sums(9, 1, documents));
    CHECK_THROWS(std::invalid_argument, sums(10, 0, documents));
    CHECK_THROWS(std::invalid_argument, sums(10, 1, shorter));

    auto products = [&](Index vocab, Index lag, const std::vector<double>& u, const Documents& of) {
        const PairsAtLag<std::uint16_t> pairs{tokens, vocab, lag};
        const LabelledSegments segments(of, false, PairLabel::fold);
        multiply_pairs_by_class<std::uint16_t>(pairs, 1, u, u, segments, 1);
        const std::vector<float> a(u.size() * kBlockSize, 1.0f);
        const std::vector<std::int16_t> b(u.size() * kBlockSize, 1);
        bilinear_forms_by_class<std::uint16_t>(pairs, 1, a, b, segments, 1);
    };
    products(10, 1, w, documents);
    CHECK_THROWS(std::out_of_range, products(9, 1, std::vector<double>(9), documents));
    CHECK_THROWS(std::invalid_argument, products(10, 0, w, documents));
    CHECK_THROWS(std::invalid_argument, products(10, 1, w, shorter));
    CHECK_THROWS(std::invalid_argument, products(10, 1, std::vector<double>(11), documents));
    CHECK_THROWS(std::invalid_argument, products(10, 1, std::vector<double>(30), documents));
}

// Sums by class against loops over pairs. Vectors are integers, so that sums are exact in any
// order.
template <class Token>
void check_class_products(const check::Stream<Token>& stream) {
    const Index v = stream.vocab_size;
    const Index n = stream.size();
    const Index n_classes = 4;
    const Index n_sets = 2;
    std::vector<double> u(static_cast<std::size_t>(n_sets * v));
    auto w = u;
    std::vector<float> a(u.size() * kBlockSize);
    std::vector<std::int16_t> b(a.size());
    check::Random random(5);
    for (auto* values : {&u, &w}) {
        for (double& x : *values) x = static_cast<double>(random.below(19)) - 9.0;
    }
    for (float& x : a) x = static_cast<float>(random.below(19)) - 9.0f;
    for (std::int16_t& x : b) x = static_cast<std::int16_t>(random.below(19) - 9);
    std::vector<std::uint8_t> classes;
    for (std::size_t d = 0; d < stream.ends.size(); ++d) {
        classes.push_back(static_cast<std::uint8_t>(d * 3 % 4));
    }
    const Documents documents = stream.documents_in_folds(classes, n_classes);
    const auto starts = documents.starts();
    for (const bool across : {false, true}) {
        const std::vector<Index> limits =
            across ? std::vector<Index>(stream.ends.size(), n) : stream.ends;
        const LabelledSegments segments(documents, across, PairLabel::fold);
        for (const Index lag : {Index{1}, Index{3}, n + 2}) {
            ClassProducts expected{std::vector<double>(static_cast<std::size_t>(n_classes * v)),
                                   std::vector<double>(static_cast<std::size_t>(n_classes * v)),
                                   {std::vector<Count>(static_cast<std::size_t>(n_classes * v)),
                                    std::vector<Count>(static_cast<std::size_t>(n_classes * v))}};
            std::vector<double> forms(
                static_cast<std::size_t>(n_classes * kBlockSize * kBlockSize));
            for (std::size_t d = 0; d < classes.size(); ++d) {
                const Index k = classes[d];
                const Index set = k / 2;
                for (Index i = starts[d]; i < stream.ends[d] && i + lag < limits[d]; ++i) {
                    const Index x = stream.tokens[i];
                    const Index y = stream.tokens[i + lag];
                    expected.left[k * v + x] += w[set * v + y];
                    expected.right[k * v + y] += u[set * v + x];
                    ++expected.counts.left[k * v + x];
                    ++expected.counts.right[k * v + y];
                    for (Index p = 0; p < kBlockSize; ++p) {
                        for (Index q = 0; q < kBlockSize; ++q) {
                            const double product = a[(set * v + x) * kBlockSize + p] *
                                                   b[(set * v + y) * kBlockSize + q];
                            forms[(k * kBlockSize + p) * kBlockSize + q] += product;
                        }
                    }
                }
            }
            for (const int threads : check::kThreads) {
                check::in_case(stream.name + ", class products, lag " + std::to_string(lag) +
                               ", threads " + std::to_string(threads));
                const PairsAtLag<Token> pairs{stream.span(), v, lag};
                const auto actual =
                    multiply_pairs_by_class<Token>(pairs, 1, u, w, segments, threads);
                CHECK(actual.left == expected.left);
                CHECK(actual.right == expected.right);
                CHECK(actual.counts.left == expected.counts.left);
                CHECK(actual.counts.right == expected.counts.right);
                CHECK(bilinear_forms_by_class<Token>(pairs, 1, a, b, segments, threads) == forms);
            }
        }
    }
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            check_pairs<std::uint32_t>(stream);
            check_pairs<std::uint64_t>(stream);
            check_document_tokens(stream);
            check_pair_sums(stream);
            check_class_products(stream);
        }
    });
    refuses_bad_arguments();
}
