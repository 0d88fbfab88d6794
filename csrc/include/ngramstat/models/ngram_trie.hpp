// The n-grams of a back-off model as a trie that extends into the past.
//
// Level m holds the n-grams of m tokens, sorted by their last token, then the one before it, and so
// on. The parent of an n-gram is the n-gram without its oldest token, so the children of one n-gram
// are neighbours, in ascending order of the token that they add.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"

namespace ngramstat {

// link: the first child in the next level, above `token_bits` bits with the n-gram's oldest token.
struct TrieNode {
    std::uint64_t link;
    float log_prob;
    float log_backoff;
};

// Of the highest level.
struct TrieLeaf {
    std::uint32_t token;
    float log_prob;
};

static_assert(sizeof(TrieNode) == 16 && sizeof(TrieLeaf) == 8);

// Level 1 has a node for every symbol. Every level of nodes has one more at its end, whose link is
// the size of the next level. Node and Leaf may be const. The arrays may come from a file: a reader
// compares links with sizes.
template <class Node, class Leaf>
struct NgramTrieOf {
    int order = 1;
    Index vocab_size = 0;                // tokens that have a probability
    Index symbols = 0;                   // ids that occur: vocab_size, or one more for a stop token
    std::vector<std::span<Node>> nodes;  // levels 1 .. order - 1; level 1 where the order is 1
    std::span<Leaf> leaves;              // level `order`, if that is not 1

    int token_bits() const { return std::bit_width(static_cast<std::uint64_t>(vocab_size)); }
    std::uint64_t token_mask() const { return (std::uint64_t{1} << token_bits()) - 1; }
    bool is_leaf(int m) const { return m == order && m > 1; }
    // N-grams of order m.
    Index size(int m) const {
        return static_cast<Index>(is_leaf(m) ? leaves.size() : nodes[m - 1].size() - 1);
    }

    // Throws std::invalid_argument where the levels do not fit together.
    void check() const {
        require(vocab_size > 0 && vocab_size < Index{1} << 32, "vocab_size must be positive");
        require(symbols == vocab_size || symbols == vocab_size + 1,
                "symbols must be vocab_size or one more");
        require(order >= 1 && order <= kMaxOrder, "order must lie in 1 .. 16");
        require(static_cast<int>(nodes.size()) == std::max(order - 1, 1),
                "a trie has an array for each level");
        require(static_cast<Index>(nodes[0].size()) == symbols + 1,
                "level 1 must have a node for every symbol");
        for (const auto& level : nodes) require(!level.empty(), "a level has no last node");
    }
};

using NgramTrie = NgramTrieOf<const TrieNode, const TrieLeaf>;
using MutableNgramTrie = NgramTrieOf<TrieNode, TrieLeaf>;

}  // namespace ngramstat
