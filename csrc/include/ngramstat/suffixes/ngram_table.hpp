// N-grams with their counts, of one or several orders, in one sweep over sorted suffixes.
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

// What n-grams stay inside of.
enum class NgramUnits {
    stream,     // the whole stream: n-grams run across documents
    documents,  // one document, its separators included
    content,    // the content of one document: no n-gram holds a separator
};

// Which n-grams are listed, and what is counted of each.
//   orders        tokens of the n-grams, ascending and distinct, at least 1; at most kMaxDepth, or
//                 kMaxDepth - 1 with followers
//   min_count     n-grams that occur less often are left out; at least 1
//   followers     distinct tokens that come directly after the n-gram in its unit
//   predecessors  distinct tokens that come directly before it in its unit
//   documents     distinct documents in which it begins
struct NgramTableOptions {
    std::vector<int> orders;
    Count min_count = 1;
    NgramUnits units = NgramUnits::stream;
    bool followers = false;
    bool predecessors = false;
    bool documents = false;

    // Symbols by which suffixes are sorted.
    int depth() const { return orders.back() + (followers ? 1 : 0); }
};

// The n-grams of one order in lexicographic order. columns holds the first tokens of all of them,
// then all second tokens, and so on. What was not asked for is empty.
template <class Token>
struct NgramTable {
    std::vector<Token> columns;
    std::vector<Index> counts;
    std::vector<Index> followers;
    std::vector<Index> predecessors;
    std::vector<Index> documents;
};

// Throws std::invalid_argument for options outside these limits, and unless the documents cover the
// stream.
void check_ngram_table(Index n_tokens, const NgramTableOptions& options,
                       const Documents& documents);

// One table per order, of the n-grams whose first token lies in `range`: the tables of ranges that
// partition the vocabulary, one after the other, are those of the whole vocabulary. Throws
// std::out_of_range for a token >= vocab_size.
//   Time: that of sorting the suffixes, and a pass over them per order.
//   Memory: an entry of SuffixPacking per token of the range and, for each thread, SuffixScratch
//   and up to 9 more bytes per position of the largest block, 4 bytes per vocabulary item and
//   document; the tables, twice.
template <class Token>
std::vector<NgramTable<Token>> list_ngrams(std::span<const Token> tokens, Index vocab_size,
                                           const NgramTableOptions& options,
                                           const Documents& documents, TokenRange range,
                                           int threads);

}  // namespace ngramstat
