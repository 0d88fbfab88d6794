// Counts of counts of n-grams of every order, in one sweep over sorted suffixes.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

// (count c, number of distinct n-grams that occur c times), ascending in c, c >= 1.
using CountsOfCounts = std::vector<std::pair<Count, Count>>;

// Subsets of the targets that are counted separately: all; the halves; the quarters of the
// documents (Documents::quarters).
inline constexpr int kSubsets = 7;

// For contexts of n = 0 .. max_context tokens, over the targets (positions with at least
// max_context tokens before them in their document, or with `across` in the stream; the same
// targets for every n):
//   ngrams[s][n]    of the (n+1)-grams that end at a target of subset s
//   contexts[s][n]  of the n-grams that end just before a target of subset s
// so the plug-in entropy given n tokens is (F(contexts[n]) - F(ngrams[n])) / targets with
// F = sum c log c.
//   losses[g * (max_context + 1) + n]  sum over the targets of cluster g of documents of
//                   L(occurrences of the context) - L(occurrences of the n-gram), counted over all
//                   targets, where L(c) is ln c in units of 2^-kLossBits, rounded. The mean over
//                   targets is the plug-in entropy; the spread over clusters is its sampling error.
//                   For n = 0 the context's term, ln of the number of targets, is left out
//   group_targets[g]                   number of targets of cluster g
struct NgramCounts {
    std::vector<CountsOfCounts> ngrams[kSubsets];
    std::vector<CountsOfCounts> contexts[kSubsets];
    Count targets[kSubsets] = {};
    std::vector<std::int64_t> losses;
    std::vector<Count> group_targets;
};

inline constexpr int kLossBits = 20;
// ln c in units of 2^-kLossBits, rounded; 0 for c = 0.
std::int64_t scaled_logarithm(Count c);

// The positions where the n-gram of a target or the context of one ends: in every document that has
// targets (with `across`, in the stream as one document), from the last token of the first context
// to the end. The first position is not a target (unless max_context is 0), and the last is not the
// end of a context.
std::vector<Segment> ngram_population(const Documents& documents, bool across, int max_context);

// Throws std::invalid_argument for a max_context outside 0 .. 254, and unless the documents cover
// the stream.
void check_ngrams(Index n_tokens, int max_context, const Documents& documents);

// Counts the n-grams whose last token lies in `range`. Results of ranges that partition the
// vocabulary add up; contexts[s][0], the empty context, would be the sum over ranges of targets[s]
// and is left empty here.
//   across   n-grams run across the whole stream; otherwise they stay inside documents, separators
//            included
//   prefix   last token first, see SuffixOrder: only the longer n-grams that end with it and whose
//            token before it lies in `range`. All of them together, and count_ngram of the prefix,
//            take the place of a range of one token
//   Memory: 4 bytes (8 beyond 2^32 tokens) per token of the range, 8 bytes per cluster, context
//   length and thread, and 12 per document.
template <class Token>
NgramCounts count_ngrams(std::span<const Token> tokens, Index vocab_size, int max_context,
                         const Documents& documents, bool across, TokenRange range, int threads,
                         std::span<const Index> prefix = {});

// What one n-gram, last token first, adds to count_ngrams: counts of its own length alone, and for
// one of max_context + 1 tokens those of the targets.
template <class Token>
NgramCounts count_ngram(std::span<const Token> tokens, int max_context, const Documents& documents,
                        bool across, std::span<const Index> ngram, int threads);

// Occurrences of an n-gram, last token first, that end in a part of the stream, by the token before
// them: the first number is of the beginning of the stream, number 1 + token of a token. Throws
// std::out_of_range for a token >= vocab_size.
template <class Token>
std::vector<Index> tokens_before(std::span<const Token> tokens, Index vocab_size, Segment part,
                                 std::span<const Index> ngram, int threads);

}  // namespace ngramstat
