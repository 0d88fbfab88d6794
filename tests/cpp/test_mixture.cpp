// Contexts and mixers under threads and sanitizers: counts against maps, masses that add up, and
// results that do not depend on threads or on how often the text is read.
#include <cmath>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/mixing/context_counts.hpp"
#include "ngramstat/mixing/mixer.hpp"

namespace {

using namespace ngramstat;

TokenTree chain_tree(Index size) {  // one leaf to the left at every node
    TokenTree tree;
    for (Index t = 0; t < size; ++t) tree.leaf_of.push_back(static_cast<std::uint32_t>(t));
    for (Index t = 1; t < size; ++t) tree.split.push_back(static_cast<std::uint32_t>(t));
    return tree;
}

struct Evaluated {
    std::array<Count, 4> raw, lower;
    std::vector<float> mass;
    std::vector<std::uint16_t> packed_logits;
    bool operator==(const Evaluated&) const = default;
};

template <class Token>
void check_nodes(Index stop) {
    const Index size = 23;
    check::Random random(5);
    std::vector<Token> training(300'000), text(900);
    for (auto* tokens : {&training, &text}) {
        Index before = 0;
        for (auto& token : *tokens) {
            before = random.below(3) ? (before * 5 + 1) % size : random.below(size);
            token = static_cast<Token>(before);
        }
    }
    std::vector<Index> targets;
    for (Index i = 3; i < 900; i += 2) targets.push_back(i);
    const TokenTree tree = chain_tree(size);
    const auto lengths = path_lengths(tree);
    std::vector<Index> offsets{0};
    for (const Index i : targets) offsets.push_back(offsets.back() + lengths[text[i]]);
    const std::size_t decisions = static_cast<std::size_t>(offsets.back());

    auto run = [&](Index most, int threads) {
        ContextCounts counts(std::span<const Token>(text), targets, 100, size, {{1, 2}, {-1, -1}},
                             {}, size, stop);
        counts.count(std::span<const Token>(training), 0, 250'000, 3, most, threads);
        Evaluated out{counts.counts_of_counts(false), counts.counts_of_counts(true),
                      std::vector<float>(2 * decisions), std::vector<std::uint16_t>(decisions)};
        counts.evaluate(tree, {{0.5, 1.0, 1.5}, {0.6, 1.1, 1.6}}, offsets, {}, out.packed_logits,
                        out.mass, threads);
        return out;
    };
    const Evaluated once = run(Index{1} << 40, 1);
    for (const int threads : check::kThreads) {
        check::in_case("threads " + std::to_string(threads));
        CHECK(run(Index{1} << 40, threads) == once);
        CHECK(run(1000, threads) == once);
    }
    // The two branches of the first decision are the whole vocabulary, those of a decision the
    // branch taken before it.
    for (std::size_t t = 0; t < targets.size(); ++t) {
        double above = 1.0;
        for (Index e = offsets[t]; e < offsets[t + 1]; ++e) {
            const double taken = static_cast<double>(once.mass[2 * e]);
            CHECK(std::abs(taken + static_cast<double>(once.mass[2 * e + 1]) - above) < 1e-5);
            above = taken;
        }
    }
    std::map<std::pair<Index, Index>, std::map<Index, Count>> counts;
    for (std::size_t i = 2; i < training.size(); ++i) {
        if (static_cast<Index>(training[i - 1]) == stop) continue;
        ++counts[{training[i - 1], training[i - 2]}][training[i]];
    }
    std::array<Count, 4> expected{};
    std::map<std::pair<Index, Index>, bool> wanted;
    for (const Index i : targets) {
        if (static_cast<Index>(text[i - 1]) != stop) wanted[{text[i - 1], text[i - 2]}] = true;
    }
    for (const auto& [context, followers] : counts) {
        if (!wanted.count(context)) continue;
        for (const auto& [token, count] : followers) {
            if (count <= 4) ++expected[count - 1];
        }
    }
    CHECK(once.raw == expected);
}

void check_mixer() {
    check::in_case("mixer");
    std::vector<std::uint16_t> packed_logits;
    for (const int stretch : {64, -64, 32, 0, 100, -100}) {
        packed_logits.push_back(static_cast<std::uint16_t>(stretch * kBuckets + 3));
    }
    const std::vector<std::uint16_t> states{0, 1, 0};
    const MixerInputs inputs{3, packed_logits, states};
    Mixer mixer({0, 1}, {-1, 0}, {1.0, 0.0}, {2});
    std::vector<double> losses(1);
    const std::vector<Index> all{0, 3};
    mixer.score(inputs, all, losses);
    const double start = losses[0];
    CHECK(std::abs(start - std::log1p(std::exp(-1.0)) - std::log1p(std::exp(1.0)) -
                   std::log1p(std::exp(-0.5))) < 1e-6);
    for (int pass = 0; pass < 50; ++pass) mixer.train(inputs, 0, 3, 0.02);
    mixer.score(inputs, all, losses);
    CHECK(losses[0] < start);
    CHECK_THROWS(std::invalid_argument, mixer.train(inputs, 2, 4, 0.02));
    CHECK_THROWS(std::invalid_argument, Mixer({0}, {0}, {1.0}, {}));
    CHECK_THROWS(std::invalid_argument, Mixer({0}, {-1}, {1.0}, {0}));
}

void check_bad_input() {
    check::in_case("bad input");
    const std::vector<std::uint16_t> text{0, 1, 2, 7};
    const std::vector<Index> targets{2};
    const TokenTree tree = chain_tree(4);
    using Text = std::span<const std::uint16_t>;
    const auto counts = [&](Text tokens, const ContextPattern& pattern, Index leave_one_out) {
        return ContextCounts(tokens, targets, leave_one_out, 4, pattern, {}, 4, -1);
    };
    CHECK_THROWS(std::out_of_range, counts(text, {{1}, {-1}}, 0));
    const Text good(text.data(), 3);
    CHECK_THROWS(std::invalid_argument, counts(good, {{0}, {-1}}, 0));
    CHECK_THROWS(std::invalid_argument, counts(good, {{1}, {0}}, 0));
    CHECK_THROWS(std::invalid_argument, counts(good, {{1}, {-1}}, 2));
    ContextCounts kept = counts(good, {{1}, {-1}}, 0);
    CHECK_THROWS(std::out_of_range, kept.count(Text(text), 0, 4, 0, 100, 2));
    std::vector<std::uint16_t> packed_logits(3);
    std::vector<float> mass(6);
    const std::vector<Index> offsets{0, 3};
    CHECK_THROWS(std::invalid_argument,
                 kept.evaluate(chain_tree(3), {}, offsets, {}, packed_logits, {}, 1));
    CHECK_THROWS(std::invalid_argument,
                 kept.evaluate(tree, {}, offsets, {}, packed_logits, mass, 1));
    TokenTree broken = tree;
    broken.split[1] = 1;
    CHECK_THROWS(std::invalid_argument, check_tree(broken));
}

}  // namespace

int main() {
    for (const Index stop : {Index{-1}, Index{4}}) {
        check_nodes<std::uint16_t>(stop);
        check_nodes<std::uint32_t>(stop);
    }
    check_mixer();
    check_bad_input();
    return 0;
}
