// count_ngrams against maps from n-grams to counts.
#include <cmath>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/suffixes/ngram_counts.hpp"

namespace {

using namespace ngramstat;

using Gram = std::vector<Index>;
using Table = std::map<Count, Count>;  // count -> number of n-grams

Table counts_of_counts(const std::map<Gram, Count>& grams) {
    Table table;
    for (const auto& [gram, count] : grams) ++table[count];
    return table;
}

std::int64_t fixed_log(Count c) {
    return std::llround(std::ldexp(std::log(static_cast<double>(c)), kLossBits));
}

// Everything that count_ngrams counts, in tables that results of token ranges can be added to.
struct Totals {
    std::vector<std::vector<Table>> ngrams, contexts;  // [subset][context length]
    std::vector<Count> targets;                        // [subset]
    std::vector<std::int64_t> losses;
    std::vector<Count> group_targets;
    bool operator==(const Totals&) const = default;

    Totals(std::size_t depth, Index n_groups)
        : ngrams(kSubsets, std::vector<Table>(depth)),
          contexts(ngrams),
          targets(kSubsets),
          losses(static_cast<std::size_t>(n_groups) * depth),
          group_targets(static_cast<std::size_t>(n_groups)) {}

    void add(const NgramCounts& counts) {
        CHECK(counts.losses.size() == losses.size());
        CHECK(counts.group_targets.size() == group_targets.size());
        for (std::size_t i = 0; i < losses.size(); ++i) losses[i] += counts.losses[i];
        for (std::size_t g = 0; g < group_targets.size(); ++g) {
            group_targets[g] += counts.group_targets[g];
        }
        for (int s = 0; s < kSubsets; ++s) {
            targets[s] += counts.targets[s];
            add(ngrams[s], counts.ngrams[s]);
            add(contexts[s], counts.contexts[s]);
        }
    }

  private:
    static void add(std::vector<Table>& tables, const std::vector<CountsOfCounts>& counts) {
        CHECK(counts.size() == tables.size());
        for (std::size_t n = 0; n < tables.size(); ++n) {
            Count previous = 0;
            for (const auto& [count, number] : counts[n]) {
                CHECK(count > previous && number > 0);
                previous = count;
                tables[n][count] += number;
            }
        }
    }
};

// A stream with its own documents as units; quarters and groups cycle through them.
template <class Token>
struct Case {
    const check::Stream<Token>& stream;
    int max_context;
    const std::vector<Index>& ends;
    std::size_t depth = static_cast<std::size_t>(max_context) + 1;
    std::vector<std::uint8_t> quarters;
    std::vector<std::uint32_t> groups;
    Index n_groups = 3;
    std::vector<Index> targets;

    Case(const check::Stream<Token>& of, int longest, const std::vector<Index>& document_ends)
        : stream(of), max_context(longest), ends(document_ends) {
        for (std::size_t d = 0; d < stream.ends.size(); ++d) {
            quarters.push_back(static_cast<std::uint8_t>(d * 7 % 5 % 4));
            groups.push_back(static_cast<std::uint32_t>(d * 5 % 3));
        }
        Index start = 0;
        for (const Index end : ends) {
            for (Index i = start + max_context; i < end; ++i) targets.push_back(i);
            start = end;
        }
    }
    NgramUnits units() const { return {stream.ends, quarters, groups, n_groups}; }
    std::size_t unit_of(Index i) const {
        return static_cast<std::size_t>(
            std::upper_bound(stream.ends.begin(), stream.ends.end(), i) - stream.ends.begin());
    }
    Gram gram(Index first, Index last) const {
        return Gram(stream.tokens.begin() + first, stream.tokens.begin() + last);
    }

