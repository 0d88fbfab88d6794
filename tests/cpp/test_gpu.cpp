// GPU kernels on the emulated device against the CPU kernels. A sanitizer then checks every access
// to device and shared memory.
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/pairs/labelled_segments.hpp"
#include "ngramstat/pairs/pair_counts.hpp"
#include "ngramstat/pairs/pair_products.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"

namespace {

using namespace ngramstat;

using Entries = std::vector<std::array<Count, 4>>;  // row, column, counts of both halves

Entries entries_of(const CountMatrix& matrix) {
    Entries actual;
    for (const CountBlock& block : matrix.blocks()) {
        block.with_entries([&](const auto& e) {
            for (Index r = 0; r < block.n_rows(); ++r) {
                for (Index k = block.row_start[r]; k < block.row_start[r + 1]; ++k) {
                    actual.push_back({static_cast<Count>(block.first_row + r), e.column[k],
                                      e.first[k],
                                      e.second.empty() ? Count{0} : Count{e.second[k]}});
                }
            }
        });
    }
    return actual;
}

// A device with `memory` bytes, whose thread blocks share 48 KB as on every GPU.
std::unique_ptr<gpu::Gpu> device(std::size_t memory) {
    return gpu::open_emulated(memory, std::size_t{48} << 10);
}

template <class Token>
void check_pairs(const check::Stream<Token>& stream, std::size_t memory) {
    const Documents documents = stream.documents();
    const auto gpu = device(memory);
    const gpu::Stream<Token> tokens{stream.tokens.data(), stream.size(), false};
    const auto counter = gpu->pair_counter(tokens, stream.vocab_size, documents);
    const auto index = index_document_positions<Token, std::uint32_t>(
        stream.span(), TokenRange{0, stream.vocab_size}, stream.vocab_size, documents, 1);
    const std::vector<Index> lags{1, 2, 5, std::max<Index>(stream.size(), 1), stream.size() + 3};
    const auto expected =
        count_pairs(stream.span(), index, stream.vocab_size, std::span<const Index>(lags), 1);
    const auto across = gpu->pair_stream(tokens, stream.vocab_size, documents, true);
    std::vector<double> x(static_cast<std::size_t>(stream.vocab_size * kBlockSize));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i % 7) - 3.0;
    const std::vector<double> nothing(x.size(), 0.0);
    const auto block = gpu->block(x);
    for (std::size_t k = 0; k < lags.size(); ++k) {
        const auto actual = counter->count(std::span<const Index>(lags).subspan(k, 1));
        const auto& [within, other] = actual.front();
        CHECK(entries_of(within->to_host(1)) == entries_of(expected[k].within));
        CHECK(entries_of(other->to_host(1)) == entries_of(expected[k].across));
        CHECK(within->row_sums() == expected[k].within.row_sums());
        CHECK(within->column_sums() == expected[k].within.column_sums());
        auto total = expected[k].within.row_sums();
        for (int c = 0; c < 2; ++c) {
            const auto more = expected[k].across.row_sums()[c];
            for (std::size_t v = 0; v < total[c].size(); ++v) total[c][v] += more[v];
        }
        CHECK(across->counts(lags[k], false) == total);
        // Counts and stream are the same operator: with integers, to the last bit.
        for (const bool transposed : {false, true}) {
            const std::array<double, 2> weights{1.0, 2.0};
            std::vector<double> a(x.size()), b(x.size());
            gpu->covariance({within->weighted(weights), other->weighted(weights)}, nothing, nothing,
                            {})
                ->multiply(*block, transposed)
                ->to_host(a);
            gpu->covariance({across->weighted(lags[k], weights)}, nothing, nothing, {})
                ->multiply(*block, transposed)
                ->to_host(b);
            CHECK(a == b);
        }
    }
    CHECK(gpu->peak_bytes() <= memory);
}

