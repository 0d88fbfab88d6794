// Trains an interpolated modified Kneser-Ney model: all n-grams of a stream, as a trie with log
// probabilities and back-off weights.
//
//   1. count_trie_levels counts the n-grams of ranges of last tokens: how large the levels are, and
//      the counts of counts, from which the caller estimates the discounts;
//   2. store_ngrams writes the n-grams of the same ranges into the levels, with their counts;
//   3. KneserNeyEstimator replaces counts by probabilities, for ranges of the last token of
//      contexts: all followers of a context belong to one range, so ranges are independent;
//   4. remove_pruned_ngrams removes what has too small a count.
// Levels may be mapped files: 2 writes them in order, in as many places as there are threads, and 3
// reads and writes them in as many as there are tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/models/ngram_trie.hpp"
#include "ngramstat/pairs/position_index.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"

namespace ngramstat {

// What is counted of a stream. A stop token that is no event is the id vocab_size.
template <class Token>
struct TrainingStream {
    std::span<const Token> tokens;
    Index first_event;  // tokens before it only serve as context
    Index vocab_size;
    int order;
    Index stop_token;  // contexts extend back to this token and no further; -1: none
};

struct LevelSizes {
    KneserNeyCounts counts;
    std::vector<Index> by_block;  // [block * order + m - 1]: distinct n-grams
};

// The n-grams whose last token lies in the range.
template <class Token>
LevelSizes count_trie_levels(const TrainingStream<Token>& stream, TokenRange range, int threads);

// Where the parts of store_ngrams go.
//   starts          [block * order + m - 1]: the place in level m of the block's first n-gram
//   ends            the same for the places after the last; the trie is not written beyond
//   unigram_counts  by symbol: raw counts if the order is 1, else continuation counts
//   min_counts      [m - 1]: n-grams with smaller raw counts are marked, to be removed in the end
struct StoredLevels {
    MutableNgramTrie trie;
    std::span<const Index> starts, ends;
    std::span<Count> unigram_counts;
    std::span<const Count> min_counts;
};

// Throws std::runtime_error where the n-grams are not those that were counted.
template <class Token>
void store_ngrams(const TrainingStream<Token>& stream, TokenRange range, const StoredLevels& levels,
                  int threads);

// Turns the counts of all levels into probabilities.
class KneserNeyEstimator {
  public:
    // Completes level 1. discounts: [m - 1], of raw counts for the highest order and of
    // continuation counts for the others.
    KneserNeyEstimator(MutableNgramTrie trie, std::span<const Count> unigram_counts,
                       std::vector<OrderDiscounts> discounts, std::vector<Count> min_counts);

    // Estimates the n-grams of two tokens and more whose contexts end in a token of the range, and
    // the weights of these contexts. To be called once for each range of a partition of the
    // symbols. Memory: 32 bytes per context that ends in the same token, for each thread, and 12
    // per n-gram of two tokens.
    void estimate(TokenRange range, int threads);

  private:
    // What interpolation needs of one context; left_out are the counts of pruned n-grams.
    struct Followers {
        Count sum = 0;
        Count left_out = 0;
        std::array<std::uint32_t, 3> number{};
    };
    // The contexts that end in a few neighbouring tokens: one part of each level.
    struct Contexts {
        std::array<Index, kMaxOrder + 1> low{}, high{};
        std::array<std::vector<Followers>, kMaxOrder + 1> followers;
        Followers& at(int m, Index context) {
            return followers[m][static_cast<std::size_t>(context - low[m])];
        }
    };
    enum class Pass { kCount, kEstimate };

    void complete_unigrams(std::span<const Count> counts);
    void index_bigrams();
    std::vector<Index> tasks(TokenRange range) const;
    Index first_child(int m, Index node) const {
        return static_cast<Index>(trie_.nodes[m - 1][node].link >> bits_);
    }
    Index token(int m, Index entry) const;
    Count count(int m, Index entry) const;
    bool is_pruned(int m, Index entry) const;
    void set_log_prob(int m, Index entry, double value);
    Index find_context(int m, Index from, Index last, Index token) const;
    void find_contexts(Contexts& contexts, TokenRange range) const;
    template <Pass pass>
    double visit(int m, Index entry, Contexts& contexts, Index context, double lower_order);
    template <Pass pass>
    void visit_extensions(int m, Index entry, Contexts& contexts, Index context, double value);
    template <Pass pass>
    void visit_bigrams(TokenRange range, Contexts& contexts);
    void set_backoffs(Contexts& contexts);

    MutableNgramTrie trie_;
    std::vector<OrderDiscounts> discounts_;
    std::vector<Count> min_counts_;
    int bits_;
    std::vector<double> unigrams_;  // probabilities
    // N-grams of two tokens, by the first of them: their entries and their last tokens.
    std::vector<Index> bigram_starts_;
    std::vector<Index> bigram_entries_;
    std::vector<std::uint32_t> bigram_tokens_;
};

// Removes the n-grams that were marked, in place, and returns the sizes of the levels.
std::vector<Index> remove_pruned_ngrams(MutableNgramTrie trie);

}  // namespace ngramstat