    // All totals by maps from n-grams to counts.
    Totals naive() const {
        using Grams = std::map<Gram, Count>;
        std::vector<std::vector<Grams>> ngrams(kSubsets, std::vector<Grams>(depth));
        auto contexts = ngrams;
        Totals totals(depth, n_groups);
        for (const Index i : targets) {
            const std::size_t unit = unit_of(i);
            ++totals.group_targets[groups[unit]];
            for (const int s : {0, 1 + quarters[unit] / 2, 3 + quarters[unit]}) {
                ++totals.targets[s];
                for (int n = 0; n <= max_context; ++n) {
                    ++ngrams[s][n][gram(i - n, i + 1)];
                    if (n > 0) ++contexts[s][n][gram(i - n, i)];
                }
            }
        }
        for (const Index i : targets) {
            for (int n = 0; n <= max_context; ++n) {
                auto& loss =
                    totals.losses[groups[unit_of(i)] * depth + static_cast<std::size_t>(n)];
                loss -= fixed_log(ngrams[0][n].at(gram(i - n, i + 1)));
                if (n > 0) loss += fixed_log(contexts[0][n].at(gram(i - n, i)));
            }
        }
        for (int s = 0; s < kSubsets; ++s) {
            for (std::size_t n = 0; n < depth; ++n) {
                totals.ngrams[s][n] = counts_of_counts(ngrams[s][n]);
                totals.contexts[s][n] = counts_of_counts(contexts[s][n]);
            }
        }
        return totals;
    }
};

template <class Token>
void check_counts(const check::Stream<Token>& stream, int max_context,
                  const std::vector<Index>& ends) {
    const Case<Token> sample(stream, max_context, ends);
    const Totals expected = sample.naive();
    const std::vector<std::vector<TokenRange>> partitions{{{0, stream.vocab_size}},
                                                          check::partition(stream.vocab_size)};
    for (const int threads : check::kThreads) {
        for (const auto& ranges : partitions) {
            check::in_case(stream.name + ", max_context " + std::to_string(max_context) + ", " +
                           std::to_string(ends.size()) + " documents, threads " +
                           std::to_string(threads) + ", ranges " + std::to_string(ranges.size()));
            Totals totals(sample.depth, sample.n_groups);
            for (const TokenRange range : ranges) {
                totals.add(count_ngrams(stream.span(), stream.vocab_size, max_context,
                                        std::span(ends), sample.units(), range, threads));
            }
            CHECK(totals == expected);
        }
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> tokens{0, 1, 2};
    const std::vector<Index> one{3};
    const std::vector<std::uint8_t> quarter{0};
    const std::vector<std::uint32_t> group{0};
    auto count_units = [&](int max_context, Index vocab_size, const std::vector<Index>& ends,
                           const NgramUnits& units) {
        count_ngrams(std::span<const std::uint16_t>(tokens), vocab_size, max_context,
                     std::span<const Index>(ends), units, {0, vocab_size}, 1);
    };
    auto count = [&](int max_context, Index vocab_size, const std::vector<Index>& ends) {
        count_units(max_context, vocab_size, ends, {one, quarter, group, 1});
    };
    count(1, 3, {3});
    const std::vector<Index> two{2};
    const std::vector<std::uint8_t> fifth{4};
    const std::vector<std::uint32_t> beyond{1};
    CHECK_THROWS(std::invalid_argument, count_units(1, 3, {3}, {two, quarter, group, 1}));
    CHECK_THROWS(std::invalid_argument, count_units(1, 3, {3}, {one, fifth, group, 1}));
    CHECK_THROWS(std::invalid_argument, count_units(1, 3, {3}, {one, quarter, beyond, 1}));
    CHECK_THROWS(std::invalid_argument, count_units(1, 3, {3}, {one, {}, group, 1}));
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
            std::vector<Index> one_document;
            if (stream.size() > 0) one_document.push_back(stream.size());
            for (const int max_context : {0, 1, 3, 30}) {
                check_counts(stream, max_context, stream.ends);
                check_counts(stream, max_context, one_document);
            }
            if (stream.name == "period 7") check_counts(stream, 254, one_document);
        }
    });
    refuses_bad_arguments();
}
