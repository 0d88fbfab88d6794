// Trained tries and their scores against KneserNey, which looks held-out n-grams up; damaged tries.
#include <cmath>
#include <cstring>
#include <numeric>

#include "check.hpp"
#include "ngramstat/models/backoff_scores.hpp"
#include "ngramstat/models/kneser_ney_training.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"

namespace {

using namespace ngramstat;

// A trie that owns its levels.
struct OwnedTrie {
    std::vector<std::vector<TrieNode>> nodes;
    std::vector<TrieLeaf> leaves;
    std::vector<std::vector<std::uint32_t>> guides;
    int order = 1;
    Index vocab_size = 0, symbols = 0;

    OwnedTrie(int of_order, Index vocab, Index ids, const std::vector<Index>& sizes)
        : order(of_order), vocab_size(vocab), symbols(ids) {
        nodes.emplace_back(static_cast<std::size_t>(ids) + 1);
        for (int m = 2; m < order; ++m) {
            nodes.emplace_back(static_cast<std::size_t>(sizes[m - 1]) + 1);
        }
        if (order > 1) leaves.resize(static_cast<std::size_t>(sizes[order - 1]));
    }
    template <class Trie>
    Trie view() {
        Trie trie;
        trie.order = order;
        trie.vocab_size = vocab_size;
        trie.symbols = symbols;
        for (auto& level : nodes) trie.nodes.emplace_back(level);
        trie.leaves = leaves;
        for (const auto& guide : guides) trie.guides.emplace_back(guide);
        return trie;
    }
    void add_guides(int threads) {
        for (int m = 2; m <= order; ++m) {
            const auto trie = view<NgramTrie>();
            std::vector<std::uint32_t> guide(static_cast<std::size_t>(guide_size(trie.size(m))));
            make_guide(trie, m, guide, threads);
            guides.push_back(std::move(guide));
        }
    }
    bool operator==(const OwnedTrie& other) const {
        const auto same = [](const auto& a, const auto& b) {
            return a.size() == b.size() &&
                   (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
        };
        for (std::size_t m = 0; m < nodes.size(); ++m) {
            if (!same(nodes[m], other.nodes[m])) return false;
        }
        return same(leaves, other.leaves) && guides == other.guides;
    }
};

std::vector<OrderDiscounts> some_discounts(int order) {
    std::vector<OrderDiscounts> discounts;
    for (int m = 1; m <= order; ++m) discounts.push_back({0.5 + 0.02 * m, 1.0, 1.4});
    return discounts;
}

template <class Token>
OwnedTrie train(const TrainingStream<Token>& stream, const std::vector<TokenRange>& ranges,
                int threads) {
    const std::size_t order = static_cast<std::size_t>(stream.order);
    const Index symbols = stream.vocab_size + (stream.stop_token == stream.vocab_size);
    std::vector<LevelSizes> sizes;
    std::vector<Index> totals(order, 0);
    for (const TokenRange range : ranges) {
        sizes.push_back(count_trie_levels(stream, range, threads));
        for (std::size_t k = 0; k < sizes.back().by_block.size(); ++k) {
            totals[k % order] += sizes.back().by_block[k];
        }
    }
    OwnedTrie owned(stream.order, stream.vocab_size, symbols, totals);
    const auto trie = owned.view<MutableNgramTrie>();
    std::vector<Count> unigrams(static_cast<std::size_t>(symbols), 0);
    const std::vector<Count> min_counts(order, 1);
    std::vector<Index> before(order, 0);
    for (std::size_t r = 0; r < ranges.size(); ++r) {
        std::vector<Index> starts, ends;
        for (std::size_t k = 0; k < sizes[r].by_block.size(); ++k) {
            starts.push_back(before[k % order]);
            before[k % order] += sizes[r].by_block[k];
            ends.push_back(before[k % order]);
        }
        store_ngrams(stream, ranges[r], {trie, starts, ends, unigrams, min_counts}, threads);
    }
    KneserNeyEstimator estimator(trie, unigrams, some_discounts(stream.order), min_counts);
    for (const TokenRange range : ranges) estimator.estimate(range, threads);
    if (symbols > stream.vocab_size) estimator.estimate({stream.vocab_size, symbols}, threads);
    owned.add_guides(threads);
    return owned;
}

template <class Token>
void check_model(const check::Stream<Token>& stream, int order, Index stop_token) {
    const auto split = static_cast<std::size_t>(2 * stream.size() / 3);
    const auto training = stream.span().first(split), held_out = stream.span().subspan(split);
    const TrainingStream<Token> source{training, 0, stream.vocab_size, order, stop_token};
    check::in_case(stream.name + ", order " + std::to_string(order) + ", stop " +
                   std::to_string(stop_token));
    OwnedTrie owned = train(source, {{0, stream.vocab_size}}, 1);
    CHECK(owned == train(source, check::partition(stream.vocab_size), 3));

    const BackoffTrie trie(owned.view<NgramTrie>());
    std::vector<double> scores(held_out.size()), all(held_out.size() * order);
    backoff_scores(trie, held_out, stop_token, false, std::span(scores), 2);
    backoff_scores(trie, held_out, stop_token, true, std::span(all), 1);
    for (std::size_t i = 0; i < scores.size(); ++i) CHECK(scores[i] == all[(i + 1) * order - 1]);

    // Every token of the vocabulary as a document of its own, whose context is the stream before
    // it.
    std::vector<Index> ends(held_out.size());
    std::iota(ends.begin(), ends.end(), Index{1});
    Documents::Content content;
    for (std::size_t i = 0; i < ends.size(); ++i) {
        const bool event = static_cast<Index>(held_out[i]) < stream.vocab_size;
        content.starts.push_back(static_cast<Index>(i));
        content.ends.push_back(static_cast<Index>(i) + event);
    }
    const std::vector<std::uint8_t> folds(ends.size());
    const std::vector<std::uint32_t> clusters(ends.size());
    if (ends.empty()) return;
    KneserNey<Token> exact(held_out, Documents(ends, content, {folds, 2}, {clusters, 1}),
                           stream.vocab_size, order, stop_token);
    const Segment stream_part{0, static_cast<Index>(training.size())};
    exact.add_training(training, {&stream_part, 1}, {0, stream.vocab_size}, 1);
    std::vector<double> losses(ends.size() * static_cast<std::size_t>(order));
    const auto discounts = some_discounts(order);
    exact.score(0, discounts, std::span(discounts).first(discounts.size() - 1), losses, 1);
    for (std::size_t i = 0; i < ends.size(); ++i) {
        if (content.ends[i] == content.starts[i]) continue;
        CHECK(std::abs(losses[(i + 1) * order - 1] + scores[i]) < 1e-5);
    }
    if (stream.size() > 2000) return;
    // The distribution after a context is that of the stream.
    std::vector<double> next(static_cast<std::size_t>(stream.vocab_size));
    std::vector<Index> context;
    for (const Token token : held_out.first(held_out.size() - 1)) {
        context.push_back(static_cast<Index>(token));
    }
    const std::vector<Index> one{static_cast<Index>(context.size())};
    backoff_next_scores(trie, context, one, stop_token, std::span(next), 1);
    const auto last = static_cast<Index>(held_out.back());
    if (last < stream.vocab_size) CHECK(next[last] == scores.back());
}

// Any bytes may stand in a trie from a file: nothing outside the arrays is read.
void survives_damage() {
    check::in_case("damaged tries");
    check::Random random(5);
    std::vector<std::uint16_t> tokens(3000);
    for (auto& token : tokens) token = static_cast<std::uint16_t>(random.below(40));
    const TrainingStream<std::uint16_t> source{tokens, 0, 40, 4, 3};
    const OwnedTrie whole = train(source, {{0, 40}}, 1);
    std::vector<double> scores(tokens.size()), next(40);
    const std::vector<Index> context{5, 6, 7}, end{3};
    for (int round = 0; round < 300; ++round) {
        OwnedTrie damaged = whole;
        const auto change = [&](auto& level) {
            if (level.empty()) return;
            auto* bytes = reinterpret_cast<unsigned char*>(level.data());
            const auto size = static_cast<Index>(level.size() * sizeof level[0]);
            for (int k = 0; k < 40; ++k) {
                bytes[random.below(size)] = static_cast<unsigned char>(random.below(256));
            }
        };
        for (auto& level : damaged.nodes) change(level);
        for (auto& guide : damaged.guides) change(guide);
        change(damaged.leaves);
        const BackoffTrie trie(damaged.view<NgramTrie>());
        backoff_scores<std::uint16_t>(trie, tokens, 3, false, scores, 1);
        backoff_next_scores(trie, context, end, 3, next, 1);
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> tokens{0, 1, 2, 1};
    const TrainingStream<std::uint16_t> source{tokens, 0, 3, 2, -1};
    OwnedTrie owned = train(source, {{0, 3}}, 1);
    const BackoffTrie trie(owned.view<NgramTrie>());
    std::vector<double> scores(4);
    const std::vector<std::uint16_t> large{0, 3, 0, 0};
    CHECK_THROWS(std::out_of_range,
                 backoff_scores<std::uint16_t>(trie, large, -1, false, scores, 1));
    CHECK_THROWS(std::invalid_argument,
                 backoff_scores<std::uint16_t>(trie, tokens, -1, true, scores, 1));
    auto bad = owned.view<NgramTrie>();
    bad.symbols = 5;
    CHECK_THROWS(std::invalid_argument, BackoffTrie{bad});
    bad = owned.view<NgramTrie>();
    bad.nodes.push_back(bad.nodes[0]);
    CHECK_THROWS(std::invalid_argument, BackoffTrie{bad});
    bad = owned.view<NgramTrie>();
    bad.guides[0] = bad.guides[0].first(0);
    if (!owned.guides[0].empty()) CHECK_THROWS(std::invalid_argument, BackoffTrie{bad});
    CHECK_THROWS(std::invalid_argument, count_trie_levels(source, {0, 4}, 1));
    // Other tokens than those that were counted.
    const std::vector<std::uint16_t> other{0, 1, 2, 0};
    const TrainingStream<std::uint16_t> changed{other, 0, 3, 2, -1};
    const LevelSizes sizes = count_trie_levels(source, {0, 3}, 1);
    std::vector<Index> starts, ends;
    std::vector<Index> before(2, 0);
    for (std::size_t k = 0; k < sizes.by_block.size(); ++k) {
        starts.push_back(before[k % 2]);
        before[k % 2] += sizes.by_block[k];
        ends.push_back(before[k % 2]);
    }
    std::vector<Count> unigrams(3);
    const std::vector<Count> min_counts(2, 1);
    CHECK_THROWS(
        std::runtime_error,
        store_ngrams(changed, {0, 3},
                     {owned.view<MutableNgramTrie>(), starts, ends, unigrams, min_counts}, 1));
}

}  // namespace

int main() {
    check::for_models(kMaxOrder, [](auto&& stream, int order, Index stop_token) {
        check_model(stream, order, stop_token);
    });
    survives_damage();
    refuses_bad_arguments();
}
