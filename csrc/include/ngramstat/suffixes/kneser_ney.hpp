// Interpolated modified Kneser-Ney models of all orders, counted for a held-out token stream.
//
// Chen and Goodman (1999), section 3. The n-grams and contexts of the held-out tokens are indexed
// first, and only these are looked up while counting. Memory is therefore proportional to the
// held-out tokens, and one sweep over the sorted training stream serves every order at once:
//   1. the constructor indexes the held-out n-grams and their contexts,
//   2. add_training counts them, with the continuation counts of the lower orders,
//   3. counts() returns the counts of counts, from which the caller estimates the discounts,
//   4. score interpolates the orders and sums -ln p.
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/key_table.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"

namespace ngramstat {

template <class Token>
class KneserNey {
  public:
    // held_out   tokens to score, and the contexts before them
    // documents  of the held-out tokens: their content is scored, other tokens only serve as
    // context vocab_size number of tokens that can be predicted; a token == vocab_size may stand
    // for a
    //            separator that is never predicted
    // order      highest n-gram order, 1 .. 16
    // stop_token contexts extend back to this token and no further; -1: none
    // Throws std::invalid_argument for bad arguments, std::out_of_range for a bad token.
    KneserNey(std::span<const Token> held_out, const Documents& documents, Index vocab_size,
              int order, Index stop_token);

    // Counts the training n-grams whose last token lies in `range`. To be called once for each
    // range of a partition of the vocabulary. Tokens before first_event only serve as context.
    // With a prefix (last token first, see SuffixOrder): the longer n-grams that end with it and
    // whose token before it lies in `range`. All of them together, and add_ngram for the prefix,
    // take the place of a range of one token.
    void add_training(std::span<const Token> training, Index first_event, TokenRange range,
                      int threads, std::span<const Index> prefix = {});
    // Counts one training n-gram, last token first, from its occurrences as an event and the number
    // of different tokens before it, where the beginning of the stream is one.
    void add_ngram(std::span<const Index> ngram, Count count, Count distinct_before);

    const KneserNeyCounts& counts() const { return counts_; }

    Index n_documents() const { return documents_.size(); }

    // Sum of -ln p over each document's content, nats: losses[document * order + n] for
    // contexts of n = 0 .. order - 1 tokens. raw (order) and continuation (order - 1) are the
    // discounts of every order where it is the highest of its model and where it is not.
    void score(std::span<const OrderDiscounts> raw, std::span<const OrderDiscounts> continuation,
               std::span<double> losses, int threads) const;

  private:
    class Lookup;

    void index_held_out();
    void index_position(Index i);
    void score_position(Index i, std::span<const OrderDiscounts> raw,
                        std::span<const OrderDiscounts> continuation, double* loss) const;

    std::vector<Token> held_out_;
    Documents documents_;
    Index vocab_size_;
    int order_;
    Index stop_token_;
    KneserNeyCounts counts_;

    // Contexts of the held-out tokens as a trie that extends into the past. A node's key is
    // (parent node, the token before); its number in the table + 1 is the node, and node 0 is the
    // empty context. The key of an n-gram is (context node, last token).
    KeyTable nodes_;
    KeyTable ngrams_;
    std::vector<FollowerCounts> raw_contexts_;           // by node
    std::vector<FollowerCounts> continuation_contexts_;  // by node
    std::vector<Count> raw_ngrams_;                      // by n-gram
    std::vector<Count> continuation_ngrams_;             // by n-gram
    // By held-out position and order m = 1 .. order: the context node and the n-gram, or kAbsent
    // where the context is cut off before m - 1 tokens.
    std::vector<std::uint32_t> position_nodes_;
    std::vector<std::uint32_t> position_ngrams_;
};

}  // namespace ngramstat
