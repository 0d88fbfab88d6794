// Counts of token pairs (x_i, x_{i+lag}) and of tokens per document.
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/count_matrix.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace ngramstat {

// The pairs at one lag, both V x V (row: left token, column: right token), channels: the half of
// the document that holds the left token.
//   within   both tokens in the content of one document
//   across   all other pairs of the stream: they cross a document's end or touch a separator
// within + across are all pairs of the stream.
struct PairCounts {
    CountMatrix within;
    CountMatrix across;
};

// Counts, for every lag, the pairs whose left token lies in index.range; one PairCounts per lag,
// holding the rows of that range (CountMatrix::append joins ranges).
//   lags       >= 1; below 2^32 - 1 unless they reach past the stream
//   Complexity: O(pairs + vocab_size * rows / 64) per lag. One random access of the stream per
//   pair; the row's counters (16 * vocab_size bytes a thread) stay in cache. Throws
//   std::overflow_error if a token occurs 2^32 times or more within one half.
template <class Token, class Position>
std::vector<PairCounts> count_pairs(std::span<const Token> tokens,
                                    const PositionIndex<Position>& index, Index vocab_size,
                                    std::span<const Index> lags, int threads);

// The same for the pairs whose left token is this one, without an index: for a token too frequent
// for one. One pass over the stream per lag; 16 * vocab_size bytes a thread.
template <class Token>
std::vector<PairCounts> count_pairs_of_token(std::span<const Token> tokens, Index vocab_size,
                                             const Documents& documents, Index token,
                                             std::span<const Index> lags, int threads);

// Counts of tokens in every document's content: (documents x V), first channel only. Throws
// std::invalid_argument unless the documents cover the stream.
template <class Token>
CountMatrix count_document_tokens(std::span<const Token> tokens, Index vocab_size,
                                  const Documents& documents, int threads);

}  // namespace ngramstat
