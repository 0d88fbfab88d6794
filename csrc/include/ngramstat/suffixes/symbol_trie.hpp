// A trie of symbol sequences that is built from, and walked through by, sorted sequences.
//
// Nodes are numbered level by level, and within a level in the order of their sequences. Sorted
// sequences therefore meet the nodes of every level in ascending order: neighbours in memory, where
// a hash table would miss the cache at every step.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

class SymbolTrie {
  public:
    using Node = std::uint32_t;
    static constexpr Node kRoot = 0;
    static constexpr int kMaxLevels = 16;

    class Builder;

    SymbolTrie() : SymbolTrie(Index{0}) {}
    // The root alone; symbols are below n_symbols.
    explicit SymbolTrie(Index n_symbols);

    std::size_t size() const { return parents_.size(); }
    Node parent(Node node) const { return parents_[node]; }
    Index symbol(Node node) const { return static_cast<Index>(symbols_[node]); }
    // The children of a node are first_child(node) .. first_child(node + 1) - 1, with ascending
    // symbols.
    Node first_child(Node node) const { return children_[node]; }
    // Nodes of sequences of `level` symbols are level_begin(level) .. level_begin(level + 1) - 1.
    Node level_begin(int level) const { return levels_[static_cast<std::size_t>(level)]; }

    // The child of the root with a symbol; kRoot: none.
    Node child_of_root(Index symbol) const { return of_root_[static_cast<std::size_t>(symbol)]; }
    // The first of the nodes [from, end), which have one parent, whose symbol is not below this
    // one. It is looked for near `from` first.
    Node lower_bound(Node from, Node end, std::uint32_t symbol) const;

  private:
    template <class T>
    using Large = std::vector<T, HugePageAllocator<T>>;

    Large<std::uint32_t> symbols_;  // by node; of the root 0
    Large<Node> parents_;
    Large<Node> children_;  // one more than nodes
    std::array<Node, kMaxLevels + 2> levels_{};
    std::vector<Node> of_root_;
};

// Takes the sequences in ascending order.
class SymbolTrie::Builder {
  public:
    // Where a sequence ends: a level, and the number of the node in it.
    struct End {
        std::uint8_t level = 0;
        Node number = 0;
    };

    // Adds a sequence of `length` symbols, of which it shares the first `shared` with the one
    // before; symbol(0) is the first.
    template <class Symbol>
    End add(int shared, int length, Symbol&& symbol) {
        for (int level = shared + 1; level <= length; ++level) {
            Level& here = levels_[static_cast<std::size_t>(level)];
            here.symbols.push_back(static_cast<std::uint32_t>(symbol(level - 1)));
            here.parents.push_back(level == 1 ? 0 : last_of(level - 1));
        }
        return {static_cast<std::uint8_t>(length), length == 0 ? 0 : last_of(length)};
    }
    // Throws std::overflow_error for 2^32 - 1 nodes or more.
    SymbolTrie finish(Index n_symbols);

  private:
    struct Level {
        std::vector<std::uint32_t> symbols;
        std::vector<Node> parents;  // numbers in the level above
    };

    Node last_of(int level) const {
        return static_cast<Node>(levels_[static_cast<std::size_t>(level)].symbols.size()) - 1;
    }

    std::array<Level, kMaxLevels + 1> levels_;
};

inline SymbolTrie::Node SymbolTrie::lower_bound(Node from, Node end, std::uint32_t symbol) const {
    if (from >= end || symbols_[from] >= symbol) return from;
    Node step = 1;
    while (from + step < end && symbols_[from + step] < symbol) {
        from += step;
        step *= 2;
    }
    // symbols_[from] < symbol, and that at from + step is not, or is beyond the end.
    Node n = std::min(step, end - from) - 1;
    const std::uint32_t* at = symbols_.data() + from + 1;
    while (n > 0) {
        const Node half = n / 2;
        const bool below = at[half] < symbol;
        at = below ? at + half + 1 : at;
        n = below ? n - half - 1 : half;
    }
    return static_cast<Node>(at - symbols_.data());
}

// Follows sorted sequences through a trie as far as it has them. A search among the children of a
// node goes on where the one before, for a smaller symbol, has ended.
class TrieWalk {
  public:
    using Node = SymbolTrie::Node;

    explicit TrieWalk(const SymbolTrie& trie) : trie_(trie) {}

    // Goes to a sequence that shares its first `shared` symbols with the one before and is greater
    // (or to any sequence, if shared is 0). symbol(level) is the symbol that leads to a level.
    template <class Symbol>
    void go_to(int shared, int length, Symbol&& symbol) {
        if (depth_ < shared) return;  // it left the trie where the one before did
        depth_ = shared;
        while (depth_ < length) {
            const Index next = symbol(depth_ + 1);
            if (depth_ == 0) {
                const Node child = trie_.child_of_root(next);
                if (child == SymbolTrie::kRoot) return;
                enter(child);
                continue;
            }
            const std::size_t level = static_cast<std::size_t>(depth_) + 1;
            const Node end = trie_.first_child(path_[level - 1] + 1);
            const Node at =
                trie_.lower_bound(cursors_[level], end, static_cast<std::uint32_t>(next));
            cursors_[level] = at;
            if (at == end || trie_.symbol(at) != next) return;
            enter(at);
        }
    }
    // Symbols of the sequence that the trie has, and their node.
    int depth() const { return depth_; }
    Node node() const { return path_[static_cast<std::size_t>(depth_)]; }

  private:
    void enter(Node child) {
        ++depth_;
        path_[static_cast<std::size_t>(depth_)] = child;
        cursors_[static_cast<std::size_t>(depth_) + 1] = trie_.first_child(child);
    }

    const SymbolTrie& trie_;
    int depth_ = 0;
    std::array<Node, SymbolTrie::kMaxLevels + 2> path_{};
    std::array<Node, SymbolTrie::kMaxLevels + 2> cursors_{};
};

}  // namespace ngramstat
