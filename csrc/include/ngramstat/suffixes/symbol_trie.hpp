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
    std::size_t bytes() const {
        return nodes_.size() * sizeof(Entry) + (parents_.size() + of_root_.size()) * sizeof(Node);
    }
    Node parent(Node node) const { return parents_[node]; }
    Index symbol(Node node) const { return static_cast<Index>(nodes_[node].symbol); }
    // The children of a node are first_child(node) .. first_child(node + 1) - 1, with ascending
    // symbols.
    Node first_child(Node node) const { return nodes_[node].first_child; }
    void prefetch_children(Node node) const { prefetch(&nodes_[nodes_[node].first_child]); }
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

    // Whoever finds a node by its symbol goes on to its children.
    struct Entry {
        std::uint32_t symbol;
        Node first_child;
    };

    Large<Entry> nodes_;  // and one more, at the end
    Large<Node> parents_;
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
    if (from >= end || nodes_[from].symbol >= symbol) return from;
    Node step = 1;
    while (from + step < end && nodes_[from + step].symbol < symbol) {
        from += step;
        step *= 2;
    }
    // The symbol at `from` is below, and that at from + step is not, or is beyond the end.
    Node n = std::min(step, end - from) - 1;
    const Entry* at = nodes_.data() + from + 1;
    while (n > 0) {
        const Node half = n / 2;
        const bool below = at[half].symbol < symbol;
        at = below ? at + half + 1 : at;
        n = below ? n - half - 1 : half;
    }
    return static_cast<Node>(at - nodes_.data());
}

// Follows sorted sequences through a trie as far as it has them: many at a time, level by level, so
// that the children of a node are on their way to the cache long before they are searched.
class TrieWalk {
  public:
    using Node = SymbolTrie::Node;

    explicit TrieWalk(const SymbolTrie& trie) : trie_(trie) { of_level_.fill(Level{}); }

    // The sequences 0 .. n - 1 follow those of the calls before. For each: how many of its symbols
    // the trie has, and their node.
    //   max_length        symbols of a sequence, at most
    //   shared(k)         symbols that a sequence shares with the one before, or fewer where
    //                     sequences begin anew
    //   symbol(k, level)  the symbol that leads to a level, -1 if the sequence has ended
    template <class Shared, class Symbol>
    void follow(std::size_t n, int max_length, Shared&& shared, Symbol&& symbol,
                std::span<Node> nodes, std::span<std::uint8_t> depths) {
        // Those that the trie has as far as the level above.
        if (going_on_.size() < n) going_on_.resize(n);
        std::size_t found = 0;
        for (std::size_t k = 0; k < n; ++k) {
            const Index first = max_length > 0 ? symbol(k, 1) : -1;
            const Node node = first < 0 ? SymbolTrie::kRoot : trie_.child_of_root(first);
            nodes[k] = node;
            depths[k] = node != SymbolTrie::kRoot;
            going_on_[found] = static_cast<std::uint32_t>(k);
            found += node != SymbolTrie::kRoot;
        }
        for (int level = 2; level <= max_length && found > 0; ++level) {
            found = follow_level(found, level, shared, symbol, nodes, depths);
        }
    }

  private:
    // The last search at a level: in which node, for which symbol, where it ended, and what it has
    // found (kRoot: nothing).
    struct Level {
        Node parent = SymbolTrie::kRoot;
        std::uint32_t symbol = 0;
        Node at = 0;
        Node found = SymbolTrie::kRoot;
    };

    // Takes the first `n` of going_on_ to a level, and returns how many get there.
    template <class Shared, class Symbol>
    std::size_t follow_level(std::size_t n, int level, Shared&& shared, Symbol&& symbol,
                             std::span<Node> nodes, std::span<std::uint8_t> depths) {
        Level here = of_level_[static_cast<std::size_t>(level)];
        std::size_t found = 0;
        for (std::size_t j = 0; j < n; ++j) {
            const std::uint32_t k = going_on_[j];
            // One that shares more goes where the one before went, which came here, too.
            if (shared(k) < level) {
                const Index next = symbol(k, level);
                if (next < 0) continue;
                search(here, nodes[k], static_cast<std::uint32_t>(next));
            }
            if (here.found == SymbolTrie::kRoot) continue;
            nodes[k] = here.found;
            depths[k] = static_cast<std::uint8_t>(level);
            going_on_[found++] = k;
        }
        of_level_[static_cast<std::size_t>(level)] = here;
        return found;
    }

    void search(Level& level, Node parent, std::uint32_t symbol) const {
        // Goes on where the one before ended, if that was for a smaller symbol.
        const bool goes_on = parent == level.parent && symbol >= level.symbol;
        const Node end = trie_.first_child(parent + 1);
        level.at = trie_.lower_bound(goes_on ? level.at : trie_.first_child(parent), end, symbol);
        level.parent = parent;
        level.symbol = symbol;
        const bool found = level.at < end && trie_.symbol(level.at) == static_cast<Index>(symbol);
        level.found = found ? level.at : SymbolTrie::kRoot;
        if (found) trie_.prefetch_children(level.at);
    }

    const SymbolTrie& trie_;
    std::array<Level, SymbolTrie::kMaxLevels + 1> of_level_;
    std::vector<std::uint32_t> going_on_;
};

}  // namespace ngramstat
