// Log probabilities of a back-off model, which is a trie of n-grams: several positions in flight,
// so that their accesses to memory overlap.
#pragma once

#include <span>
#include <utility>

#include "ngramstat/models/ngram_trie.hpp"

namespace ngramstat {

// A trie that has been checked, ready to be asked.
struct BackoffTrie {
    NgramTrie trie;
    TokenRanks ranks;

    explicit BackoffTrie(NgramTrie of) : trie(std::move(of)), ranks((trie.check(), trie)) {}
};

// ln p of every token of a stream given those before it: result[i], or with `all_contexts`
// result[i * order + n] for at most n = 0 .. order - 1 tokens of context.
//   stop_token  contexts extend back to this token and no further; -1: none
// Throws std::out_of_range for a token that is no symbol, std::invalid_argument for bad sizes.
template <class Token>
void backoff_scores(const BackoffTrie& of, std::span<const Token> tokens, Index stop_token,
                    bool all_contexts, std::span<double> result, int threads);

// ln p of all V tokens after each context, result[context * V + token]. Context c is
// tokens[ends[c - 1] .. ends[c]), its newest token last; as above, only the part back to the last
// stop token matters, and at most order - 1 tokens of it.
void backoff_next_scores(const BackoffTrie& of, std::span<const Index> tokens,
                         std::span<const Index> ends, Index stop_token, std::span<double> result,
                         int threads);

// Fills the guide of level m >= 2, guide_size(size of the level) numbers.
void make_guide(const NgramTrie& trie, int m, std::span<std::uint32_t> guide, int threads);

}  // namespace ngramstat
