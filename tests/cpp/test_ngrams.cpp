// count_ngrams against maps from n-grams to counts.
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/ngram_counts.hpp"

namespace {

using namespace ngramstat;

using Gram = std::vector<Index>;
using Table = std::map<Count, Count>;  // count -> number of n-grams

Table counts_of_counts(const std::map<Gram, Count>& grams) {
    Table table;
    for (const auto& [gram, count] : grams) ++table[count];
    return table;
}

template <class Token>
void check_counts(const check::Stream<Token>& stream, int max_context,
                  const std::vector<Index>& ends) {
    // By n: the (n+1)-grams that end at targets, and the n-grams just before.
    std::vector<std::map<Gram, Count>> ngrams(static_cast<std::size_t>(max_context) + 1);
    auto contexts = ngrams;
    Count targets = 0;
    Index start = 0;
    for (const Index end : ends) {
        for (Index i = start + max_context; i < end; ++i) {
            ++targets;
            for (int n = 0; n <= max_context; ++n) {
                const auto at = stream.tokens.begin() + i;
                ++ngrams[n][Gram(at - n, at + 1)];
                if (n > 0) ++contexts[n][Gram(at - n, at)];
            }
        }
        start = end;
    }
    const std::vector<std::vector<TokenRange>> partitions{{{0, stream.vocab_size}},
                                                          check::partition(stream.vocab_size)};
    for (const int threads : check::kThreads) {
        for (const auto& ranges : partitions) {
            check::in_case(stream.name + ", max_context " + std::to_string(max_context) + ", " +
                           std::to_string(ends.size()) + " documents, threads " +
                           std::to_string(threads) + ", ranges " + std::to_string(ranges.size()));
            std::vector<Table> found_ngrams(ngrams.size());
            auto found_contexts = found_ngrams;
            Count found_targets = 0;
            for (const TokenRange range : ranges) {
                const auto counts = count_ngrams(stream.span(), stream.vocab_size, max_context,
                                                 std::span(ends), range, threads);
                CHECK(counts.ngrams.size() == ngrams.size());
                CHECK(counts.contexts.size() == ngrams.size());
                found_targets += counts.targets;
                for (std::size_t n = 0; n < ngrams.size(); ++n) {
                    Count previous = 0;
                    for (const auto& [count, number] : counts.ngrams[n]) {
                        CHECK(count > previous && number > 0);
                        previous = count;
                        found_ngrams[n][count] += number;
                    }
                    for (const auto& [count, number] : counts.contexts[n]) {
                        found_contexts[n][count] += number;
                    }
                }
            }
            CHECK(found_targets == targets);
            for (std::size_t n = 0; n < ngrams.size(); ++n) {
                CHECK(found_ngrams[n] == counts_of_counts(ngrams[n]));
                CHECK(found_contexts[n] == counts_of_counts(contexts[n]));
            }
        }
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> tokens{0, 1, 2};
    auto count = [&](int max_context, Index vocab_size, const std::vector<Index>& ends) {
        count_ngrams(std::span<const std::uint16_t>(tokens), vocab_size, max_context,
                     std::span<const Index>(ends), {0, vocab_size}, 1);
    };
    CHECK_THROWS(std::invalid_argument, count(-1, 3, {3}));
    CHECK_THROWS(std::invalid_argument, count(255, 3, {3}));
    CHECK_THROWS(std::invalid_argument, count(1, 3, {2}));
    CHECK_THROWS(std::invalid_argument, count(1, 3, {4}));
    CHECK_THROWS(std::invalid_argument, count(1, 3, {}));
    CHECK_THROWS(std::invalid_argument, count(1, 3, {2, 2, 3}));
    CHECK_THROWS(std::invalid_argument, count(1, 3, {0, 3}));
    CHECK_THROWS(std::out_of_range, count(1, 2, {3}));
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            std::vector<Index> whole;
            if (stream.size() > 0) whole.push_back(stream.size());
            for (const int max_context : {0, 1, 3, 30}) {
                check_counts(stream, max_context, stream.ends);
                check_counts(stream, max_context, whole);
            }
            if (stream.name == "period 7") check_counts(stream, 254, whole);
        }
    });
    refuses_bad_arguments();
}
