// The samplers against one-at-a-time walks: down the tree, along the path, through the contexts.
#include <algorithm>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/worlds/ngram_sampler.hpp"
#include "ngramstat/worlds/samplers.hpp"

namespace {

using namespace ngramstat;

constexpr std::uint64_t kAlways = ~std::uint64_t{0};

struct Level {
    Index n_parents;
    std::vector<std::uint64_t> threshold;
    std::vector<std::uint32_t> alias;
    std::vector<std::uint32_t> children;
};

Level random_level(std::mt19937_64& rng, Index n_parents, Index n_children, Index rules,
                   Index width) {
    Level level{n_parents, {}, {}, {}};
    for (Index r = 0; r < rules; ++r) {
        level.threshold.push_back(rng());
        level.alias.push_back(
            static_cast<std::uint32_t>(rng() % static_cast<std::uint64_t>(rules)));
    }
    for (Index i = 0; i < n_parents * rules * width; ++i) {
        level.children.push_back(
            static_cast<std::uint32_t>(rng() % static_cast<std::uint64_t>(n_children)));
    }
    return level;
}

// The leaf at `position`, walking down from the root of its string.
std::uint32_t leaf(const TreeSource& source, std::uint64_t key, std::uint64_t position) {
    const int depth = static_cast<int>(source.levels.size());
    const auto s = static_cast<std::uint64_t>(source.branching);
    std::uint64_t d = 1;
    std::uint64_t words = 1;
    for (int l = 0; l < depth; ++l) {
        words += source.by_child ? d * s : d;
        d *= s;
    }
    const std::uint64_t first = position / d * words;
    std::uint64_t local = position % d;
    const auto roots = static_cast<unsigned __int128>(source.levels[0].n_parents);
    auto symbol = static_cast<std::uint32_t>((random_word(key, first) * roots) >> 64);
    std::uint64_t offset = 1;
    std::uint64_t nodes = 1;
    std::uint64_t node = 0;
    for (int l = 0; l < depth; ++l) {
        d /= s;
        const std::uint64_t c = local / d;
        local %= d;
        const TreeLevel& level = source.levels[l];
        const std::uint64_t word = offset + (source.by_child ? node * s + c : node);
        const std::uint64_t rule = level.rules.pick(random_word(key, first + word));
        const std::uint64_t row = symbol * level.rules.size() + rule;
        symbol = level.children[source.by_child ? row : row * s + c];
        offset += source.by_child ? nodes * s : nodes;
        node = node * s + c;
        nodes *= s;
    }
    return symbol;
}

template <class Token>
void check_trees(Index branching, int depth, bool by_child, std::uint64_t seed) {
    check::in_case("trees of " + std::to_string(branching) + "^" + std::to_string(depth) +
                   (by_child ? " by child" : ""));
    std::mt19937_64 rng(seed);
    const std::vector<Index> sizes{5, 3, 7, 4};
    std::vector<Level> levels;
    for (int l = 0; l < depth; ++l) {
        const Index below = l + 1 < depth ? sizes[(l + 1) % 4] : 11;
        levels.push_back(
            random_level(rng, sizes[l % 4], below, 2 + l % 3, by_child ? 1 : branching));
    }
    TreeSource source;
    source.branching = branching;
    source.by_child = by_child;
    source.n_tokens = 11;
    for (const Level& level : levels) {
        source.levels.push_back({level.n_parents, {level.threshold, level.alias}, level.children});
    }
    const std::uint64_t key = rng();
    std::vector<Token> all(20'011);
    sample_trees<Token>(source, key, 0, all, 2);
    for (std::size_t i = 0; i < all.size(); i += 7) CHECK(all[i] == leaf(source, key, i));
    for (const std::uint64_t first : {std::uint64_t{1}, std::uint64_t{4095}, std::uint64_t{9001}}) {
        std::vector<Token> part(5000);
        sample_trees<Token>(source, key, first, part, 7);
        CHECK(std::equal(part.begin(), part.end(), all.begin() + static_cast<long>(first)));
    }
    std::vector<Token> none;
    sample_trees<Token>(source, key, 3, none, 1);
    // Far out, where string numbers and words pass 2^32.
    std::vector<Token> far(100);
    const std::uint64_t start = (std::uint64_t{1} << 40) + 12'345;
    sample_trees<Token>(source, key, start, far, 1);
    for (std::size_t i = 0; i < far.size(); ++i) CHECK(far[i] == leaf(source, key, start + i));
}

template <class Error, class Call>
void check_throws(Call&& call) {
    bool thrown = false;
    try {
        call();
    } catch (const Error&) {
        thrown = true;
    }
    CHECK(thrown);
}

void check_bad_trees() {
    check::in_case("bad trees");
    std::mt19937_64 rng(1);
    const Level good = random_level(rng, 3, 3, 2, 2);
    std::vector<std::uint16_t> out(10);
    auto run = [&](const Level& level, Index branching, Index n_tokens, int depth) {
        TreeSource source;
        source.branching = branching;
        source.n_tokens = n_tokens;
        for (int l = 0; l < depth; ++l) {
            source.levels.push_back(
                {level.n_parents, {level.threshold, level.alias}, level.children});
        }
        sample_trees<std::uint16_t>(source, 1, 0, out, 1);
    };
    run(good, 2, 3, 62);
    using Bad = std::invalid_argument;
    check_throws<Bad>([&] { run(good, 2, 3, 63); });
    check_throws<Bad>([&] { run(good, 2, 3, 0); });
    check_throws<Bad>([&] { run(good, 1, 3, 2); });
    check_throws<Bad>([&] { run(good, 2, 2, 2); });        // a leaf beyond n_tokens
    check_throws<Bad>([&] { run(good, 3, 3, 2); });        // children of another branching
    check_throws<Bad>([&] { run(good, 2, 1 << 17, 2); });  // beyond uint16
    Level bad = good;
    bad.alias[0] = 2;
    check_throws<Bad>([&] { run(bad, 2, 3, 2); });
    bad = good;
    bad.children[0] = 3;
    check_throws<Bad>([&] { run(bad, 2, 3, 2); });
}

template <class Token>
void check_paths() {
    check::in_case("paths");
    std::mt19937_64 rng(3);
    // Four states with 1, 3, 2 and 5 outcomes.
    const std::vector<Index> offsets{0, 1, 4, 6, 11};
    std::vector<std::uint64_t> threshold;
    std::vector<std::uint32_t> alias;
    std::vector<std::uint32_t> token;
    std::vector<std::uint32_t> next;
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
        const auto size = static_cast<std::uint64_t>(offsets[s + 1] - offsets[s]);
        for (std::uint64_t i = 0; i < size; ++i) {
            threshold.push_back(rng());
            alias.push_back(static_cast<std::uint32_t>(rng() % size));
            token.push_back(static_cast<std::uint32_t>(rng() % 1000));
            next.push_back(static_cast<std::uint32_t>(rng() % 4));
        }
    }
    const StateSource source{offsets, threshold, alias, token, next};
    const Index length = 1003;
    std::vector<std::uint32_t> states{0, 1, 2, 3, 3, 1, 0};
    const std::vector<std::uint32_t> starts = states;
    std::vector<Token> out(states.size() * length);
    sample_paths<Token>(source, 99, 17, states, length, out, 2);
    for (std::size_t p = 0; p < starts.size(); ++p) {
        std::uint32_t state = starts[p];
        for (Index t = 0; t < length; ++t) {
            const std::size_t at = p * length + static_cast<std::size_t>(t);
            const AliasTable table{std::span<const std::uint64_t>(threshold).subspan(
                                       offsets[state], offsets[state + 1] - offsets[state]),
                                   std::span<const std::uint32_t>(alias).subspan(
                                       offsets[state], offsets[state + 1] - offsets[state])};
            const Index outcome = offsets[state] + table.pick(random_word(99, 17 + at));
            CHECK(out[at] == token[outcome]);
            state = next[outcome];
        }
        CHECK(states[p] == state);
    }
    // The same path in two pieces.
    std::vector<std::uint32_t> one{starts[0]};
    std::vector<Token> piece(400);
    sample_paths<Token>(source, 99, 17, one, 400, piece, 1);
    CHECK(std::equal(piece.begin(), piece.end(), out.begin()));
    std::vector<Token> rest(603);
    sample_paths<Token>(source, 99, 417, one, 603, rest, 1);
    CHECK(std::equal(rest.begin(), rest.end(), out.begin() + 400));

    using Bad = std::invalid_argument;
    std::vector<std::uint32_t> beyond{4};
    check_throws<Bad>([&] { sample_paths<Token>(source, 1, 0, beyond, 400, piece, 1); });
    check_throws<Bad>([&] { sample_paths<Token>(source, 1, 0, one, 399, piece, 1); });
    auto changed = next;
    changed[5] = 4;
    const StateSource lost{offsets, threshold, alias, token, changed};
    check_throws<Bad>([&] { sample_paths<Token>(lost, 1, 0, one, 400, piece, 1); });
    const std::vector<Index> empty_state{0, 0, 4, 6, 11};
    const StateSource empty{empty_state, threshold, alias, token, next};
    check_throws<Bad>([&] { sample_paths<Token>(empty, 1, 0, one, 400, piece, 1); });
    if (sizeof(Token) == 2) {
        auto large = token;
        large[2] = 1 << 16;
        const StateSource wide{offsets, threshold, alias, large, next};
        check_throws<Bad>([&] { sample_paths<Token>(wide, 1, 0, one, 400, piece, 1); });
    }
}

// Three tokens; 3 is the mark in front of a document. Contexts of two tokens: 0 1, 1 0 and 3 0.
struct Model {
    std::vector<std::vector<std::uint32_t>> contexts{{},  {0},    {1},    {2},
                                                     {3}, {0, 1}, {1, 0}, {3, 0}};
    std::vector<Index> first{0, 4, 6, 7, 7, 8, 9, 10, 11};
    std::vector<std::uint64_t> cumulative{kAlways / 4, kAlways / 3, kAlways / 2, kAlways / 2,
                                          kAlways / 8, kAlways / 2, kAlways / 2, kAlways / 3,
                                          kAlways / 4, kAlways / 2, kAlways / 5};
    std::vector<std::uint32_t> token{0, 1, 2, 3, 1, 2, 0, 0, 0, 1, 1};
    std::vector<std::uint32_t> next{1, 2, 3, 4, 5, 3, 6, 7, 6, 5, 5};
    std::vector<std::uint32_t> suffix{0, 0, 0, 0, 0, 2, 1, 1};

