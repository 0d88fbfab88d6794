// Interpolated modified Kneser-Ney models of all orders, counted for a held-out text.
//
// Chen and Goodman (1999), section 3. Only the n-grams and contexts of the held-out text are looked
// up, so memory follows the held-out text and one sweep over the sorted training text serves every
// order at once.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "ngramstat/base/key_table.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace ngramstat {

inline constexpr int kMaxOrder = 16;

// What interpolation needs of one context h: the sum of the counts of hw over w, and how many w
// have count 1, 2, and 3 or more.
struct FollowerCounts {
    Count sum = 0;
    std::array<Count, 3> number{};
};

// Numbers of n-grams of one order with counts 1, 2, 3, 4 (for the discounts), and of all of them.
struct OrderCounts {
    std::array<Count, 4> number{};
    Count distinct = 0;
};

// Discounts D1, D2, D3+ of one order.
using OrderDiscounts = std::array<double, 3>;

// Two kinds of counts for every order m: `raw` counts serve where m is the highest order of a
// model; `lower` (adjusted) counts everywhere below: the number of distinct tokens seen before the
// n-gram, or the raw count where the n-gram begins with the stop token (no token can precede it).
struct KneserNeyCounts {
    std::vector<OrderCounts> raw;    // [m - 1], m = 1 .. order
    std::vector<OrderCounts> lower;  // [m - 1], m = 1 .. order - 1
};

template <class Token>
class KneserNey {
  public:
    // held_out   tokens to score, and the contexts before them
    // document   one entry per held-out token: the document it is scored in, -1 if it only serves
    //            as context
    // order      highest n-gram order, 1 .. 16
    // stop_token contexts reach back to this token and no further; -1: none
    // vocab_size event types; a token == vocab_size may stand in for a separator that is no event
    KneserNey(std::span<const Token> held_out, std::span<const std::int32_t> document,
              Index vocab_size, int order, Index stop_token);

    // Adds the training n-grams whose last token lies in range. Ranges partition the vocabulary.
    // Tokens before first_event only serve as context.
    void add_training(std::span<const Token> training, Index first_event, TokenRange range,
                      int threads);

    const KneserNeyCounts& counts() const { return counts_; }

    // Sum of -ln p over each document's scored tokens: losses[document * order + n] for contexts of
    // n = 0 .. order-1 tokens. raw, lower: discounts by order. Nats.
    void score(std::span<const OrderDiscounts> raw, std::span<const OrderDiscounts> lower,
               std::span<double> losses, Index n_documents, int threads) const;

  private:
    template <class Position>
    void sweep(std::span<const Token> training, Index first_event, TokenRange range, int threads);

    std::vector<Token> held_out_;
    std::vector<std::int32_t> document_;
    Index vocab_size_;
    int order_;
    Index stop_token_;
    KneserNeyCounts counts_;

    // Contexts of the held-out text as a trie that grows into the past: key (parent, token before),
    // number + 1 is the node; node 0 is the empty context. N-grams: key (context node, last token).
    KeyTable nodes_;
    KeyTable ngrams_;
    std::vector<FollowerCounts> raw_contexts_;    // by node
    std::vector<FollowerCounts> lower_contexts_;  // by node
    std::vector<Count> raw_ngrams_;               // by n-gram
    std::vector<Count> lower_ngrams_;             // by n-gram
    // By held-out position and order m = 1 .. order: the context node and the n-gram, or kAbsent
    // where the context cannot reach that far.
    std::vector<std::uint32_t> position_nodes_;
    std::vector<std::uint32_t> position_ngrams_;
};

}  // namespace ngramstat