// Sums of small integers, which are exact in any order.
template <class Token>
void check_pair_sums(const check::Stream<Token>& stream, std::size_t memory) {
    const std::size_t n_documents = stream.ends.size();
    std::vector<std::uint8_t> folds;
    for (std::size_t d = 0; d < n_documents; ++d) folds.push_back(static_cast<std::uint8_t>(d % 4));
    const Documents documents = stream.documents_in_folds(folds, 4);
    const auto gpu = device(memory);
    const gpu::Stream<Token> tokens{stream.tokens.data(), stream.size(), false};
    const auto summer = gpu->pair_summer(tokens, stream.vocab_size, documents);
    const auto v = static_cast<std::size_t>(stream.vocab_size);
    std::vector<double> left(2 * v), right(2 * v);
    std::vector<float> a(2 * v * kBlockSize), b(a.size());
    for (std::size_t i = 0; i < left.size(); ++i) {
        left[i] = static_cast<double>(i % 7) - 3.0;
        right[i] = static_cast<double>(i % 5) - 1.0;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = static_cast<float>(i % 11) - 5.0f;
        b[i] = static_cast<float>(i % 3) - 1.0f;
    }
    const auto first = [v](const std::vector<double>& x) { return std::span(x).first(v); };
    for (const Index lag : {Index{1}, Index{5}, stream.size() + 3}) {
        const PairsAtLag<Token> pairs{stream.span(), stream.vocab_size, lag};
        for (const bool across : {false, true}) {
            const auto sums =
                sum_pairs_by_document(pairs, first(left), first(right), documents, across, 1);
            const auto ours = summer->sum_by_document(lag, first(left), first(right), across);
            CHECK(ours.pairs == sums.pairs && ours.product == sums.product);
            CHECK(ours.left == sums.left && ours.right == sums.right);
            for (const PairLabel by : {PairLabel::fold, PairLabel::half_and_position}) {
                if (across && by == PairLabel::half_and_position) continue;
                const LabelledSegments segments(documents, across, by);
                const auto theirs = multiply_pairs_by_class(pairs, 1, left, right, segments, 1);
                const auto products = summer->multiply_by_class(lag, left, right, across, by);
                CHECK(products.left == theirs.left && products.right == theirs.right);
                CHECK(products.counts.left == theirs.counts.left);
                CHECK(products.counts.right == theirs.counts.right);
            }
            const LabelledSegments segments(documents, across, PairLabel::fold);
            const std::vector<std::int16_t> of_host(b.begin(), b.end());
            CHECK(summer->bilinear_forms_by_class(lag, a, b, across, PairLabel::fold) ==
                  bilinear_forms_by_class(pairs, 1, a, of_host, segments, 1));
        }
    }
    CHECK(gpu->peak_bytes() <= memory);
}

template <class Token>
void check_suffixes(const check::Stream<Token>& stream, std::size_t memory) {
    const auto gpu = device(memory);
    const gpu::Stream<Token> tokens{stream.tokens.data(), stream.size(), false};
    const auto n = static_cast<std::size_t>(stream.size());
    for (const SuffixOrder order : {SuffixOrder{1, false, -1}, SuffixOrder{6, true, -1},
                                    SuffixOrder{9, true, stream.separator}}) {
        std::vector<Index> actual(n), expected(n);
        std::vector<std::uint8_t> lcp(n), expected_lcp(n);
        gpu->suffix_array(tokens, stream.vocab_size, order, actual, lcp);
        suffix_array(stream.span(), stream.vocab_size, order, std::span<Index>(expected),
                     std::span<std::uint8_t>(expected_lcp), 1);
        CHECK(actual == expected);
        CHECK(lcp == expected_lcp);
    }
    std::vector<std::uint8_t> quarters;
    for (std::size_t d = 0; d < stream.ends.size(); ++d) {
        quarters.push_back(static_cast<std::uint8_t>(d * 7 % 5 % 4));
    }
    const Documents documents = stream.documents_in_folds(quarters, 4);
    for (const int max_context : {0, 3}) {
        const TokenRange all{0, stream.vocab_size};
        const auto actual =
            gpu->ngram_counter(tokens, stream.vocab_size, max_context, documents, false)
                ->count(all);
        const auto expected =
            count_ngrams(stream.span(), stream.vocab_size, max_context, documents, false, all, 1);
        CHECK(actual.losses == expected.losses);
        CHECK(actual.group_targets == expected.group_targets);
        for (int s = 0; s < kSubsets; ++s) {
            CHECK(actual.ngrams[s] == expected.ngrams[s]);
            CHECK(actual.contexts[s] == expected.contexts[s]);
            CHECK(actual.targets[s] == expected.targets[s]);
        }
    }
    CHECK(gpu->peak_bytes() <= memory);
}

