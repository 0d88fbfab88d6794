// The longest matches of a text in an index: at every position, the longest sequence of tokens that
// begins there and also occurs in the indexed text.
#pragma once

#include <cstdint>
#include <span>

#include "ngramstat/base/types.hpp"
#include "ngramstat/index/suffix_index.hpp"

namespace ngramstat {

// Where a match begins, and where it must end at the latest: at the end of its document, and not
// after the first stop token at or after its beginning.
struct MatchRange {
    Index first;
    Index last;
};

// What is looked for.
//   text    the tokens; values are at most the index's vocab_size
//   ranges  one per query. In ascending order long matches are found fastest, as each continues the
//           one before
//   is_own  whether `text` is the indexed text itself: then an occurrence at the position itself
//           does not count
template <class Token>
struct MatchQueries {
    std::span<const Token> text;
    std::span<const MatchRange> ranges;
    bool is_own = false;
};

// The answers, one entry per query.
//   lengths      tokens of the longest match, at most the index's depth; 0: the first does not
//   occur occurrences  of the matched sequence in the indexed text; 0 where the length is 0 places
//   where one of the occurrences begins in the indexed text; -1 where there is none
struct Matches {
    std::span<Index> lengths;
    std::span<Index> occurrences;
    std::span<Index> places;
};

// Finds the longest matches. Binary searches, some dozens of them interleaved, so that they wait
// for memory together; what is known of a long match shortens the comparisons at the next position.
//
//   Time:   about 2 log2(n) reads at random places per position
//   Memory: some KB per thread
// Throws std::invalid_argument for arrays of different sizes, ranges outside the text, tokens above
// the vocabulary, and where the arrays of the index contradict each other.
template <class Token>
void longest_matches(const SuffixIndex<Token>& index, const MatchQueries<Token>& queries,
                     const Matches& matches, int threads);

// lengths[i]: tokens that the text in ranges[i] and the indexed text from places[i] on share.
// Consecutive ranges whose places are consecutive, too, cost nothing. A place of -1 shares none.
// Throws std::invalid_argument as above.
template <class Token>
void common_lengths(std::span<const Token> indexed, const MatchQueries<Token>& queries,
                    std::span<const Index> places, std::span<Index> lengths);

}  // namespace ngramstat
