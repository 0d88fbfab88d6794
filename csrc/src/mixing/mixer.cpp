#include "ngramstat/mixing/mixer.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/base/simd.hpp"
#include "ngramstat/mixing/packed_logits.hpp"

namespace ngramstat {

namespace {

constexpr std::size_t kMaxInputs = 64;
constexpr std::size_t kVector = 8;       // rows of weights are padded to whole vectors
constexpr float kInitialSquare = 1e-2f;  // sum of squared gradients that a weight starts with

// -ln of the logistic function, without overflow.
double loss_of(double logit) {
    return logit > 0 ? std::log1p(std::exp(-logit)) : -logit + std::log1p(std::exp(logit));
}

#if defined(__GNUC__) || defined(__clang__)
#define NGRAMSTAT_RESTRICT __restrict__
#else
#define NGRAMSTAT_RESTRICT
#endif

// Operations are element by element and in one order whatever the vector width: bit-identical over
// instruction sets. n is a multiple of kVector.

// weight[i] += table[i].
struct Add {
    template <int>
    static void run(const float* NGRAMSTAT_RESTRICT table, float* NGRAMSTAT_RESTRICT weight,
                    std::size_t n) {
        n = n / kVector * kVector;
        for (std::size_t i = 0; i < n; ++i) weight[i] += table[i];
    }
};

// square[i] += g[i]^2, weight[i] += step g[i] / sqrt(square[i]).
struct Step {
    template <int>
    static void run(const float* NGRAMSTAT_RESTRICT g, float step, float* NGRAMSTAT_RESTRICT weight,
                    float* NGRAMSTAT_RESTRICT square, std::size_t n) {
        n = n / kVector * kVector;
        for (std::size_t i = 0; i < n; ++i) {
            square[i] += g[i] * g[i];
            weight[i] += step * g[i] / std::sqrt(square[i]);
        }
    }
};
#undef NGRAMSTAT_RESTRICT

// The loops as built for this processor.
struct Loops {
    BuiltFor<Add>::Function add = built_for_level<Add>(SimdLevel::avx2);
    BuiltFor<Step>::Function step = built_for_level<Step>(SimdLevel::avx2);
};

}  // namespace

Mixer::Mixer(std::vector<Index> patterns, std::vector<Index> parents, std::vector<double> initial,
             std::vector<Index> selector_sizes)
    : patterns_(std::move(patterns)),
      parents_(std::move(parents)),
      selector_sizes_(std::move(selector_sizes)),
      n_inputs_(patterns_.size()),
      row_size_((n_inputs_ + kVector - 1) / kVector * kVector) {
    require(n_inputs_ >= 1 && n_inputs_ <= kMaxInputs, "a mixer has 1 .. 64 inputs");
    require(parents_.size() == n_inputs_ && initial.size() == n_inputs_,
            "one parent and one initial weight per input");
    own_.resize(n_inputs_ * kBuckets);
    own_squares_.assign(own_.size(), kInitialSquare);
    for (std::size_t i = 0; i < n_inputs_; ++i) {
        require(parents_[i] >= -1 && parents_[i] < static_cast<Index>(i),
                "an input's parent comes before it");
        for (int b = 0; b < kBuckets; ++b) own_[i * kBuckets + b] = static_cast<float>(initial[i]);
    }
    for (const Index size : selector_sizes_) {
        require(size >= 1 && size <= 65536, "a selector has 1 .. 65536 states");
        tables_.emplace_back(static_cast<std::size_t>(size) * row_size_, 0.0f);
        squares_.emplace_back(static_cast<std::size_t>(size) * row_size_, kInitialSquare);
    }
}

void Mixer::check(const MixerInputs& inputs) const {
    require(inputs.decisions >= 0, "decisions must not be negative");
    for (const Index pattern : patterns_) {
        require(pattern >= 0 && (pattern + 1) * inputs.decisions <=
                                    static_cast<Index>(inputs.packed_logits.size()),
                "there is no such pattern");
    }
    require(static_cast<Index>(inputs.selectors.size()) ==
                inputs.decisions * static_cast<Index>(selector_sizes_.size()),
            "selectors must be (n_selectors, decisions)");
    for (std::size_t s = 0; s < selector_sizes_.size(); ++s) {
        const auto states = inputs.selectors.subspan(s * static_cast<std::size_t>(inputs.decisions),
                                                     static_cast<std::size_t>(inputs.decisions));
        for (const std::uint16_t value : states) {
            require(value < selector_sizes_[s], "a selector has no such state");
        }
    }
}

void Mixer::Window::load(const Mixer& mixer, const MixerInputs& inputs, Index decision, Index end) {
    first_ = decision;
    last_ = std::min(decision + kSize, end);
    const std::size_t decisions = static_cast<std::size_t>(last_ - first_);
    const std::size_t n = mixer.n_inputs_;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint16_t* packed_logits =
            inputs.packed_logits.data() + mixer.patterns_[i] * inputs.decisions + first_;
        float* logits = &logits_[i * kSize];
        for (std::size_t e = 0; e < decisions; ++e) logits[e] = unpack_logit(packed_logits[e]);
        for (std::size_t e = 0; e < decisions; ++e) {
            own_[e * n + i] =
                static_cast<std::uint32_t>(i * kBuckets) + unpack_bucket(packed_logits[e]);
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        const float* logits = &logits_[i * kSize];
        const float* parent = mixer.parents_[i] < 0
                                  ? nullptr
                                  : &logits_[static_cast<std::size_t>(mixer.parents_[i]) * kSize];
        for (std::size_t e = 0; e < decisions; ++e) {
            relative_[e * mixer.row_size_ + i] =
                parent == nullptr ? logits[e] : logits[e] - parent[e];
        }
    }
}

Mixer::Window::Window(const Mixer& mixer)
    : logits_(mixer.n_inputs_ * kSize),
      relative_(mixer.row_size_ * kSize, 0.0f),
      own_(mixer.n_inputs_ * kSize) {}

void Mixer::prefetch(const MixerInputs& inputs, Index decision) const {
    constexpr Index kAhead = 4;  // decisions
    if (decision + kAhead >= inputs.decisions) return;
    for (std::size_t s = 0; s < tables_.size(); ++s) {
        const std::size_t row = state(inputs, s, decision + kAhead) * row_size_;
        for (std::size_t i = 0; i < row_size_; i += 16) {
            ngramstat::prefetch(&tables_[s][row + i]);
            ngramstat::prefetch(&squares_[s][row + i]);
        }
    }
}

double Mixer::train(const MixerInputs& inputs, Index first, Index last, double rate) {
    check(inputs);
    require(first >= 0 && first <= last && last <= inputs.decisions,
            "decisions must lie in the inputs");
    const float step = static_cast<float>(rate);
    const Loops loops;
    // Weights of the padding stay zero, because its inputs, and so its gradients, are zero.
    alignas(32) std::array<float, kMaxInputs> weight{}, own_weight{}, own_square;
    own_square.fill(kInitialSquare);
    Window window(*this);
    std::vector<float*> rows(tables_.size()), squares(tables_.size());
    double loss = 0.0;
    for (Index decision = first; decision < last; ++decision) {
        prefetch(inputs, decision);
        if (!window.holds(decision)) window.load(*this, inputs, decision, last);
        float* relative = window.relative(*this, decision);
        const std::uint32_t* own = window.own(*this, decision);
        // Mix: each input's weight is its own plus those of the selectors' states.
        for (std::size_t i = 0; i < n_inputs_; ++i) {
            own_weight[i] = own_[own[i]];
            own_square[i] = own_squares_[own[i]];
        }
        weight = own_weight;
        for (std::size_t s = 0; s < tables_.size(); ++s) {
            const std::size_t row = state(inputs, s, decision) * row_size_;
            rows[s] = tables_[s].data() + row;
            squares[s] = squares_[s].data() + row;
            loops.add(rows[s], weight.data(), row_size_);
        }
        float logit = 0.0f;
        for (std::size_t i = 0; i < n_inputs_; ++i) logit += weight[i] * relative[i];
        loss += loss_of(static_cast<double>(logit));
        // Update: the gradient by each of the weights that were added is (1 - p) * input.
        const float error = 1.0f / (1.0f + std::exp(logit));
        float* gradient = relative;
        for (std::size_t i = 0; i < n_inputs_; ++i) gradient[i] *= error;
        loops.step(gradient, step, own_weight.data(), own_square.data(), row_size_);
        for (std::size_t i = 0; i < n_inputs_; ++i) {
            own_[own[i]] = own_weight[i];
            own_squares_[own[i]] = own_square[i];
        }
        for (std::size_t s = 0; s < tables_.size(); ++s) {
            loops.step(gradient, step, rows[s], squares[s], row_size_);
        }
    }
    return loss;
}

void Mixer::score(const MixerInputs& inputs, std::span<const Index> decision_offsets,
                  std::span<double> losses) const {
    check(inputs);
    require(decision_offsets.size() == losses.size() + 1 && decision_offsets.front() >= 0 &&
                decision_offsets.back() <= inputs.decisions,
            "one decision offset per target, and an end");
    require(std::is_sorted(decision_offsets.begin(), decision_offsets.end()),
            "decision offsets must ascend");
    const Loops loops;
    alignas(32) std::array<float, kMaxInputs> weight{};
    Window window(*this);
    for (std::size_t t = 0; t < losses.size(); ++t) {
        double loss = 0.0;
        for (Index decision = decision_offsets[t]; decision < decision_offsets[t + 1]; ++decision) {
            if (!window.holds(decision))
                window.load(*this, inputs, decision, decision_offsets.back());
            const float* relative = window.relative(*this, decision);
            const std::uint32_t* own = window.own(*this, decision);
            for (std::size_t i = 0; i < n_inputs_; ++i) weight[i] = own_[own[i]];
            for (std::size_t s = 0; s < tables_.size(); ++s) {
                loops.add(tables_[s].data() + state(inputs, s, decision) * row_size_, weight.data(),
                          row_size_);
            }
            float logit = 0.0f;
            for (std::size_t i = 0; i < n_inputs_; ++i) logit += weight[i] * relative[i];
            loss += loss_of(static_cast<double>(logit));
        }
        losses[t] = loss;
    }
}

std::vector<std::span<const float>> Mixer::weights() const {
    std::vector<std::span<const float>> out{own_};
    out.insert(out.end(), tables_.begin(), tables_.end());
    return out;
}

void Mixer::set_weights(std::span<const std::span<const float>> weights) {
    require(weights.size() == 1 + tables_.size(), "own weights, and those of each selector");
    std::vector<std::vector<float>*> places{&own_};
    for (auto& table : tables_) places.push_back(&table);
    for (std::size_t i = 0; i < places.size(); ++i) {
        require(weights[i].size() == places[i]->size(), "weights of a mixer with other sizes");
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
        std::copy(weights[i].begin(), weights[i].end(), places[i]->begin());
    }
}

}  // namespace ngramstat
