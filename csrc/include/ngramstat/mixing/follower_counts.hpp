// What followed the contexts of one shard in training, and how it is counted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/id_set.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Tokens that followed the contexts of a shard, context after context, each token of a context
// once, ascending: sums over them do not depend on the order of counting.
struct ContextFollowers {
    // What the leave-one-out part of training adds to the counts of a follower.
    struct LeftOut {
        std::uint32_t follower;  // its place in `tokens`
        std::uint32_t count, continuation_count;
    };
    std::vector<std::uint32_t> begins;  // by context, and the end; empty: there are no followers
    std::vector<std::uint32_t> tokens, counts;
    std::vector<std::uint32_t> continuation_counts;  // empty without continuation tokens
    std::vector<LeftOut> left_out;                   // by follower

    // ContextFollowers [first, last) are those of a context.
    std::size_t first(std::size_t context) const { return begins.empty() ? 0 : begins[context]; }
    std::size_t last(std::size_t context) const { return begins.empty() ? 0 : begins[context + 1]; }
};

// What followed all contexts, as one table; of every follower:
//   counts, continuation_counts            as above; the latter is empty without continuation
//   tokens left_out, continuation_left_out        what the leave-one-out part of training adds to
//   them
struct FollowerTable {
    std::vector<Index> begins;  // by context, and the end
    std::vector<std::uint32_t> tokens, counts, continuation_counts;
    std::vector<std::uint32_t> left_out, continuation_left_out;
};

// An event, a token after a context of a shard, in one number; from the highest bit on: number of
// the context in the shard, token, continuation token (n_symbols: there is none).
struct EventLayout {
    int context_bits = 0, token_bits = 0, continuation_bits = 0;
    std::uint32_t no_continuation = 0;

    int bits() const { return context_bits + low_bits(); }
    int low_bits() const { return token_bits + continuation_bits; }
    bool has_continuation() const { return continuation_bits > 0; }
};

// Counts the events of one bin after the other. Its memory is used again.
//   Event   uint32_t or uint64_t
template <class Event>
class FollowerCounter {
  public:
    using Pieces = std::vector<std::span<const Event>>;

    // n_contexts   of a shard
    FollowerCounter(const EventLayout& layout, Index vocab_size, std::size_t n_contexts);

    // events     of one bin, in any order
    // left_out   those of the leave-one-out part of training
    ContextFollowers count(const Pieces& events, const Pieces& left_out);

  private:
    struct Token {  // of the current context
        std::uint32_t count = 0, count_left_out = 0;
        std::uint32_t next = 0;  // where its next continuation token is written
    };

    std::uint32_t token_of(Event event) const {
        return static_cast<std::uint32_t>(event >> layout_.continuation_bits & token_mask_);
    }
    std::uint32_t context_of(Event event) const {
        // In 64 bits: all 32 may be low ones.
        return static_cast<std::uint32_t>(std::uint64_t{event} >> layout_.low_bits());
    }
    void group_by_context(const Pieces& events, const Pieces& left_out);
    void count_context(std::size_t first, std::size_t middle, std::size_t last);
    void count_left_out(std::size_t middle, std::size_t last, std::size_t n_seen);
    void group_by_token(std::size_t first, std::size_t last, std::size_t n_seen);
    void find_different(std::size_t size);

    EventLayout layout_;
    std::size_t n_contexts_;
    Event token_mask_;
    std::vector<std::uint32_t> begins_;  // by context and part: its first event
    std::vector<Event> events_;          // of the bin, by context and part
    std::vector<Token> tokens_;          // by token
    IdSet followers_;                    // of the current context, while they are sorted
    // Of the current context, by token: its continuation tokens, whether each is the first of its
    // token, and the running number of different ones.
    std::vector<std::uint32_t> continuations_, n_different_;
    std::vector<std::uint8_t> is_first_;
    // By continuation token: the number of the last (context, token) that it was seen with.
    std::vector<std::uint32_t> last_pair_;
    std::uint32_t pair_ = 0;
    ContextFollowers out_;
    std::size_t n_out_ = 0;
};

// The sum of counts of the same contexts. Throws std::overflow_error for a count above 2^32 - 1.
ContextFollowers sum_followers(std::span<const ContextFollowers> parts, std::size_t n_contexts,
                               Index vocab_size);

}  // namespace ngramstat
