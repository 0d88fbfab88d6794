// Logistic mixing (as in PAQ): the logits of one binary decision by many contexts are added with
// weights that are learned online and depend on how much each context has seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Binary decisions to train on or to score. All arrays are (rows, decisions), row-major.
struct MixerInputs {
    Index decisions = 0;
    std::span<const std::uint16_t> packed_logits;  // (n_patterns, decisions), of ContextCounts
    std::span<const std::uint16_t> selectors;      // (n_selectors, decisions): states
};

// The logit of the branch taken is
//   sum over inputs i of (own[i][bucket_i] + sum over selectors s of table_s[state_s][i])
//                        * (logit_i - logit of i's parent),
// so that with weight one along a chain of parents and zero elsewhere it is the logit of the
// chain's last input.
class Mixer {
  public:
    // patterns         row of each input in MixerInputs
    // parents          the input that is subtracted from each input, before it in order; -1: none
    // initial          initial own weight of each input
    // selector_sizes   number of states of each selector
    // Throws std::invalid_argument for arguments that do not fit together, as do the methods.
    Mixer(std::vector<Index> patterns, std::vector<Index> parents, std::vector<double> initial,
          std::vector<Index> selector_sizes);

    // One pass of online gradient descent (AdaGrad) over decisions [first, last): each weight moves
    // by rate * gradient over the root of the sum of its squared gradients so far. Returns the sum
    // of -ln p, nats, of every decision before it was learned from.
    double train(const MixerInputs& inputs, Index first, Index last, double rate);

    // Sum of -ln p over the decisions of each target, nats.
    void score(const MixerInputs& inputs, std::span<const Index> decision_offsets,
               std::span<double> losses) const;

    // The weights that `score` uses: own ones (n_inputs, kBuckets), then by selector (states,
    // row_size), where row_size is n_inputs padded to whole vectors.
    std::vector<std::span<const float>> weights() const;
    // Replaces them by those of a mixer with the same arguments.
    void set_weights(std::span<const std::span<const float>> weights);

  private:
    // Inputs of a run of decisions, transposed: the packed logits lie pattern by pattern, and the
    // hardware cannot prefetch that many streams at once.
    class Window {
      public:
        explicit Window(const Mixer& mixer);
        // Loads the decisions from `decision` on, up to `end`.
        void load(const Mixer& mixer, const MixerInputs& inputs, Index decision, Index end);
        bool holds(Index decision) const { return decision >= first_ && decision < last_; }
        // Inputs of one decision minus their parents, padded with zeros.
        float* relative(const Mixer& mixer, Index decision) {
            return &relative_[static_cast<std::size_t>(decision - first_) * mixer.row_size_];
        }
        // Where the own weights of its inputs are in own_.
        const std::uint32_t* own(const Mixer& mixer, Index decision) const {
            return &own_[static_cast<std::size_t>(decision - first_) * mixer.n_inputs_];
        }

      private:
        static constexpr Index kSize = 64;
        Index first_ = 0, last_ = 0;
        std::vector<float> logits_;    // (n_inputs, kSize)
        std::vector<float> relative_;  // (kSize, row_size)
        std::vector<std::uint32_t> own_;
    };
    std::size_t state(const MixerInputs& inputs, std::size_t selector, Index decision) const {
        return inputs.selectors[selector * static_cast<std::size_t>(inputs.decisions) +
                                static_cast<std::size_t>(decision)];
    }
    void prefetch(const MixerInputs& inputs, Index decision) const;
    void check(const MixerInputs& inputs) const;

    std::vector<Index> patterns_, parents_, selector_sizes_;
    std::size_t n_inputs_;
    std::size_t row_size_;                              // n_inputs_, padded to whole vectors
    std::vector<float> own_, own_squares_;              // (n_inputs, kBuckets)
    std::vector<std::vector<float>> tables_, squares_;  // by selector: (states, row_size)
};

}  // namespace ngramstat
