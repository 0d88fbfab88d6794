#include "ngramstat/suffixes/symbol_trie.hpp"

#include <limits>

namespace ngramstat {

SymbolTrie::SymbolTrie(Index n_symbols)
    : symbols_(1, 0), parents_(1, kRoot), children_(2, 1), of_root_(n_symbols, kRoot) {
    levels_.fill(1);
    levels_[0] = 0;
}

SymbolTrie SymbolTrie::Builder::finish(Index n_symbols) {
    SymbolTrie trie(n_symbols);
    std::size_t size = 1;
    for (std::size_t level = 1; level < levels_.size(); ++level) {
        trie.levels_[level] = static_cast<Node>(size);
        size += levels_[level].symbols.size();
        if (size >= std::numeric_limits<Node>::max()) {
            throw std::overflow_error("more than 2^32 nodes in a trie");
        }
    }
    trie.levels_[levels_.size()] = static_cast<Node>(size);
    trie.symbols_.resize(size);
    trie.parents_.resize(size);
    trie.children_.resize(size + 1);
    trie.children_[0] = 1;
    for (std::size_t level = 1; level < levels_.size(); ++level) {
        Level& from = levels_[level];
        const Node begin = trie.levels_[level], above = trie.levels_[level - 1];
        std::copy(from.symbols.begin(), from.symbols.end(), trie.symbols_.begin() + begin);
        // The children of a parent, and the parents, are in order: each parent's first child
        // follows the last one of the parent before.
        Node parents_begun = above;
        for (std::size_t k = 0; k < from.parents.size(); ++k) {
            const Node node = begin + static_cast<Node>(k), parent = above + from.parents[k];
            trie.parents_[node] = parent;
            while (parents_begun <= parent) trie.children_[parents_begun++] = node;
        }
        while (parents_begun < begin) {
            trie.children_[parents_begun++] = begin + static_cast<Node>(from.parents.size());
        }
        from = Level{};
    }
    const Node last = trie.levels_[levels_.size() - 1];
    for (std::size_t node = last; node <= size; ++node) {
        trie.children_[node] = static_cast<Node>(size);
    }
    for (Node node = trie.levels_[1]; node < trie.levels_[2]; ++node) {
        trie.of_root_[trie.symbols_[node]] = node;
    }
    return trie;
}

}  // namespace ngramstat
