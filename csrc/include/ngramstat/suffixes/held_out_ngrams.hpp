// The distinct n-grams that end at scored tokens of a held-out stream, and their contexts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/suffixes/symbol_trie.hpp"

namespace ngramstat {

// Both are tries that extend into the past: a context's first symbol is its last token, an n-gram's
// first symbol is the scored token, followed by its context. Level m of the n-grams belongs to
// level m - 1 of the contexts.
template <class Token>
class HeldOutNgrams {
  public:
    using Node = SymbolTrie::Node;

    // held_out   tokens, of which the documents' content is scored
    // order      longest n-grams, 1 .. SymbolTrie::kMaxLevels
    // stop_token contexts extend back to this token and no further; -1: none. It may be vocab_size,
    //            and is not scored then
    // Throws std::invalid_argument for a scored token outside the vocabulary, std::out_of_range for
    // a bad token.
    HeldOutNgrams(std::span<const Token> held_out, const Documents& documents, Index vocab_size,
                  int order, Index stop_token);

    std::size_t bytes() const {
        return contexts_.bytes() + ngrams_.bytes() +
               (context_of_.size() + longest_.size()) * sizeof(Node);
    }
    const SymbolTrie& contexts() const { return contexts_; }
    const SymbolTrie& ngrams() const { return ngrams_; }
    Node context_of(Node ngram) const { return context_of_[ngram]; }
    // The longest n-gram that ends at a scored position.
    Node longest_at(Index position) const { return longest_[static_cast<std::size_t>(position)]; }

  private:
    void check(std::span<const Token> held_out, const Documents& documents, Index vocab_size,
               Index stop_token) const;

    SymbolTrie contexts_;
    SymbolTrie ngrams_;
    std::vector<Node, HugePageAllocator<Node>> context_of_;  // by n-gram
    std::vector<Node, HugePageAllocator<Node>> longest_;     // by position
};

}  // namespace ngramstat
