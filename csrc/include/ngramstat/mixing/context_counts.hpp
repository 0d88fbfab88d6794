// What a training text says, after each context of one pattern, about every binary decision on the
// way to the next token. Counts are of tokens; they are read in as many trees as one likes.
//
// The vocabulary is a binary tree. A token is the path to its leaf, and a distribution over tokens
// is the probability of a decision at every inner node, so that estimates from many contexts can be
// combined decision by decision and still sum to one over the vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/key_table.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// A binary tree over a vocabulary of V tokens in leaf order. Inner nodes are in preorder: node k
// covers leaves [a, b) and sends those below split[k] to the left, whose subtree starts at k + 1;
// that of the right child starts at k + (split[k] - a).
struct TokenTree {
    std::vector<std::uint32_t> leaf_of;  // by token, a permutation of 0 .. V - 1
    std::vector<std::uint32_t> split;    // by inner node, V - 1 of them
};

// Throws std::invalid_argument unless the arrays describe such a tree.
void check_tree(const TokenTree& tree);

// Number of decisions on the way to each token of the vocabulary.
std::vector<std::uint32_t> path_lengths(const TokenTree& tree);

// Tokens that a pattern looks at: offsets[j] >= 1 tokens back, each read through maps[j], the
// number of a class map (tokens of one class look alike), or -1 for the token itself.
struct ContextPattern {
    std::vector<int> offsets;
    std::vector<int> maps;
};

inline constexpr int kMaxOffset = 16;
// PackedLogits of one pattern at one decision, 16 bits: the stretched probability ln(p / (1 - p))
// as a multiple of kLogitUnit within +-16, above kBucketBits bits of how much is known: 16 buckets
// of the node's count, twice (both decisions seen, or one alone).
inline constexpr int kBucketBits = 5;
inline constexpr int kBuckets = 1 << kBucketBits;
inline constexpr double kLogitUnit = 1.0 / 64.0;

// Discounts D1, D2, D3+ of the raw counts and of the lower ones.
struct Discounts {
    std::array<double, 3> raw, lower;
};

// Decisions of all targets, target after target: decision e belongs to the target with
// decision_offsets[target] <= e < decision_offsets[target + 1].
class ContextCounts {
  public:
    // text         tokens to score, with the contexts before them
    // targets      positions of the text to score, ascending
    // leave_one_out      so many targets, the first ones, are of a text that is counted too: what
    // that
    //              text says about them is taken off again
    // vocab_size   V; other symbols are only ever context
    // class_maps   (n_maps, n_symbols), row-major; n_symbols = V, or V + 1 with a stop token V
    // stop_token   contexts reach back to this token and no further; -1: none
    template <class Token>
    ContextCounts(std::span<const Token> text, std::span<const Index> targets, Index leave_one_out,
                  Index vocab_size, const ContextPattern& pattern,
                  std::span<const std::uint32_t> class_maps, Index n_symbols, Index stop_token);

    // Counts the tokens that follow the targets' contexts in the training text, from first_event
    // on: how often (raw counts), and, with extra_offset > 0, after how many distinct tokens so far
    // back (lower counts, the continuation counts of Kneser and Ney; where a stop token or the
    // beginning is nearer than that, every occurrence counts). From first_leave_one_out on the
    // training text is that of the first targets. max_entries bounds the events held at a time, 8
    // bytes each: beyond it the training text is read several times. To be called once. Throws
    // std::invalid_argument where context, token and neighbour do not fit 64 bits.
    template <class Token>
    void count(std::span<const Token> training, Index first_event, Index first_leave_one_out,
               int extra_offset, Index max_entries, int threads);

    // Numbers of distinct (context, token) with counts 1, 2, 3, 4 among the targets' contexts.
    std::array<Count, 4> counts_of_counts(bool lower) const;

    // Interpolated absolute discounting at every decision of every target's path:
    //   P(subtree | context) = (sum over its tokens of max(count - D(count), 0)
    //                           + freed(context) P_parent(subtree)) / sum of counts.
    // parent_mass  (decisions, 2): P_parent of the child taken and of its sibling; empty: uniform
    // over
    //              the vocabulary
    // packed_logits     (decisions) of the raw counts
    // mass         (decisions, 2) as parent_mass, of the lower counts, for patterns that fall back
    // on
    //              this one; may be empty
    void evaluate(const TokenTree& tree, const Discounts& discounts,
                  std::span<const Index> decision_offsets, std::span<const float> parent_mass,
                  std::span<std::uint16_t> packed_logits, std::span<float> mass, int threads) const;

  private:
    struct Part {  // contexts whose id modulo the number of parts is this part's number
        std::vector<std::uint64_t> keys;  // id / parts << 32 | token, by ascending id
        std::vector<Count> counts;
        std::vector<Count> lower_counts;  // empty without extra_offset
        struct HeldIn {
            std::size_t at;  // number of the key
            Count count, lower_count;
        };
        std::vector<HeldIn> leave_one_out;  // what the held-in text adds to the counts, by key
    };
    struct Followers;
    template <class Token>
    void count_range(std::span<const Token> training, Index first_event, Index first_leave_one_out,
                     int extra_offset, std::uint32_t first_part, std::uint32_t last_part,
                     int threads);
    // Calls visit(position, key, known) for the events of [first, last) that have a context; known
    // is how far back the text reaches.
    template <class Token, class Visit>
    void scan_keys(std::span<const Token> training, Index first, Index last, Visit&& visit) const;
    // Calls visit(position, context id, known) for those whose context is in the table.
    template <class Token, class Visit>
    void scan(std::span<const Token> training, Index first, Index last, Visit&& visit) const;
    template <class Token>
    std::uint64_t key_at(std::span<const Token> text, Index position) const;
    void order_targets();

    ContextPattern pattern_;
    std::vector<std::vector<std::uint32_t>> symbols_;  // by offset: the class of each symbol, or {}
    std::vector<int> bits_;                            // by offset: bits of its symbols
    bool packed_ = true;                               // keys hold the symbols, else their hash
    Index reach_ = 0;                                  // largest offset
    Index vocab_size_;
    Index n_symbols_;
    Index stop_token_;
    Index held_in_;
    bool has_lower_ = false;
    std::vector<std::uint32_t> target_tokens_;
    std::vector<std::uint32_t> target_ids_;  // kAbsent: the context does not reach that far
    // Contexts by their part (`Part`), then by id: the targets in that order (those without a
    // context at the end), and where those of each context begin.
    std::vector<Index> order_, offsets_;
    KeyTable contexts_;
    std::vector<Part> parts_;
};

}  // namespace ngramstat
