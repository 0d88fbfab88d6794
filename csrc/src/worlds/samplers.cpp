#include "ngramstat/worlds/samplers.hpp"

#include <algorithm>
#include <limits>

#include "ngramstat/base/parallel.hpp"

namespace ngramstat {

namespace {

// Leaves expanded at a time: the symbols of all levels of such a subtree stay in the first cache.
constexpr Index kSubtreeLeaves = 4096;
// Leaves per task.
constexpr Index kTaskLeaves = 1 << 16;

template <class Token>
bool fits(Index n_tokens) {
    return n_tokens >= 1 &&
           static_cast<std::uint64_t>(n_tokens) - 1 <= std::numeric_limits<Token>::max();
}

template <class Token>
class TreeSampler {
  public:
    TreeSampler(const TreeSource& source, std::uint64_t key) : source_(source), key_(key) {
        depth_ = static_cast<int>(source.levels.size());
        require(depth_ >= 1, "a tree needs at least one level");
        require(source.branching >= 2, "nodes of a tree need at least two children");
        require(fits<Token>(source.n_tokens), "the leaves' symbols do not fit the token type");
        // powers_[h]: leaves under a node h levels above them.
        powers_.push_back(1);
        for (int h = 0; h < depth_; ++h) {
            require(powers_.back() <= (Index{1} << 62) / source.branching,
                    "a string of the tree has more than 2^62 tokens");
            powers_.push_back(powers_.back() * source.branching);
        }
        for (int l = 0; l < depth_; ++l) check_level(l);
        // Words of one string: its root, then level by level one a node (or one a child).
        words_.push_back(1);
        for (int l = 0; l < depth_; ++l) {
            const int drawn = source.by_child ? l + 1 : l;
            words_.push_back(words_.back() + static_cast<std::uint64_t>(powers_[drawn]));
        }
        height_ = 1;
        while (height_ < depth_ && powers_[height_ + 1] <= kSubtreeLeaves) ++height_;
    }

    Index subtree_leaves() const { return powers_[height_]; }

    // All leaves of subtree `subtree` in the endless row of strings. Scratch: two vectors.
    void expand(std::uint64_t subtree, Token* out, std::vector<std::uint32_t>& symbols,
                std::vector<std::uint32_t>& next) const {
        const auto per_string = static_cast<std::uint64_t>(powers_[depth_ - height_]);
        const std::uint64_t string = subtree / per_string;
        const std::uint64_t local = subtree % per_string;
        const std::uint64_t first_word = string * words_.back();
        // Down the path from the root to the subtree's own root.
        const auto roots = static_cast<unsigned __int128>(source_.levels[0].n_parents);
        auto symbol = static_cast<std::uint32_t>((random_word(key_, first_word) * roots) >> 64);
        for (int l = 0; l < depth_ - height_; ++l) {
            const auto below = static_cast<std::uint64_t>(powers_[depth_ - height_ - l - 1]);
            const std::uint64_t child = local / below;
            symbol = child_of(l, symbol, first_word, child / branching(), child % branching());
        }
        symbols.assign(1, symbol);
        for (int l = depth_ - height_; l < depth_; ++l) {
            const std::uint64_t first_node =
                local * static_cast<std::uint64_t>(powers_[l - (depth_ - height_)]);
            if (l + 1 < depth_) {
                next.resize(symbols.size() * branching());
                expand_level(l, symbols, first_word, first_node, next.data());
                symbols.swap(next);
            } else {
                expand_level(l, symbols, first_word, first_node, out);
            }
        }
    }

  private:
    std::uint64_t branching() const { return static_cast<std::uint64_t>(source_.branching); }

    void check_level(int l) const {
        const TreeLevel& level = source_.levels[l];
        check_alias_table(level.rules);
        const Index below = l + 1 < depth_ ? source_.levels[l + 1].n_parents : source_.n_tokens;
        const Index width = source_.by_child ? 1 : source_.branching;
        require(level.n_parents >= 1 && level.n_parents <= Index{1} << 32,
                "a level needs 1 .. 2^32 symbols");
        require(static_cast<unsigned __int128>(level.n_parents) * level.rules.size() *
                        static_cast<std::uint64_t>(width) ==
                    level.children.size(),
                "a level needs n_parents * rules * branching children");
        for (const std::uint32_t child : level.children) {
            require(static_cast<Index>(child) < below, "a rule makes a symbol its level lacks");
        }
    }

    // The symbol of one child (number c) of node number `node` of level l.
    std::uint32_t child_of(int l, std::uint32_t symbol, std::uint64_t first_word,
                           std::uint64_t node, std::uint64_t c) const {
        const TreeLevel& level = source_.levels[l];
        const std::uint64_t rules = level.rules.size();
        const std::uint64_t drawn = source_.by_child ? node * branching() + c : node;
        const std::uint64_t rule =
            level.rules.pick(random_word(key_, first_word + words_[l] + drawn));
        const std::uint64_t at = symbol * rules + rule;
        return level.children[source_.by_child ? at : at * branching() + c];
    }

