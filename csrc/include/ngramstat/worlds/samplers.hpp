// Samplers of random token sources: strings of random hierarchies, and paths of finite-state
// sources.
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/random.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// How the symbols of one level of a tree make those of the level below.
//   n_parents  symbols 0 .. n_parents - 1 at this level
//   rules      draws the rule's number (by_child: the outcome's), the same for every parent
//   children   by rule: n_parents * rules.size() * branching symbols of the next level; a parent x
//              with rule r becomes children[(x * rules.size() + r) * branching ...]
//              by child: n_parents * rules.size() symbols; each child of x is drawn by itself, and
//              outcome r makes it children[x * rules.size() + r]
struct TreeLevel {
    Index n_parents = 0;
    AliasTable rules;
    std::span<const std::uint32_t> children;
};

// A tree of levels.size() levels, the root's first; every node has `branching` children, so a
// string has branching^levels tokens. Roots are uniform over the first level's symbols.
//   n_tokens   symbols of the leaves
struct TreeSource {
    std::vector<TreeLevel> levels;
    Index branching = 2;
    bool by_child = false;
    Index n_tokens = 0;
};

// Leaves [first_leaf, first_leaf + out.size()) of the endless row of independent strings. Depends
// on (source, key, position) alone. Throws std::invalid_argument for a source that makes no sense
// or strings beyond 2^62 tokens.
//   Complexity: about one word a token (branching 2; fewer for larger ones, one a child by_child).
template <class Token>
void sample_trees(const TreeSource& source, std::uint64_t key, std::uint64_t first_leaf,
                  std::span<Token> out, int threads);

// A source whose state alone decides what comes next: state s draws one of the outcomes
// [offsets[s], offsets[s+1]), emits its token and goes to its next state.
//   threshold, alias   per outcome; aliases count from the state's first outcome
struct StateSource {
    std::span<const Index> offsets;
    std::span<const std::uint64_t> threshold;
    std::span<const std::uint32_t> alias;
    std::span<const std::uint32_t> token;
    std::span<const std::uint32_t> next;
};

// Paths of `length` tokens, one after the other in `out`: path p starts in states[p], which becomes
// its last state, and draws its token t with word first_word + p * length + t. Throws
// std::invalid_argument for a source or states that make no sense.
template <class Token>
void sample_paths(const StateSource& source, std::uint64_t key, std::uint64_t first_word,
                  std::span<std::uint32_t> states, Index length, std::span<Token> out, int threads);

}  // namespace ngramstat
