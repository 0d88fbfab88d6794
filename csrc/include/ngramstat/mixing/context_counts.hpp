// What a training stream says, after each context of one pattern, about every binary decision on
// the path to the next token. Counts are of tokens; they can be read along any number of trees.
//
//   1. the constructor indexes the contexts of the targets,
//   2. count() counts what follows them in training, with continuation counts,
//   3. counts_of_counts() is what the caller estimates the discounts from,
//   4. interpolate() gives the packed logits of the targets' decisions along one tree.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "ngramstat/mixing/context_index.hpp"
#include "ngramstat/mixing/context_keys.hpp"
#include "ngramstat/mixing/follower_counts.hpp"
#include "ngramstat/mixing/token_tree.hpp"

namespace ngramstat {

// Discounts D1, D2, D3+ of the raw counts and of the continuation counts.
struct Discounts {
    std::array<double, 3> raw, continuation;
};

// Binary decisions of all targets, target after target, along the path to each target's token.
//   offsets          (targets + 1): decision e belongs to the target t with
//                    offsets[t] <= e < offsets[t + 1]
//   parent_logits    (decisions), fallback logits of the pattern that this one falls back on, see
//                    packed_logits.hpp; empty: that is the uniform distribution
//   packed_logits    (decisions), written: of the branch taken, by the raw counts
//   fallback_logits  (decisions), written: as parent_logits, by the continuation counts, for the
//                    patterns that fall back on this one; may be empty
struct Decisions {
    std::span<const Index> offsets;
    std::span<const std::int16_t> parent_logits;
    std::span<std::uint16_t> packed_logits;
    std::span<std::int16_t> fallback_logits;
};

// What to count in a training stream.
//   first_event           tokens before it only serve as context
//   first_leave_one_out   where the part begins that the leave-one-out targets lie in; it goes to
//                         the end of training
//   continuation_offset   0: raw counts only. Else also continuation counts (Kneser and Ney): the
//                         number of distinct tokens at this distance before the event; where a stop
//                         token or the beginning is nearer, every occurrence counts
//   max_events            events held at a time, 8 bytes each; beyond it training is read several
//                         times. Results do not depend on it
struct Counting {
    Index first_event = 0, first_leave_one_out = 0;
    int continuation_offset = 0;
    Index max_events = 1;
    int threads = 1;
};

class ContextCounts {
  public:
    // tokens           tokens to score, with the contexts before them
    // targets          positions of the tokens to score, ascending
    // n_leave_one_out  number of targets, the first ones, that are scored leave-one-out: they lie
    //                  in a part of the training stream whose counts are subtracted for them
    // second_stream    tokens from this position on are another stream, whose contexts do not reach
    //                  back before it; 0: there is one stream
    // class_maps       (n_maps, n_symbols), row-major
    // Throws std::out_of_range for a token that is no symbol, std::invalid_argument for arguments
    // that do not fit together.
    template <class Token>
    ContextCounts(std::span<const Token> tokens, std::span<const Index> targets,
                  Index n_leave_one_out, Index second_stream, const Vocabulary& vocabulary,
                  const ContextPattern& pattern, std::span<const std::uint32_t> class_maps,
                  int threads);

    // Counts the tokens that follow the targets' contexts in the training stream. To be called
    // once. Bit i % 64 of word i / 64 is the one of position i:
    //   candidates   events whose context may be one of the targets'; empty: all
    //   known        written: events whose context is one of the targets'; may be empty
    // Throws std::invalid_argument where context, token and continuation token do not fit 63 bits,
    // std::out_of_range for a token that is no symbol.
    template <class Token>
    void count(std::span<const Token> training, const Counting& counting,
               std::span<const std::uint64_t> candidates, std::span<std::uint64_t> known);

    // For counts made elsewhere, such as on a GPU: how contexts become hashes, and the hashes of
    // the targets' contexts, ascending.
    const ContextKeys& keys() const { return context_keys_; }
    std::vector<std::uint64_t> hashes() const { return index_.hashes(); }
    // Takes what followed these contexts, instead of count().
    void take(const FollowerTable& followers, bool has_continuation, int threads);

    // Numbers of distinct (context, token) with counts 1, 2, 3, 4 among the targets' contexts; with
    // `left_out`, among those of the leave-one-out targets alone.
    std::array<Count, 4> counts_of_counts(bool continuation, bool left_out, int threads) const;

    // Interpolated absolute discounting at every decision of every target's path:
    //   P(subtree | context) = (sum over its tokens of max(count - D(count), 0)
    //                           + freed(context) P_parent(subtree)) / sum of counts,
    // with freed(context) the sum of all discounts. Throws std::invalid_argument unless the tree is
    // one of the vocabulary and the arrays have their sizes.
    void interpolate(const TokenTree& tree, const Discounts& discounts, const Decisions& decisions,
                     int threads) const;

  private:
    // Contexts, in the order of their hashes, are dealt to shards: 2^shard_bits_ to each.
    std::size_t first_context(std::size_t shard) const {
        return std::min(shard << shard_bits_, index_.size());
    }
    void check_decisions(const TokenTree& tree, const Decisions& decisions) const;
    template <class Token>
    class Counter;
    class Interpolator;

    ContextKeys context_keys_;
    Index n_leave_one_out_;
    bool has_continuation_ = false;
    std::vector<std::uint32_t> target_tokens_;
    ContextIndex index_;
    std::vector<Index> targets_without_context_;  // it is cut off
    int shard_bits_ = 0;
    std::vector<ContextFollowers> shards_;
};

}  // namespace ngramstat
