// The vocabulary as a binary tree. A token is the path to its leaf, and a distribution over tokens
// is the probability of a binary decision at every inner node, so that estimates from many contexts
// can be combined decision by decision and still sum to one over the vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// A binary tree over a vocabulary of V tokens in leaf order. Inner nodes are in preorder: node k
// covers leaves [a, b), of which those below split[k] are in its left subtree, which starts at node
// k + 1; the right subtree starts at node k + (split[k] - a).
struct TokenTree {
    std::vector<std::uint32_t> leaf_of;  // by token, a permutation of 0 .. V - 1
    std::vector<std::uint32_t> split;    // by inner node, V - 1 of them
};

// Throws std::invalid_argument unless the arrays describe such a tree.
void check_tree(const TokenTree& tree);

// Number of decisions on the path to each token of the vocabulary. Throws as check_tree.
std::vector<std::uint32_t> path_lengths(const TokenTree& tree);

// Depth, below max_depth, and inner node, modulo max_nodes, of every decision on the paths to some
// tokens: those of token i are [offsets[i], offsets[i + 1]).
struct DecisionStates {
    std::span<std::uint16_t> depth, node;
};
// Throws std::invalid_argument where sizes do not fit together, std::out_of_range for a token that
// is not in the tree.
void write_decision_states(const TokenTree& tree, std::span<const std::uint32_t> tokens,
                           std::span<const Index> offsets, std::uint32_t max_depth,
                           std::uint32_t max_nodes, const DecisionStates& states, int threads);

// One inner node on the path from the root to a leaf: it covers leaves [first, last), and the right
// branch begins at leaf `split`.
struct PathNode {
    std::uint32_t node = 0, first = 0, last = 0, split = 0;
    bool right = false;  // whether the path takes the right branch here

    PathNode(const TokenTree& tree, std::uint32_t leaf)
        : last(static_cast<std::uint32_t>(tree.leaf_of.size())) {
        decide(tree, leaf);
    }
    bool is_leaf() const { return last - first <= 1; }
    void descend(const TokenTree& tree, std::uint32_t leaf) {
        if (right) {
            node += split - first;
            first = split;
        } else {
            ++node;
            last = split;
        }
        decide(tree, leaf);
    }

  private:
    void decide(const TokenTree& tree, std::uint32_t leaf) {
        if (is_leaf()) return;
        split = tree.split[node];
        right = leaf >= split;
    }
};

}  // namespace ngramstat