    NgramSource source() const { return {first, cumulative, token, next, suffix, 5, 3, -1, 4}; }
};

// The token after a history: its longest context draws it, or leaves it to the next one.
std::uint32_t next_token(const Model& model, std::vector<std::uint32_t> history, std::uint64_t key,
                         std::uint64_t word, Index never) {
    while (true) {
        const auto found = std::find(model.contexts.begin(), model.contexts.end(), history);
        if (found != model.contexts.end()) {
            const auto state = static_cast<std::size_t>(found - model.contexts.begin());
            const std::uint64_t drawn = random_word(key, word++);
            for (Index i = model.first[state]; i < model.first[state + 1]; ++i) {
                if (drawn < model.cumulative[i]) return model.token[i];
            }
            if (history.empty()) {
                std::vector<std::uint32_t> choices;
                for (std::uint32_t w = 0; w < 3; ++w) {
                    if (static_cast<Index>(w) != never) choices.push_back(w);
                }
                const auto choice = static_cast<unsigned __int128>(random_word(key, word));
                return choices[static_cast<std::size_t>((choice * choices.size()) >> 64)];
            }
        }
        history.erase(history.begin());
    }
}

template <class Token>
void check_ngrams(Index never) {
    check::in_case("n-grams");
    const Model model;
    NgramSource source = model.source();
    source.never = never;
    std::vector<Index> ends{0, 1, 1, 500};
    while (ends.back() < 200'000) ends.push_back(ends.back() + 37);
    std::vector<Token> out(static_cast<std::size_t>(ends.back()));
    for (const int threads : {1, 3}) {
        std::fill(out.begin(), out.end(), Token{9});
        sample_ngrams<Token>(source, 5, 100, 4, ends, out, threads);
        Index begin = 0;
        bool equal = true;
        for (const Index end : ends) {
            std::vector<std::uint32_t> history{3};
            for (Index i = begin; i < end; ++i) {
                const auto word = (100 + static_cast<std::uint64_t>(i)) * 4;
                equal = equal && out[i] == next_token(model, history, 5, word, never);
                history.push_back(out[i]);
                if (history.size() > 2) history.erase(history.begin());
            }
            begin = end;
        }
        CHECK(equal);
    }
    std::vector<Token> nothing;
    sample_ngrams<Token>(source, 5, 0, 4, {}, nothing, 1);

    using Bad = std::invalid_argument;
    const auto refused = [&](const NgramSource& bad) {
        check_throws<Bad>([&] { sample_ngrams<Token>(bad, 5, 0, 4, ends, out, 1); });
    };
    NgramSource bad = source;
    bad.words = 3;
    refused(bad);
    bad = source;
    bad.suffix = bad.suffix.first(7);
    refused(bad);
    bad = source;
    bad.next = bad.next.first(7);
    refused(bad);
    auto changed = model.next;
    changed[3] = 8;
    bad = source;
    bad.next = changed;
    refused(bad);
    changed = model.suffix;
    changed[2] = 5;
    bad = source;
    bad.suffix = changed;
    refused(bad);
    check_throws<Bad>([&] { sample_ngrams<Token>(source, 5, 0, 8, ends, out, 1); });
    ends.back() -= 1;
    check_throws<Bad>([&] { sample_ngrams<Token>(source, 5, 0, 4, ends, out, 1); });
}

// Frequencies of an alias table's columns against its probabilities, within five standard errors.
void check_alias() {
    check::in_case("alias table");
    const std::vector<std::uint64_t> threshold{kAlways / 4, kAlways, kAlways / 2};
    const std::vector<std::uint32_t> alias{1, 1, 0};
    const AliasTable table{threshold, alias};
    const int n = 300'000;
    std::vector<int> counts(3);
    for (int i = 0; i < n; ++i) ++counts[table.pick(random_word(7, static_cast<std::uint64_t>(i)))];
    const double expected[] = {(0.25 + 0.5) / 3, (1 + 0.75) / 3, 0.5 / 3};
    for (int c = 0; c < 3; ++c) {
        const double p = expected[c];
        const double off = counts[c] - n * p;
        CHECK(off * off < 25 * n * p * (1 - p));
    }
}

}  // namespace

int main() {
    for (const bool by_child : {false, true}) {
        check_trees<std::uint16_t>(2, 1, by_child, 11);
        check_trees<std::uint32_t>(2, 14, by_child, 12);
        check_trees<std::uint16_t>(3, 5, by_child, 13);
        check_trees<std::uint32_t>(61, 3, by_child, 14);
    }
    check_bad_trees();
    check_paths<std::uint16_t>();
    check_paths<std::uint32_t>();
    check_ngrams<std::uint16_t>(-1);
    check_ngrams<std::uint32_t>(1);
    check_alias();
    return 0;
}
