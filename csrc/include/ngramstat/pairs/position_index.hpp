// Positions of a token stream grouped by the token at each of them: a row of a matrix of pair
// counts is made of one token's positions.
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
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
// ascending order, where g = 2 * (token - range.first) + half, and half is that of the document
// that holds the position.
//   Position   uint32_t where the stream has at most 2^32 tokens, else uint64_t
//   remaining  parallel to positions: how many tokens of the same document's content follow,
//              saturated at 2^32 - 1; 0 for a token outside any content (a separator)
//   preceding  the same for the tokens before
// Memory: sizeof(Position) bytes per indexed token, and 4 for each of remaining and preceding; 16
// bytes per token id of the range and thread.
template <class Position>
struct PositionIndex {
    TokenRange range{0, 0};
    std::vector<Index> offsets;
    std::vector<Position> positions;
    std::vector<std::uint32_t> remaining;  // empty unless asked for
    std::vector<std::uint32_t> preceding;  // empty unless asked for

    std::span<const Position> group(Index g) const {
        return {positions.data() + offsets[g], static_cast<std::size_t>(size(g))};
    }
    Index size(Index g) const { return offsets[g + 1] - offsets[g]; }
};

// What an index says of each position besides.
enum class ContentLimits { none, remaining, both };

// Throws std::invalid_argument unless the documents cover the stream, std::out_of_range for a token
// >= vocab_size anywhere in the stream.
template <class Token, class Position>
PositionIndex<Position> index_document_positions(std::span<const Token> tokens, TokenRange range,
                                                 Index vocab_size, const Documents& documents,
                                                 int threads,
                                                 ContentLimits limits = ContentLimits::remaining);

}  // namespace ngramstat