    template <class Symbol>
    void expand_level(int l, const std::vector<std::uint32_t>& symbols, std::uint64_t first_word,
                      std::uint64_t first_node, Symbol* out) const {
        const TreeLevel& level = source_.levels[l];
        const std::uint64_t rules = level.rules.size();
        const std::uint64_t s = branching();
        if (source_.by_child) {
            const std::uint64_t word = first_word + words_[l] + first_node * s;
            for (std::size_t j = 0; j < symbols.size(); ++j) {
                const std::uint32_t* row = level.children.data() + symbols[j] * rules;
                for (std::uint64_t c = 0; c < s; ++c) {
                    const auto outcome = level.rules.pick(random_word(key_, word + j * s + c));
                    out[j * s + c] = static_cast<Symbol>(row[outcome]);
                }
            }
            return;
        }
        const std::uint64_t word = first_word + words_[l] + first_node;
        for (std::size_t j = 0; j < symbols.size(); ++j) {
            const std::uint64_t rule = level.rules.pick(random_word(key_, word + j));
            const std::uint32_t* row = level.children.data() + (symbols[j] * rules + rule) * s;
            for (std::uint64_t c = 0; c < s; ++c) out[j * s + c] = static_cast<Symbol>(row[c]);
        }
    }

    const TreeSource& source_;
    std::uint64_t key_;
    int depth_ = 0;
    int height_ = 1;
    std::vector<Index> powers_;
    std::vector<std::uint64_t> words_;
};

}  // namespace

template <class Token>
void sample_trees(const TreeSource& source, std::uint64_t key, std::uint64_t first_leaf,
                  std::span<Token> out, int threads) {
    const TreeSampler<Token> sampler(source, key);
    const auto leaves = static_cast<std::uint64_t>(sampler.subtree_leaves());
    const std::uint64_t last_leaf = first_leaf + out.size();
    require(last_leaf >= first_leaf, "positions beyond 2^64");
    if (out.empty()) return;
    const std::uint64_t first = first_leaf / leaves;
    const std::uint64_t last = (last_leaf - 1) / leaves + 1;
    const std::uint64_t per_task = std::max<std::uint64_t>(kTaskLeaves / leaves, 1);
    parallel_for(static_cast<Index>((last - first - 1) / per_task + 1), threads, [&](Index task) {
        std::vector<std::uint32_t> symbols;
        std::vector<std::uint32_t> next;
        std::vector<Token> partial;
        const std::uint64_t begin = first + static_cast<std::uint64_t>(task) * per_task;
        for (std::uint64_t t = begin; t < std::min(begin + per_task, last); ++t) {
            // The first and the last subtree may lie only partly in the requested range.
            const std::uint64_t from = std::max(t * leaves, first_leaf);
            const std::uint64_t to = std::min((t + 1) * leaves, last_leaf);
            if (to - from == leaves) {
                sampler.expand(t, out.data() + (from - first_leaf), symbols, next);
            } else {
                partial.resize(leaves);
                sampler.expand(t, partial.data(), symbols, next);
                std::copy(partial.data() + (from - t * leaves), partial.data() + (to - t * leaves),
                          out.data() + (from - first_leaf));
            }
        }
    });
}

template <class Token>
void sample_paths(const StateSource& source, std::uint64_t key, std::uint64_t first_word,
                  std::span<std::uint32_t> states, Index length, std::span<Token> out,
                  int threads) {
    const std::size_t n_outcomes = source.threshold.size();
    require(source.offsets.size() >= 2 && source.offsets.front() == 0 &&
                source.offsets.back() == static_cast<Index>(n_outcomes),
            "the states' outcomes must cover all outcomes");
    require(source.alias.size() == n_outcomes && source.token.size() == n_outcomes &&
                source.next.size() == n_outcomes,
            "the outcomes' arrays need one length");
    const std::size_t n_states = source.offsets.size() - 1;
    std::vector<AliasTable> tables;
    tables.reserve(n_states);
    for (std::size_t s = 0; s < n_states; ++s) {
        const Index first = source.offsets[s];
        const Index size = source.offsets[s + 1] - first;
        require(size >= 1 && source.offsets[s + 1] <= static_cast<Index>(n_outcomes),
                "every state needs an outcome");
        tables.push_back(
            {source.threshold.subspan(first, size), source.alias.subspan(first, size)});
        check_alias_table(tables.back());
    }
    for (std::size_t i = 0; i < n_outcomes; ++i) {
        require(source.next[i] < n_states, "an outcome leads to a state that is not there");
        require(source.token[i] <= std::numeric_limits<Token>::max(),
                "an outcome's token does not fit the token type");
    }
    for (const std::uint32_t state : states) {
        require(state < n_states, "a path starts in a state that is not there");
    }
    const Index n_paths = static_cast<Index>(states.size());
    require(length >= 0 && static_cast<unsigned __int128>(length) * states.size() == out.size(),
            "out needs room for every path");

    const Index per_task = std::max<Index>(kTaskLeaves / std::max<Index>(length, 1), 1);
    parallel_for((n_paths + per_task - 1) / per_task, threads, [&](Index task) {
        for (Index p = task * per_task; p < std::min((task + 1) * per_task, n_paths); ++p) {
            std::uint32_t state = states[p];
            Token* path = out.data() + p * length;
            const std::uint64_t word = first_word + static_cast<std::uint64_t>(p * length);
            for (Index t = 0; t < length; ++t) {
                const Index outcome =
                    source.offsets[state] +
                    tables[state].pick(random_word(key, word + static_cast<std::uint64_t>(t)));
                path[t] = static_cast<Token>(source.token[outcome]);
                state = source.next[outcome];
            }
            states[p] = state;
        }
    });
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                              \
    template void sample_trees(const TreeSource&, std::uint64_t, std::uint64_t, std::span<Token>, \
                               int);                                                              \
    template void sample_paths(const StateSource&, std::uint64_t, std::uint64_t,                  \
                               std::span<std::uint32_t>, Index, std::span<Token>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
