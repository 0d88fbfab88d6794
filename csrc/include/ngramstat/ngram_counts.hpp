// Counts of counts of n-grams of every order, in one sweep over sorted suffixes.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "ngramstat/position_index.hpp"
#include "ngramstat/types.hpp"

namespace ngramstat {

// (count c, number of distinct n-grams that occur c times), ascending in c, c >= 1.
using CountsOfCounts = std::vector<std::pair<Count, Count>>;

// For contexts of n = 0 .. max_context tokens, over the targets (positions with at least
// max_context tokens before them in their document, the same targets for every n):
//   ngrams[n]    of the (n+1)-grams that end at a target
//   contexts[n]  of the n-grams that end just before a target
// so the plug-in entropy given n tokens is (F(contexts[n]) - F(ngrams[n])) / targets with
// F = sum c log c.
struct NgramCounts {
    std::vector<CountsOfCounts> ngrams;
    std::vector<CountsOfCounts> contexts;
    Count targets = 0;
};

// Counts the n-grams whose last token lies in `range`: results of ranges that partition the
// vocabulary add up (contexts[0], the empty context, is the sum over ranges of `targets`, and is
// left empty here).
//   document_ends  strictly increasing exclusive ends; n-grams stay inside [ends[d-1], ends[d]).
//                  One entry, the number of tokens: n-grams run across the whole stream
//   Memory: 4 bytes (8 beyond 2^32 tokens) a token of the range, 2 bits a token of the stream.
template <class Token>
NgramCounts count_ngrams(std::span<const Token> tokens, Index vocab_size, int max_context,
                         std::span<const Index> document_ends, TokenRange range, int threads);

}  // namespace ngramstat
