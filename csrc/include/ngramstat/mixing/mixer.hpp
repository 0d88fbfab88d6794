// Logistic mixing: estimates of one binary probability from many contexts, combined in the
// logarithm of the odds with weights that depend on how much each context has seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Decisions to learn from or to score. All arrays are (rows, decisions), row-major.
struct MixerInputs {
    Index decisions = 0;
    std::span<const std::uint16_t> packed_logits;  // (n_patterns, decisions), of ContextCounts
    std::span<const std::uint16_t> selectors;      // (n_selectors, decisions)
};

// log odds = sum over inputs i of (own[i][bucket_i] + sum over selectors s of table_s[state_s][i])
//            * (stretch_i - stretch of i's parent),
// so that with weight one along a chain of parents and zero elsewhere it is the chain's last input.
class Mixer {
  public:
    // patterns         row of each input in MixerInputs
    // parents          input that each input is taken relative to, before it in order; -1: none
    // initial          first own weight of each input
    // selector_sizes   number of states of each selector
    Mixer(std::vector<Index> patterns, std::vector<Index> parents, std::vector<double> initial,
          std::vector<Index> selector_sizes);

    // One pass over decisions [first, last) in order, each weight stepping by rate * gradient over
    // the root of its sum of squared gradients so far. Returns the loss before the steps, nats.
    double train(const MixerInputs& inputs, Index first, Index last, double rate);

    // Sum of -ln p over the decisions of each target, nats.
    void score(const MixerInputs& inputs, std::span<const Index> decision_offsets,
               std::span<double> losses) const;

  private:
    // Inputs of a run of decisions, turned around: packed_logits lies pattern by pattern, and so
    // many streams at once are more than the hardware follows.
    class Window {
      public:
        explicit Window(const Mixer& mixer);
        // Loads the decisions from `decision` on, up to `end`.
        void load(const Mixer& mixer, const MixerInputs& inputs, Index decision, Index end);
        bool holds(Index decision) const { return decision >= first_ && decision < last_; }
        // Inputs of one decision relative to their parents, padded with zeros.
        float* relative(const Mixer& mixer, Index decision) {
            return &relative_[static_cast<std::size_t>(decision - first_) * mixer.row_size_];
        }
        // Their places in own_.
        const std::uint32_t* own(const Mixer& mixer, Index decision) const {
            return &own_[static_cast<std::size_t>(decision - first_) * mixer.n_inputs_];
        }

      private:
        static constexpr Index kTurns = 64;
        Index first_ = 0, last_ = 0;
        std::vector<float> x_;         // (n_inputs, kTurns)
        std::vector<float> relative_;  // (kTurns, row_size)
        std::vector<std::uint32_t> own_;
    };
    void prefetch(const MixerInputs& inputs, Index decision) const;
    void check(const MixerInputs& inputs) const;

    std::vector<Index> patterns_, parents_, selector_sizes_;
    std::size_t n_inputs_;
    std::size_t row_size_;                              // n_inputs, padded to whole vectors
    std::vector<float> own_, own_squares_;              // (n_inputs, kBuckets)
    std::vector<std::vector<float>> tables_, squares_;  // by selector: (states, row_size)
};

}  // namespace ngramstat
