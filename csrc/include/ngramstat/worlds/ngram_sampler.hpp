// Sampler of interpolated n-gram models: documents of given lengths, drawn token by token.
#pragma once

#include <span>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// An interpolated n-gram model as a tree of contexts. State 0 is the empty context, and a state's
// suffix is its context without the oldest token, or the nearest one that has a state.
//   first        (n_states + 1) outcomes of state s are [first[s], first[s + 1]): the tokens that
//                were seen behind it, ascending. Outcome w of state 0 is token w, for every token.
//   cumulative   (n_outcomes) probability * 2^64 that the state draws this outcome or one before
//                it; with what is left to 2^64 it leaves the token to its suffix, and state 0 draws
//                it uniformly
//   token, next  (n_outcomes) the token, and the longest context with a state that ends with it
//   suffix       (n_states) below the state itself, except that of state 0, which is 0
//   first_full   states from this one on have the longest contexts, whose oldest token is never
//                part of the next context
//   vocab_size   tokens 0 .. vocab_size - 1, at most the outcomes of state 0
//   never        a token that uniform draws leave out; -1: none
//   words        random words that belong to one token: the most states in a row of suffixes, + 1
struct NgramSource {
    std::span<const Index> first;
    std::span<const std::uint64_t> cumulative;
    std::span<const std::uint32_t> token;
    std::span<const std::uint32_t> next;
    std::span<const std::uint32_t> suffix;
    Index first_full = 0;
    Index vocab_size = 0;
    Index never = -1;
    Index words = 0;
};

// Documents one after the other in `out`: document d fills [ends[d - 1], ends[d]) and begins in
// state `start`. Token i of `out` is drawn with the words (first_token + i) * source.words and the
// following ones, one for every state that it is left to and one for the uniform draw. Throws
// std::invalid_argument for a source, start or ends that make no sense.
//   Complexity: a search of log2(outcomes of the state) steps for every word used; documents are
//   spread over the threads, and several of them are drawn in turn to hide the memory's latency.
template <class Token>
void sample_ngrams(const NgramSource& source, std::uint64_t key, std::uint64_t first_token,
                   std::uint32_t start, std::span<const Index> ends, std::span<Token> out,
                   int threads);

}  // namespace ngramstat