// Models of a stream and of its second half, for the n-grams of the first half.
template <class Token>
void check_models(const check::Stream<Token>& stream, std::size_t memory) {
    const Index n = stream.size(), middle = n / 2;
    if (middle == 0) return;
    const auto gpu = device(memory);
    const gpu::Stream<Token> tokens{stream.tokens.data(), n, false};
    const std::vector<Segment> parts{{0, n}, {middle, n}};
    constexpr int order = 3;
    // Either kind of stop with one type of tokens: with both, sanitizers would take too long.
    const Index stop = sizeof(Token) == 2 ? stream.separator : -1;
    const auto held_out = stream.span().first(static_cast<std::size_t>(middle));
    KneserNey<Token> ours(held_out, Documents::single(middle), stream.vocab_size, order, stop);
    KneserNey<Token> theirs = ours;
    for (auto* model : {&ours, &theirs}) model->reset(2, 1);
    theirs.add_training(stream.span(), parts, TokenRange{0, stream.vocab_size}, 1);
    const auto counter = gpu->held_out_counter(
        tokens,
        {ours.held_out().contexts(), ours.held_out().ngrams(), stream.vocab_size, order, stop});
    const std::vector<OrderDiscounts> discounts(order, {0.5, 1.0, 1.25});
    for (Index part = 0; part < 2; ++part) {
        ours.set_counts(part, counter->count(parts[static_cast<std::size_t>(part)]));
        for (std::size_t m = 0; m < discounts.size(); ++m) {
            const OrderCounts &a = ours.counts(part).raw[m], &b = theirs.counts(part).raw[m];
            CHECK(a.number == b.number && a.distinct == b.distinct);
        }
        std::vector<double> a(discounts.size()), b(a.size());
        ours.score(part, discounts, std::span(discounts).subspan(1), a, 1);
        theirs.score(part, discounts, std::span(discounts).subspan(1), b, 1);
        CHECK(a == b);
    }
    CHECK(gpu->peak_bytes() <= memory);
}

// Tokens of documents: entries, and products of small integers.
template <class Token>
void check_document_counts(const check::Stream<Token>& stream, std::size_t memory) {
    const Documents documents = stream.documents();
    if (documents.size() == 0) return;  // the CPU's products need a row
    const auto gpu = device(memory);
    const gpu::Stream<Token> tokens{stream.tokens.data(), stream.size(), false};
    const auto ours = gpu->count_document_tokens(tokens, stream.vocab_size, documents);
    const auto theirs = count_document_tokens(stream.span(), stream.vocab_size, documents, 1);
    CHECK(entries_of(ours->to_host(1)) == entries_of(theirs));
    std::vector<double> x(static_cast<std::size_t>(stream.vocab_size * kBlockSize));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i % 7) - 3.0;
    std::vector<double> weights(static_cast<std::size_t>(documents.size())), a(x.size()), b(a);
    for (std::size_t d = 0; d < weights.size(); ++d) weights[d] = static_cast<double>(d % 3);
    ours->multiply_gram(x, weights, a);
    theirs.multiply_gram(x, weights, b, 1);
    CHECK(a == b);
    CHECK(gpu->peak_bytes() <= memory);
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            check::in_case(stream.name);
            check_pairs(stream, std::size_t{1} << 30);
            check_pair_sums(stream, std::size_t{1} << 30);
            check_suffixes(stream, std::size_t{1} << 30);
            check_models(stream, std::size_t{1} << 30);
            check_document_counts(stream, std::size_t{1} << 30);
        }
    });
    const std::vector<std::uint16_t> ones(500, 1);
    const gpu::Stream<std::uint16_t> tokens{ones.data(), 500, false};
    const Documents documents = Documents::single(500);
    check::in_case("too little memory");
    CHECK_THROWS(DeviceMemoryError, (void)device(1000)->pair_counter(tokens, 2000, documents));
    check::in_case("a token outside the vocabulary");
    CHECK_THROWS(std::out_of_range, (void)device(1 << 20)->pair_counter(tokens, 1, documents));
    return 0;
}
