// Contexts and mixers under threads and sanitizers: counts against maps, and results that do not
// depend on threads or on how often the training stream is read.
#include <cmath>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/mixing/context_counts.hpp"
#include "ngramstat/mixing/mixer.hpp"
#include "ngramstat/mixing/packed_logits.hpp"

namespace {

using namespace ngramstat;

TokenTree chain_tree(Index size) {  // one leaf to the left at every node
    TokenTree tree;
    for (Index t = 0; t < size; ++t) tree.leaf_of.push_back(static_cast<std::uint32_t>(t));
    for (Index t = 1; t < size; ++t) tree.split.push_back(static_cast<std::uint32_t>(t));
    return tree;
}

struct Interpolated {
    std::array<Count, 4> raw, continuation;
    std::vector<std::int16_t> fallback_logits;
    std::vector<std::uint16_t> packed_logits;
    bool operator==(const Interpolated&) const = default;
};

template <class Token>
struct Sample {
    static constexpr Index kVocabSize = 23;
    std::vector<Token> training, tokens;
    std::vector<Index> targets;

    Sample() : training(300'000), tokens(900) {
        check::Random random(5);
        for (auto* stream : {&training, &tokens}) {
            Index before = 0;
            for (auto& token : *stream) {
                before = random.below(3) ? (before * 5 + 1) % kVocabSize : random.below(kVocabSize);
                token = static_cast<Token>(before);
            }
        }
        for (Index i = 3; i < 900; i += 2) targets.push_back(i);
    }
};

// Counts of counts of the two tokens before each target, by maps.
template <class Token>
std::array<Count, 4> naive_counts_of_counts(const Sample<Token>& sample, Index stop) {
    using Context = std::pair<Index, Index>;
    std::map<Context, std::map<Index, Count>> counts;
    const auto& training = sample.training;
    for (std::size_t i = 2; i < training.size(); ++i) {
        if (static_cast<Index>(training[i - 1]) == stop) continue;
        ++counts[{training[i - 1], training[i - 2]}][training[i]];
    }
    std::map<Context, bool> target_contexts;
    const auto& tokens = sample.tokens;
    for (const Index i : sample.targets) {
        if (static_cast<Index>(tokens[i - 1]) == stop) continue;
        target_contexts[{tokens[i - 1], tokens[i - 2]}] = true;
    }
    std::array<Count, 4> numbers{};
    for (const auto& [context, followers] : counts) {
        if (!target_contexts.count(context)) continue;
        for (const auto& [token, count] : followers) {
            if (count <= 4) ++numbers[count - 1];
        }
    }
    return numbers;
}

template <class Token>
void check_context_counts(Index stop) {
    const Sample<Token> sample;
    const Index size = Sample<Token>::kVocabSize;
    const TokenTree tree = chain_tree(size);
    const auto lengths = path_lengths(tree);
    std::vector<Index> offsets{0};
    for (const Index i : sample.targets) {
        offsets.push_back(offsets.back() + lengths[sample.tokens[i]]);
    }
    const std::size_t n_decisions = static_cast<std::size_t>(offsets.back());

    auto run = [&](Index max_events, int threads) {
        ContextCounts counts(std::span<const Token>(sample.tokens), sample.targets, 100, 0,
                             {size, stop}, {{1, 2}, {-1, -1}}, {}, threads);
        counts.count(std::span<const Token>(sample.training), {0, 250'000, 3, max_events, threads},
                     {}, {});
        Interpolated out{counts.counts_of_counts(false, false, threads),
                         counts.counts_of_counts(true, false, threads),
                         std::vector<std::int16_t>(n_decisions),
                         std::vector<std::uint16_t>(n_decisions)};
        counts.interpolate(tree, {{0.53, 1.07, 1.37}, {0.61, 1.13, 1.67}},
                           {offsets, {}, out.packed_logits, out.fallback_logits}, threads);
        return out;
    };
    const Interpolated once = run(Index{1} << 40, 1);
    for (const int threads : check::kThreads) {
        check::in_case("threads " + std::to_string(threads));
        CHECK(run(Index{1} << 40, threads) == once);
        CHECK(run(1000, threads) == once);
    }
    for (const std::int16_t logit : once.fallback_logits) CHECK(std::abs(logit) <= kMaxFallback);
    CHECK(once.raw == naive_counts_of_counts(sample, stop));
}

void check_mixer() {
    check::in_case("mixer");
    std::vector<std::uint16_t> packed_logits;
    for (const int logit : {64, -64, 32, 0, 100, -100}) {
        packed_logits.push_back(static_cast<std::uint16_t>(logit * kBuckets + 3));
    }
    const std::vector<std::uint16_t> states{0, 1, 0};
    const MixerInputs inputs{3, packed_logits, states};
    const std::vector<double> initial{1.0, 0.0};
    const std::vector<MixerShape> shapes{{2, 1, 1}, {1, 0, 0}};
    MixerGroup mixers({-1, 0}, initial, {0}, {2}, shapes);
    std::vector<double> losses(2);
    const std::vector<Index> all{0, 3};
    const std::vector<double> rates{0.02, 0.02};
    mixers.score(inputs, all, losses);
    const std::vector<double> start = losses;
    CHECK(std::abs(start[0] - std::log1p(std::exp(-1.0)) - std::log1p(std::exp(1.0)) -
                   std::log1p(std::exp(-0.5))) < 1e-5);
    CHECK(start[1] == start[0]);
    for (int pass = 0; pass < 50; ++pass) mixers.train(inputs, 0, 3, rates);
    mixers.score(inputs, all, losses);
    CHECK(losses[0] < losses[1]);
    CHECK(losses[1] < start[1]);
    CHECK_THROWS(std::invalid_argument, mixers.train(inputs, 2, 4, rates));
    const std::vector<double> one{1.0};
    const std::vector<MixerShape> alone{{1, 0, 0}};
    CHECK_THROWS(std::invalid_argument, MixerGroup({0}, one, {}, {}, alone));
    CHECK_THROWS(std::invalid_argument, MixerGroup({-1}, one, {}, {0}, alone));
}

void check_bad_input() {
    check::in_case("bad input");
    const std::vector<std::uint16_t> stream{0, 1, 2, 7};
    const std::vector<Index> targets{2};
    const TokenTree tree = chain_tree(4);
    using Stream = std::span<const std::uint16_t>;
    const auto counts = [&](Stream tokens, const ContextPattern& pattern, Index n_leave_one_out) {
        return ContextCounts(tokens, targets, n_leave_one_out, 0, {4, -1}, pattern, {}, 2);
    };
    CHECK_THROWS(std::out_of_range, counts(stream, {{1}, {-1}}, 0));
    const Stream good(stream.data(), 3);
    CHECK_THROWS(std::invalid_argument, counts(good, {{0}, {-1}}, 0));
    CHECK_THROWS(std::invalid_argument, counts(good, {{1}, {0}}, 0));
    CHECK_THROWS(std::invalid_argument, counts(good, {{1}, {-1}}, 2));
    ContextCounts good_counts = counts(good, {{1}, {-1}}, 0);
    CHECK_THROWS(std::out_of_range, good_counts.count(Stream(stream), {0, 4, 0, 100, 2}, {}, {}));
    std::vector<std::uint16_t> packed_logits(3);
    std::vector<std::int16_t> fallback_logits(3);
    const std::vector<Index> offsets{0, 3};
    const auto interpolate = [&](const TokenTree& along, std::span<std::int16_t> out) {
        good_counts.interpolate(along, {}, {offsets, {}, packed_logits, out}, 1);
    };
    CHECK_THROWS(std::invalid_argument, interpolate(chain_tree(3), {}));
    CHECK_THROWS(std::invalid_argument,
                 interpolate(tree, fallback_logits));  // no continuation counts
    interpolate(tree, {});
    TokenTree broken = tree;
    broken.split[1] = 1;
    CHECK_THROWS(std::invalid_argument, check_tree(broken));
}

}  // namespace

int main() {
    for (const Index stop : {Index{-1}, Index{4}}) {
        check_context_counts<std::uint16_t>(stop);
        check_context_counts<std::uint32_t>(stop);
    }
    check_mixer();
    check_bad_input();
    return 0;
}
