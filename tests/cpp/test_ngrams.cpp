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

// Everything counted by maps, over one subset of the targets.
struct Naive {
    std::vector<std::map<Gram, Count>> ngrams;
    std::vector<std::map<Gram, Count>> contexts;
    Count targets = 0;
};

std::int64_t fixed_log(Count c) {
    return std::llround(std::ldexp(std::log(static_cast<double>(c)), kLossBits));
}

template <class Token>
Index most_frequent(const check::Stream<Token>& stream) {
    std::vector<Index> counts(static_cast<std::size_t>(stream.vocab_size), 0);
    for (const Token token : stream.tokens) ++counts[token];
    return std::max_element(counts.begin(), counts.end()) - counts.begin();
}

// Counts the n-grams that end with this one, last token first, cut by the tokens before it.
template <class Token>
void count_cut(const check::Stream<Token>& stream, int max_context, const Documents& documents,
               bool across, const Gram& ngram, int threads, std::vector<NgramCounts>& parts) {
    parts.push_back(count_ngram(stream.span(), max_context, documents, across,
                                std::span<const Index>(ngram), threads));
    if (static_cast<int>(ngram.size()) > max_context) return;
    const auto before = tokens_before(stream.span(), stream.vocab_size, {0, stream.size()},
                                      std::span<const Index>(ngram), threads);
    const auto add = [&](TokenRange range) {
        parts.push_back(count_ngrams(stream.span(), stream.vocab_size, max_context, documents,
                                     across, range, threads, ngram));
    };
    Index start = 0;
    for (Index token = 0; token < stream.vocab_size; ++token) {
        if (token % 3 > 0 || before[token + 1] == 0) continue;
        add({start, token});
        start = token + 1;
        Gram longer = ngram;
        longer.push_back(token);
        count_cut(stream, max_context, documents, across, longer, threads, parts);
    }
    add({start, stream.vocab_size});
}

