// Counts of the tokens that stand near each token, summed over several lags: rows of co-occurrence
// matrices in compressed form.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace ngramstat {

// Which pairs are summed. The row is the token in the middle; the column stands `lag` tokens after
// it, with both_sides also `lag` tokens before it.
struct ContextWindow {
    std::vector<Index> lags;      // ascending, >= 1, below 2^32 - 1
    std::vector<double> weights;  // one per lag; empty: counts are summed as they are
    bool both_sides = false;
    bool within_content = false;  // both tokens in the content of one document
};

// Rows one after the other, columns ascending within each.
template <class Value>
struct ContextRows {
    std::vector<Index> row_start;  // rows + 1 offsets
    std::vector<std::int32_t> column;
    std::vector<Value> value;
};

// One run of rows after the other.
template <class Value>
using ContextRuns = std::vector<ContextRows<Value>>;

// Rows `rows` (inside index.range) of the matrix. Entries without a pair are left out.
//   sum_contexts       entry = sum of the counts at all lags; needs window.weights empty
//   weigh_contexts     entry = sum over the lags, in their order, of weight times count, each
//                      product and each sum rounded; `wide` makes the counters of one lag 64 bits
//                      wide, as they are anyway where a token occurs 2^31 times or more
// The result does not depend on threads nor on how rows are cut into calls.
//   Needs index.remaining with within_content, and index.preceding if also with both_sides.
//   Complexity: O(pairs), and O(vocab_size) for each row that has positions; one or two random
//   lines of the stream per position, for lags close to each other. Counters per thread: 9 bytes
//   per vocabulary item, with weights 73 (wide: 137).
// Throws std::invalid_argument where the arguments contradict this description.
template <class Token, class Position>
ContextRuns<Count> sum_contexts(std::span<const Token> tokens, const PositionIndex<Position>& index,
                                Index vocab_size, TokenRange rows, const ContextWindow& window,
                                int threads);
template <class Token, class Position>
ContextRuns<double> weigh_contexts(std::span<const Token> tokens,
                                   const PositionIndex<Position>& index, Index vocab_size,
                                   TokenRange rows, const ContextWindow& window, bool wide,
                                   int threads);

}  // namespace ngramstat
