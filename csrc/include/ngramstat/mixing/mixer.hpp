// Logistic mixing (as in PAQ): the logits of one binary decision by many contexts are added with
// weights that are learned online and depend on how much each context has seen.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Binary decisions to train on or to score. All arrays are (rows, decisions), row-major.
struct MixerInputs {
    Index decisions = 0;
    std::span<const std::uint16_t> packed_logits;  // (n_inputs, decisions), of ContextCounts
    std::span<const std::uint16_t> selectors;      // (n_selectors, decisions): states
};

// Which inputs and selectors one mixer of a group has.
struct MixerShape {
    Index n_inputs;     // the first ones
    Index n_chain;      // the first inputs of the chain, whose counts are a selector
    Index n_selectors;  // the first ones
};

// Mixers that read the same decisions, each with some of the inputs and selectors: what they share
// is read once. In each of them the logit of the branch taken is
//   sum over inputs i of (own[i][bucket_i] + sum over selectors s of table_s[state_s][i])
//                        * (logit_i - logit of i's parent),
// so that with weight one along a chain of parents and zero elsewhere it is the logit of the
// chain's last input. The differences are clipped to what 11 bits and a sign hold, +-16.
class MixerGroup {
  public:
    static constexpr Index kMaxMixers = 8;  // one vector of 32 bytes
    static constexpr Index kMaxInputs = 64;
    static constexpr Index kSeen = 5;

    // parents          the input that is subtracted from each input, before it in order; -1: none
    // initial          initial own weight of each input
    // chain            inputs, at most three, whose counts are a selector: each in one of kSeen
    //                  classes by its bucket
    // selector_sizes   number of states of each selector
    // Throws std::invalid_argument for arguments that do not fit together, as do the methods.
    MixerGroup(std::vector<Index> parents, std::span<const double> initial,
               std::vector<Index> chain, std::vector<Index> selector_sizes,
               std::span<const MixerShape> shapes);

    // One pass of online gradient descent (AdaGrad) over decisions [first, last): each weight moves
    // by rate * gradient over the root of the sum of its squared gradients so far; that root is
    // approximate, within 4 %. Returns, by mixer, the sum of -ln p, nats, of every decision before
    // it was learned from.
    std::vector<double> train(const MixerInputs& inputs, Index first, Index last,
                              std::span<const double> rates);

    // Sum of -ln p over the decisions of each target, nats: (mixers, targets).
    void score(const MixerInputs& inputs, std::span<const Index> decision_offsets,
               std::span<double> losses) const;

    Index size() const { return static_cast<Index>(mixers_.size()); }
    // The weights that `score` uses, of one mixer: own ones (kBuckets, n_inputs), then by selector
    // (states, n_inputs), the one of the chain first.
    std::vector<std::vector<float>> weights(Index mixer) const;
    // Replaces them by those of a group with the same arguments.
    void set_weights(Index mixer, std::span<const std::span<const float>> weights);

  private:
    // Weights of the inputs, and their sums of squared gradients, for each state of a selector:
    // row_size weights and as many sums.
    struct Table {
        std::size_t row_size;
        std::vector<float> rows;

        Table(std::size_t states, std::size_t n);
        std::size_t states() const { return rows.size() / (2 * row_size); }
    };
    struct Mixer {
        MixerShape shape;
        std::vector<Table> tables;  // of the chain, then of the selectors
    };
    class Window;
    class Runner;

    void add(const MixerShape& shape, std::span<const double> initial);
    void check(const MixerInputs& inputs, Index first, Index last) const;
    float& own_weight(std::size_t mixer, std::size_t bucket, std::size_t input) {
        return own_[(bucket * row_size_ + input) * 2 * kMaxMixers + mixer];
    }

    std::size_t n_inputs_, row_size_;  // and padded to whole vectors
    std::vector<Index> parents_, chain_, selector_sizes_;
    std::vector<Mixer> mixers_;
    // (kBuckets, row_size, 2 kMaxMixers): the weights of all mixers, then their sums of squared
    // gradients. Mixers lie side by side because the places depend on the decision alone.
    std::vector<float> own_;
    std::vector<float> is_input_;  // (row_size, kMaxMixers): 1 where a mixer has the input, else 0
};

}  // namespace ngramstat