template <class Token>
void check_counts(const check::Stream<Token>& stream, int max_context, bool across) {
    std::vector<Index> ends = stream.ends;
    if (across && !ends.empty()) ends = {stream.size()};
    // Quarters and clusters cycle through the documents.
    std::vector<std::uint8_t> quarters;
    const Index n_groups = 3;
    for (std::size_t d = 0; d < stream.ends.size(); ++d) {
        quarters.push_back(static_cast<std::uint8_t>(d * 7 % 5 % 4));
    }
    const Documents documents = stream.documents_in_folds(quarters, 4);
    const auto groups = documents.clusters();
    const std::size_t depth = static_cast<std::size_t>(max_context) + 1;
    std::vector<Naive> naive(kSubsets);
    for (auto& subset : naive) {
        subset.ngrams.resize(depth);
        subset.contexts.resize(depth);
    }
    std::vector<Index> targets;
    std::vector<std::size_t> unit_of;
    Index start = 0;
    for (const Index end : ends) {
        for (Index i = start + max_context; i < end; ++i) {
            const auto unit = static_cast<std::size_t>(
                std::upper_bound(stream.ends.begin(), stream.ends.end(), i) - stream.ends.begin());
            targets.push_back(i);
            unit_of.push_back(unit);
            for (const int s : {0, 1 + quarters[unit] / 2, 3 + quarters[unit]}) {
                ++naive[s].targets;
                for (int n = 0; n <= max_context; ++n) {
                    const auto at = stream.tokens.begin() + i;
                    ++naive[s].ngrams[n][Gram(at - n, at + 1)];
                    if (n > 0) ++naive[s].contexts[n][Gram(at - n, at)];
                }
            }
        }
        start = end;
    }
    std::vector<std::int64_t> losses(static_cast<std::size_t>(n_groups) * depth);
    std::vector<Count> group_targets(static_cast<std::size_t>(n_groups));
    for (std::size_t t = 0; t < targets.size(); ++t) {
        const std::size_t group = groups[unit_of[t]];
        ++group_targets[group];
        for (int n = 0; n <= max_context; ++n) {
            const auto at = stream.tokens.begin() + targets[t];
            auto& loss = losses[group * depth + static_cast<std::size_t>(n)];
            loss -= fixed_log(naive[0].ngrams[n].at(Gram(at - n, at + 1)));
            if (n > 0) loss += fixed_log(naive[0].contexts[n].at(Gram(at - n, at)));
        }
    }
    const Index frequent = most_frequent(stream);
    const std::vector<std::vector<TokenRange>> partitions{
        {{0, stream.vocab_size}},
        check::partition(stream.vocab_size),
        // The token that is left out is counted by the tokens before it.
        {{0, frequent}, {frequent + 1, stream.vocab_size}}};
    for (const int threads : check::kThreads) {
        for (const auto& ranges : partitions) {
            check::in_case(stream.name + ", max_context " + std::to_string(max_context) + ", " +
                           std::to_string(ends.size()) + " documents, threads " +
                           std::to_string(threads) + ", ranges " + std::to_string(ranges.size()));
            std::vector<std::vector<Table>> found_ngrams(kSubsets, std::vector<Table>(depth));
            auto found_contexts = found_ngrams;
            std::vector<Count> found_targets(kSubsets);
            std::vector<std::int64_t> found_losses(losses.size());
            std::vector<Count> found_group_targets(group_targets.size());
            if (ranges.size() == 2 && threads < 3) continue;
            std::vector<NgramCounts> parts;
            for (const TokenRange range : ranges) {
                parts.push_back(count_ngrams(stream.span(), stream.vocab_size, max_context,
                                             documents, across, range, threads));
            }
            if (ranges.size() == 2) {
                count_cut(stream, max_context, documents, across, {frequent}, threads, parts);
            }
            for (const NgramCounts& counts : parts) {
                CHECK(counts.losses.size() == losses.size());
                for (std::size_t i = 0; i < losses.size(); ++i) found_losses[i] += counts.losses[i];
                for (std::size_t g = 0; g < group_targets.size(); ++g) {
                    found_group_targets[g] += counts.group_targets[g];
                }
                for (int s = 0; s < kSubsets; ++s) {
                    CHECK(counts.ngrams[s].size() == depth);
                    CHECK(counts.contexts[s].size() == depth);
                    found_targets[s] += counts.targets[s];
                    for (std::size_t n = 0; n < depth; ++n) {
                        Count previous = 0;
                        for (const auto& [count, number] : counts.ngrams[s][n]) {
                            CHECK(count > previous && number > 0);
                            previous = count;
                            found_ngrams[s][n][count] += number;
                        }
                        for (const auto& [count, number] : counts.contexts[s][n]) {
                            found_contexts[s][n][count] += number;
                        }
                    }
                }
            }
            CHECK(found_losses == losses);
            CHECK(found_group_targets == group_targets);
            for (int s = 0; s < kSubsets; ++s) {
                CHECK(found_targets[s] == naive[s].targets);
                for (std::size_t n = 0; n < depth; ++n) {
                    CHECK(found_ngrams[s][n] == counts_of_counts(naive[s].ngrams[n]));
                    CHECK(found_contexts[s][n] == counts_of_counts(naive[s].contexts[n]));
                }
            }
        }
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> tokens{0, 1, 2};
    auto count = [&](int max_context, Index vocab_size, Index n_tokens) {
        count_ngrams(std::span<const std::uint16_t>(tokens), vocab_size, max_context,
                     Documents::single(n_tokens), true, {0, vocab_size}, 1);
    };
    count(1, 3, 3);
    CHECK_THROWS(std::invalid_argument, count(-1, 3, 3));
    CHECK_THROWS(std::invalid_argument, count(255, 3, 3));
    CHECK_THROWS(std::invalid_argument, count(1, 3, 2));
    CHECK_THROWS(std::invalid_argument, count(1, 3, 4));
    CHECK_THROWS(std::invalid_argument, count(1, 3, 0));
    CHECK_THROWS(std::out_of_range, count(1, 2, 3));
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            for (const int max_context : {0, 1, 3, 30}) {
                check_counts(stream, max_context, false);
                check_counts(stream, max_context, true);
            }
            if (stream.name == "period 7") check_counts(stream, 254, true);
        }
    });
    refuses_bad_arguments();
}
