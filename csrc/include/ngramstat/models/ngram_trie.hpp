// The n-grams of a back-off model as a trie that extends into the past.
//
// Level m holds the n-grams of m tokens, sorted by their last token, then the one before it, and so
// on. The parent of an n-gram is the n-gram without its oldest token, so the children of one n-gram
// are neighbours, in ascending order of the token that they add.
#pragma once

#include <algorithm>
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

// A guide of a level narrows the search among many siblings. The children first .. last - 1 of a
// node own the places (first + 3) / 4 .. last / 4 - 1 of their level's guide, and each place stands
// for an equal part of `TokenRanks`: it holds the number of siblings that rank below that part.
//
// Level 1 has a node for every symbol. Every level of nodes has one more at its end, whose link is
// the size of the next level. Node and Leaf may be const. The arrays may come from a file: a reader
// compares links and guides with sizes.
// Siblings that are searched without a guide.
inline constexpr Index kUnguided = 16;

inline Index guide_size(Index entries) { return entries / 4; }

// The part of a guide that siblings own.
struct GuidePart {
    Index first, places;
    GuidePart(Index first_child, Index last_child)
        : first((first_child + 3) / 4), places(last_child / 4 - first) {}
};

template <class Node, class Leaf>
struct NgramTrieOf {
    int order = 1;
    Index vocab_size = 0;                // tokens that have a probability
    Index symbols = 0;                   // ids that occur: vocab_size, or one more for a stop token
    std::vector<std::span<Node>> nodes;  // levels 1 .. order - 1; level 1 where the order is 1
    std::span<Leaf> leaves;              // level `order`, if that is not 1
    std::vector<std::span<const std::uint32_t>> guides;  // of levels 2 .. order

    int token_bits() const { return bit_width(static_cast<std::uint64_t>(vocab_size)); }
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
        for (std::size_t m = 0; m < guides.size(); ++m) {
            require(
                static_cast<int>(m) + 2 <= order && static_cast<Index>(guides[m].size()) ==
                                                        guide_size(size(static_cast<int>(m) + 2)),
                "a guide does not fit its level");
        }
    }
};

// Tokens ascend in rank as they do in number, and ranks are about uniform among the tokens that
// precede others: a token's rank is the fraction of n-grams of two tokens whose last token is
// smaller, in units of 2^-32.
class TokenRanks {
  public:
    template <class Trie>
    explicit TokenRanks(const Trie& trie) : ranks_(static_cast<std::size_t>(trie.symbols)) {
        if (trie.order == 1) return;
        const int bits = trie.token_bits();
        const double unit = 4294967296.0 / (static_cast<double>(trie.size(2)) + 1.0);
        std::uint32_t before = 0;
        for (std::size_t t = 0; t < ranks_.size(); ++t) {
            const Index below =
                std::min(static_cast<Index>(trie.nodes[0][t].link >> bits), trie.size(2));
            // Not below the one before, even in a damaged file.
            before =
                std::max(before, static_cast<std::uint32_t>(static_cast<double>(below) * unit));
            ranks_[t] = before;
        }
    }
    // The place, among those of a part of a guide, that stands for a token's rank.
    Index place(Index token, Index places) const {
        return static_cast<Index>(
            ranks_[static_cast<std::size_t>(token)] * static_cast<std::uint64_t>(places) >> 32);
    }

  private:
    std::vector<std::uint32_t> ranks_;
};

using NgramTrie = NgramTrieOf<const TrieNode, const TrieLeaf>;
using MutableNgramTrie = NgramTrieOf<TrieNode, TrieLeaf>;

}  // namespace ngramstat
