// Positions of a token stream grouped by the token that stands there: the common first step of pair
// counting (a row of the count matrix is one token's positions) and of suffix sorting (the first
// radix digit).
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Half-open range of token ids.
struct TokenRange {
    Index first;
    Index last;
    Index size() const { return last - first; }
};

// Throws std::invalid_argument unless the range lies inside the vocabulary.
inline void check_range(TokenRange range, Index vocab_size) {
    require(vocab_size > 0, "vocab_size must be positive");
    require(0 <= range.first && range.first <= range.last && range.last <= vocab_size,
            "token range must lie inside [0, vocab_size]");
}

// Number of times each token id occurs. Throws std::out_of_range for a token >= vocab_size, with
// its position. O(n) time, O(threads * vocab_size) scratch.
template <class Token>
std::vector<Index> token_counts(std::span<const Token> tokens, Index vocab_size, int threads);

// For the tokens of `range`: positions[offsets[g] .. offsets[g+1]) are the positions of group g in
// ascending order, where g = (token - range.first) * n_classes + class, and class is the class (0
// or 1: a document half) of the document that holds the position.
//   Position   uint32_t where the stream has at most 2^32 tokens, else uint64_t
//   remaining  present if asked for, parallel to positions: how many tokens of the same document's
//              content follow, saturated at 2^32-1; 0 for a token outside any content (a separator)
// Memory: (sizeof(Position) + 4 with remaining) bytes per indexed token.
template <class Position>
struct PositionIndex {
    TokenRange range{0, 0};
    int n_classes = 1;
    std::vector<Index> offsets;
    std::vector<Position> positions;
    std::vector<std::uint32_t> remaining;

    std::span<const Position> group(Index g) const {
        return {positions.data() + offsets[g], static_cast<std::size_t>(size(g))};
    }
    Index size(Index g) const { return offsets[g + 1] - offsets[g]; }
};

// Documents of a stream, all spans of one length (the number of documents).
//   ends            exclusive ends; document d is [ends[d-1], ends[d]), ends.back() == n tokens
//   content_starts, content_ends   the part of the document without its separator
//   classes         0 or 1 per document
struct DocumentSpans {
    std::span<const Index> ends;
    std::span<const Index> content_starts;
    std::span<const Index> content_ends;
    std::span<const std::uint8_t> classes;
};

// Throws std::invalid_argument unless the spans describe a partition of [0, n_tokens).
void check_documents(const DocumentSpans& documents, Index n_tokens);

// Index over plain positions (one class, nothing about documents).
template <class Token, class Position>
PositionIndex<Position> index_positions(std::span<const Token> tokens, TokenRange range,
                                        Index vocab_size, int threads);

// Index with two classes and `remaining`, for pair counting.
template <class Token, class Position>
PositionIndex<Position> index_document_positions(std::span<const Token> tokens, TokenRange range,
                                                 Index vocab_size, const DocumentSpans& documents,
                                                 int threads);

}  // namespace ngramstat
