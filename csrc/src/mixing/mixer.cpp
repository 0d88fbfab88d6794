#include "ngramstat/mixing/mixer.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "elementary.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/base/simd.hpp"
#include "ngramstat/base/vector_block.hpp"
#include "ngramstat/mixing/packed_logits.hpp"

namespace ngramstat {

namespace {

constexpr std::size_t kVector = 16;  // rows of weights are padded to whole vectors
constexpr std::size_t kMixers = MixerGroup::kMaxMixers;
constexpr std::size_t kWindow = 64;      // decisions read at a time
constexpr float kInitialSquare = 1e-2f;  // sum of squared gradients that a weight starts with
constexpr std::size_t kMaxTables = 3;
// Less half of the bits of x, the bits of about 1 / sqrt(x), within 3.5 %: the bits of a float are
// nearly its logarithm. The size of a step of AdaGrad needs no more.
constexpr std::int32_t kInverseRoot = 0x5f37642f;

#if defined(__GNUC__) || defined(__clang__)
#define NGRAMSTAT_RESTRICT __restrict__
#else
#define NGRAMSTAT_RESTRICT
#endif

// A class of how often a context was seen, by bucket: never, a few times, ... often.
constexpr std::array<std::uint8_t, kBuckets> kSeenClass = [] {
    std::array<std::uint8_t, kBuckets> classes{};
    constexpr std::array<int, 5> kFirst{0, 1, 3, 6, 10};
    for (int b = 0; b < kBuckets; ++b) {
        for (int k = 0; k < 5; ++k) {
            if (b % (kBuckets / 2) >= kFirst[k]) classes[b] = static_cast<std::uint8_t>(k);
        }
    }
    return classes;
}();

// The functions below are element by element and in one order whatever the vector width, so that
// results are the same bits at every instruction set.

inline float clipped(float logit) { return std::min(std::max(logit, -80.0f), 80.0f); }

// -ln of the logistic function.
inline float loss_of(float logit) {
    const float z = clipped(logit);
    const float u = exponential(z > 0 ? -z : z);
    // ln(1 + u) = 2 atanh(u / (2 + u)), by its series.
    const float s = u / (2.0f + u), s2 = s * s;
    float p = 2.0f / 15;
    p = p * s2 + 2.0f / 13;
    p = p * s2 + 2.0f / 11;
    p = p * s2 + 2.0f / 9;
    p = p * s2 + 2.0f / 7;
    p = p * s2 + 2.0f / 5;
    p = p * s2 + 2.0f / 3;
    const float log1p = s * (2.0f + s2 * p);
    return (z > 0 ? 0.0f : -z) + log1p;
}

struct Losses {
    template <int>
    static void run(const float* NGRAMSTAT_RESTRICT logits, float* NGRAMSTAT_RESTRICT losses) {
        for (std::size_t e = 0; e < kWindow; ++e) losses[e] = loss_of(logits[e]);
    }
};

// The decisions of a window: (decisions, stride).
struct WindowRows {
    const float* relative;
    const std::uint16_t* own;  // which own weights: bucket * stride + input
    std::size_t stride, decisions;
    std::size_t inputs;  // of a row, in whole fours; the rest of it is padding
};

// The tables of one mixer in a window.
struct TableRows {
    std::size_t blocks, n_tables;  // vectors of a row
    std::array<float*, kMaxTables> tables;
    std::array<std::uint32_t, kMaxTables * kWindow> places;  // of the decisions' rows
    alignas(64) std::array<float, MixerGroup::kMaxInputs> is_input;

    float* row(std::size_t table, std::size_t e) const {
        return tables[table] + places[table * kWindow + e];
    }
};

using Lanes = std::array<float, kMixers>;

#if defined(__GNUC__) || defined(__clang__)
// A value of all mixers, in registers.
typedef float Vector __attribute__((vector_size(4 * kMixers), aligned(4), may_alias));
typedef std::int32_t IntVector __attribute__((vector_size(4 * kMixers), aligned(4), may_alias));
typedef float HalfVector __attribute__((vector_size(2 * kMixers), aligned(4), may_alias));

// 1 / (1 + e^z) of the logits z of all mixers: what is left to learn.
inline void errors_of(float* logits) {
    Vector& z = *reinterpret_cast<Vector*>(logits);
    // Aligned: Clang takes a template's vectors for aligned ones, whatever their type says.
    using Register = VectorOf<float, 4 * kMixers>::Aligned;
    const Register low = z < -80.0f ? Register{} - 80.0f : z;
    Register exponentials = low > 80.0f ? Register{} + 80.0f : low;
    replace_by_exponential<Register, decltype(low < low)>(exponentials);
    z = 1.0f / (1.0f + exponentials);
}

// The sum of kVector elements: halves are added until one is left.
inline float sum(const float* values) {
    static_assert(kVector == 2 * kMixers);
    const auto* eights = reinterpret_cast<const Vector*>(values);
    const Vector eight = eights[0] + eights[1];
    const auto* fours = reinterpret_cast<const HalfVector*>(&eight);
    const HalfVector four = fours[0] + fours[1];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

// A step of AdaGrad for kVector weights.
template <int kBytes>
inline void learn_block(const float* gradient, float rate, float* weight, float* square) {
    using Register = typename VectorOf<float, kBytes>::Aligned;
    using Unaligned = typename VectorOf<float, kBytes>::Unaligned;
    using Ints = decltype(Register{} < Register{});
    constexpr std::size_t kSize = kBytes / sizeof(float);
    for (std::size_t i = 0; i < kVector; i += kSize) {
        const Register g = *reinterpret_cast<const Unaligned*>(gradient + i);
        auto& s = *reinterpret_cast<Unaligned*>(square + i);
        auto& w = *reinterpret_cast<Unaligned*>(weight + i);
        const Register squares = s + g * g;
        Ints bits;
        std::memcpy(&bits, &squares, sizeof(Ints));
        bits = kInverseRoot - (bits >> 1);
        Register inverse_roots;
        std::memcpy(&inverse_roots, &bits, sizeof(Ints));
        s = squares;
        w += rate * g * inverse_roots;
    }
}
// What the own weights add to the logits of all mixers.
inline void own_logits(const WindowRows& window, std::size_t e, const float* own, float* logits) {
    const float* relative = window.relative + e * window.stride;
    const std::uint16_t* places = window.own + e * window.stride;
    const auto add = [&](std::size_t i, Vector& sum) {
        sum += *reinterpret_cast<const Vector*>(own + places[i] * (2 * kMixers)) * relative[i];
    };
    // Four sums, so that additions need not wait for each other.
    Vector a{}, b{}, c{}, d{};
    for (std::size_t i = 0; i < window.inputs; i += 4) {
        add(i, a);
        add(i + 1, b);
        add(i + 2, c);
        add(i + 3, d);
    }
    *reinterpret_cast<Vector*>(logits) = (a + b) + (c + d);
}

inline void own_step(const WindowRows& window, std::size_t e, const float* is_input,
                     const float* errors, const float* rates, float* own) {
    const float* relative = window.relative + e * window.stride;
    const std::uint16_t* places = window.own + e * window.stride;
    const Vector error = *reinterpret_cast<const Vector*>(errors);
    const Vector rate = *reinterpret_cast<const Vector*>(rates);
    for (std::size_t i = 0; i < window.inputs; ++i) {
        Vector* weight = reinterpret_cast<Vector*>(own + places[i] * (2 * kMixers));
        const Vector mask = *reinterpret_cast<const Vector*>(is_input + i * kMixers);
        const Vector gradient = relative[i] * (error * mask);
        const Vector square = weight[1] + gradient * gradient;
        const IntVector guess = kInverseRoot - (reinterpret_cast<const IntVector&>(square) >> 1);
        weight[1] = square;
        weight[0] += rate * gradient * reinterpret_cast<const Vector&>(guess);
    }
}
#else
inline float inverse_root(float x) {
    return std::bit_cast<float>(kInverseRoot - (std::bit_cast<std::int32_t>(x) >> 1));
}

// A step of AdaGrad.
inline void learn(float gradient, float rate, float& weight, float& square) {
    square += gradient * gradient;
    weight += rate * gradient * inverse_root(square);
}

inline void errors_of(float* logits) {
    for (std::size_t m = 0; m < kMixers; ++m) {
        logits[m] = 1.0f / (1.0f + exponential(clipped(logits[m])));
    }
}

inline float sum(const float* values) {
    std::array<float, kVector> halves;
    std::copy_n(values, kVector, halves.begin());
    for (std::size_t n = kVector / 2; n > 0; n /= 2) {
        for (std::size_t i = 0; i < n; ++i) halves[i] += halves[i + n];
    }
    return halves[0];
}

template <int>
inline void learn_block(const float* gradient, float rate, float* weight, float* square) {
    for (std::size_t i = 0; i < kVector; ++i) learn(gradient[i], rate, weight[i], square[i]);
}

inline void own_logits(const WindowRows& window, std::size_t e, const float* own, float* logits) {
    const float* relative = window.relative + e * window.stride;
    const std::uint16_t* places = window.own + e * window.stride;
    std::array<Lanes, 4> sums{};
    for (std::size_t i = 0; i < window.inputs; ++i) {
        const float* weight = own + places[i] * (2 * kMixers);
        for (std::size_t m = 0; m < kMixers; ++m) sums[i % 4][m] += weight[m] * relative[i];
    }
    for (std::size_t m = 0; m < kMixers; ++m) {
        logits[m] = (sums[0][m] + sums[1][m]) + (sums[2][m] + sums[3][m]);
    }
}

inline void own_step(const WindowRows& window, std::size_t e, const float* is_input,
                     const float* errors, const float* rates, float* own) {
    const float* relative = window.relative + e * window.stride;
    const std::uint16_t* places = window.own + e * window.stride;
    for (std::size_t i = 0; i < window.inputs; ++i) {
        float* weight = own + places[i] * (2 * kMixers);
        for (std::size_t m = 0; m < kMixers; ++m) {
            learn(relative[i] * (errors[m] * is_input[i * kMixers + m]), rates[m], weight[m],
                  weight[kMixers + m]);
        }
    }
}
#endif

// What the tables add to a mixer's logit, and a step of them; for registers of so many bytes.
template <int kBytes, std::size_t kBlocks, std::size_t kTables>
struct OfShape {
    using Block = VectorBlock<kBytes, float>;

    static float logit(const float* relative, const TableRows& mixer, std::size_t e) {
        Block sums;
        for (std::size_t b = 0; b < kBlocks; ++b) {
            Block weight, input;
            weight.load(mixer.row(0, e) + b * kVector);
            for (std::size_t t = 1; t < kTables; ++t) {
                Block more;
                more.load(mixer.row(t, e) + b * kVector);
                weight.add(more);
            }
            input.load(relative + b * kVector);
            if (b > 0) {
                sums.add_product(weight, input);
            } else {
                weight.multiply_by(input);
                sums = weight;
            }
        }
        alignas(64) std::array<float, kVector> values;
        sums.store(values.data());
        return sum(values.data());
    }

    // The gradient by each of the weights that were added is error * input.
    static void step(const float* relative, TableRows& mixer, std::size_t e, float error,
                     float rate) {
        for (std::size_t b = 0; b < kBlocks; ++b) {
            alignas(64) std::array<float, kVector> gradient;
            for (std::size_t i = 0; i < kVector; ++i) {
                const std::size_t input = b * kVector + i;
                gradient[i] = relative[input] * (error * mixer.is_input[input]);
            }
            for (std::size_t t = 0; t < kTables; ++t) {
                float* weight = mixer.row(t, e) + b * kVector;
                learn_block<kBytes>(gradient.data(), rate, weight, weight + kBlocks * kVector);
            }
        }
    }
};

// Calls visit(OfShape<...>) for the shape of a mixer.
template <int kBytes, class Visit>
inline void for_shape(const TableRows& mixer, Visit&& visit) {
    switch (mixer.blocks * kMaxTables + mixer.n_tables - 1) {
        case 3:
            return visit(OfShape<kBytes, 1, 1>{});
        case 4:
            return visit(OfShape<kBytes, 1, 2>{});
        case 5:
            return visit(OfShape<kBytes, 1, 3>{});
        case 6:
            return visit(OfShape<kBytes, 2, 1>{});
        case 7:
            return visit(OfShape<kBytes, 2, 2>{});
        case 8:
            return visit(OfShape<kBytes, 2, 3>{});
        case 9:
            return visit(OfShape<kBytes, 3, 1>{});
        case 10:
            return visit(OfShape<kBytes, 3, 2>{});
        case 11:
            return visit(OfShape<kBytes, 3, 3>{});
        case 12:
            return visit(OfShape<kBytes, 4, 1>{});
        case 13:
            return visit(OfShape<kBytes, 4, 2>{});
        default:
            return visit(OfShape<kBytes, 4, 3>{});
    }
}

// Logits of all decisions of a window by all mixers, (mixers, kWindow); where they learn, of every
// decision before it was learned from. All mixers take a decision together: each waits for its own
// last step, and meanwhile the processor works on the others.
template <bool kLearn>
struct Mix {
    template <int kBytes>
    static void run(const WindowRows& window, std::span<TableRows> mixers, const float* is_input,
                    const float* rates, float* own, float* logits) {
        alignas(64) Lanes values, rate{};
        std::copy_n(rates, mixers.size(), rate.begin());
        for (std::size_t e = 0; e < window.decisions; ++e) {
            const float* relative = window.relative + e * window.stride;
            own_logits(window, e, own, values.data());
            for (std::size_t m = 0; m < mixers.size(); ++m) {
                for_shape<kBytes>(mixers[m], [&](auto shape) {
                    values[m] += shape.logit(relative, mixers[m], e);
                });
                logits[m * kWindow + e] = values[m];
            }
            if constexpr (kLearn) {
                errors_of(values.data());
                own_step(window, e, is_input, values.data(), rate.data(), own);
                for (std::size_t m = 0; m < mixers.size(); ++m) {
                    for_shape<kBytes>(mixers[m], [&](auto shape) {
                        shape.step(relative, mixers[m], e, values[m], rate[m]);
                    });
                }
            }
        }
    }
};

// Differences of logits to those of the parents, and buckets, packed like the logits.
struct Relative {
    template <int>
    static void run(const std::uint16_t* NGRAMSTAT_RESTRICT own,
                    const std::uint16_t* NGRAMSTAT_RESTRICT parent,
                    std::uint16_t* NGRAMSTAT_RESTRICT out, std::size_t n) {
        constexpr std::int16_t kLargest = (1 << (15 - kBucketBits)) - 1;
        for (std::size_t e = 0; e < n; ++e) {
            const std::int16_t difference =
                static_cast<std::int16_t>((static_cast<std::int16_t>(own[e]) >> kBucketBits) -
                                          (static_cast<std::int16_t>(parent[e]) >> kBucketBits));
            const std::int16_t clip =
                std::min(std::max(difference, static_cast<std::int16_t>(-kLargest)), kLargest);
            out[e] = static_cast<std::uint16_t>(clip * kBuckets + own[e] % kBuckets);
        }
    }
};

// Rows of one decision: inputs as floats, and where their own weights are.
struct Unpack {
    template <int>
    static void run(const std::uint16_t* NGRAMSTAT_RESTRICT packed,
                    float* NGRAMSTAT_RESTRICT relative, std::uint16_t* NGRAMSTAT_RESTRICT own,
                    std::size_t row_size, std::size_t decisions) {
        for (std::size_t e = 0; e < decisions; ++e) {
            for (std::size_t i = 0; i < row_size; ++i) {
                relative[e * row_size + i] = unpack_logit(packed[e * row_size + i]);
            }
            for (std::size_t i = 0; i < row_size; ++i) {
                own[e * row_size + i] =
                    static_cast<std::uint16_t>(packed[e * row_size + i] % kBuckets * row_size + i);
            }
        }
    }
};
#undef NGRAMSTAT_RESTRICT

std::size_t padded(Index n) {
    return (static_cast<std::size_t>(n) + kVector - 1) / kVector * kVector;
}

}  // namespace

MixerGroup::Table::Table(std::size_t states, std::size_t n)
    : row_size(n), rows(states * 2 * n, 0.0f) {
    for (std::size_t k = 0; k < states; ++k) {
        std::fill_n(rows.begin() + static_cast<std::ptrdiff_t>((2 * k + 1) * n), n, kInitialSquare);
    }
}

MixerGroup::MixerGroup(std::vector<Index> parents, std::span<const double> initial,
                       std::vector<Index> chain, std::vector<Index> selector_sizes,
                       std::span<const MixerShape> shapes)
    : n_inputs_(parents.size()),
      row_size_(padded(static_cast<Index>(n_inputs_))),
      parents_(std::move(parents)),
      chain_(std::move(chain)),
      selector_sizes_(std::move(selector_sizes)),
      own_(kBuckets * row_size_ * 2 * kMixers, 0.0f),
      is_input_(row_size_ * kMixers, 0.0f) {
    const Index n_inputs = static_cast<Index>(n_inputs_);
    require(n_inputs >= 1 && n_inputs <= kMaxInputs, "mixers have 1 .. 64 inputs");
    require(initial.size() == n_inputs_, "one parent and one initial weight per input");
    for (Index i = 0; i < n_inputs; ++i) {
        require(parents_[i] >= -1 && parents_[i] < i, "an input's parent comes before it");
    }
    require(chain_.size() <= 3, "the chain has at most three inputs");
    for (const Index i : chain_) require(i >= 0 && i < n_inputs, "the chain has no such input");
    for (const Index size : selector_sizes_) {
        require(size >= 1 && size <= 65536, "a selector has 1 .. 65536 states");
    }
    require(shapes.size() <= kMixers, "a group has at most 8 mixers");
    for (const MixerShape& shape : shapes) add(shape, initial);
}

// One more mixer, with the initial weights.
void MixerGroup::add(const MixerShape& shape, std::span<const double> initial) {
    require(shape.n_inputs >= 1 && shape.n_inputs <= static_cast<Index>(n_inputs_) &&
                shape.n_chain >= 0 && shape.n_chain <= static_cast<Index>(chain_.size()) &&
                shape.n_selectors >= 0 &&
                shape.n_selectors <= static_cast<Index>(selector_sizes_.size()) &&
                shape.n_selectors < static_cast<Index>(kMaxTables),
            "a mixer has inputs or selectors that the group lacks");
    const std::size_t m = mixers_.size(), row_size = padded(shape.n_inputs);
    for (std::size_t b = 0; b < kBuckets; ++b) {
        for (std::size_t i = 0; i < row_size_; ++i) {
            float& own = own_weight(m, b, i);
            if (static_cast<Index>(i) < shape.n_inputs) own = static_cast<float>(initial[i]);
            *(&own + kMixers) = kInitialSquare;
        }
    }
    const std::size_t n_inputs = static_cast<std::size_t>(shape.n_inputs);
    for (std::size_t i = 0; i < n_inputs; ++i) is_input_[i * kMaxMixers + m] = 1.0f;
    std::size_t seen = 1;
    for (Index k = 0; k < shape.n_chain; ++k) seen *= kSeen;
    mixers_.push_back({shape, {}});
    mixers_.back().tables.emplace_back(seen, row_size);
    for (Index s = 0; s < shape.n_selectors; ++s) {
        mixers_.back().tables.emplace_back(static_cast<std::size_t>(selector_sizes_[s]), row_size);
    }
}

// The inputs, and the states of decisions [first, last).
void MixerGroup::check(const MixerInputs& inputs, Index first, Index last) const {
    require(inputs.decisions >= 0, "decisions must not be negative");
    const std::size_t decisions = static_cast<std::size_t>(inputs.decisions);
    require(inputs.packed_logits.size() == n_inputs_ * decisions,
            "packed_logits must be (n_inputs, decisions)");
    require(inputs.selectors.size() == selector_sizes_.size() * decisions,
            "selectors must be (n_selectors, decisions)");
    require(first >= 0 && first <= last && last <= inputs.decisions,
            "decisions must lie in the inputs");
    for (std::size_t s = 0; s < selector_sizes_.size(); ++s) {
        const std::size_t begin = s * decisions + static_cast<std::size_t>(first);
        const std::size_t n = static_cast<std::size_t>(last - first);
        for (const std::uint16_t value : inputs.selectors.subspan(begin, n)) {
            require(value < selector_sizes_[s], "a selector has no such state");
        }
    }
}

// A run of decisions, transposed: the packed logits lie input by input, and the hardware cannot
// prefetch that many streams at once.
class MixerGroup::Window {
  public:
    explicit Window(const MixerGroup& group)
        : group_(group),
          columns_(group.n_inputs_ * kWindow),
          packed_(group.row_size_ * kWindow, 0),
          own(group.row_size_ * kWindow),
          relative(group.row_size_ * kWindow),
          seen(kWindow * 4, 0) {}

    // Loads the decisions from `first` on, up to `last`.
    void load(const MixerInputs& inputs, Index first, Index last) {
        decisions = static_cast<std::size_t>(last - first);
        const std::size_t n = group_.n_inputs_, row = group_.row_size_;
        const auto of_input = [&](Index i) {
            return inputs.packed_logits.data() + i * inputs.decisions + first;
        };
        for (std::size_t i = 0; i < n; ++i) {
            const Index input = static_cast<Index>(i);
            const Index parent = group_.parents_[i];
            relative_(of_input(input), parent < 0 ? zeros_.data() : of_input(parent),
                      &columns_[i * kWindow], decisions);
        }
        for (std::size_t e = 0; e < decisions; ++e) {
            for (std::size_t i = 0; i < n; ++i) packed_[e * row + i] = columns_[i * kWindow + e];
        }
        unpack_(packed_.data(), relative.data(), own.data(), row, decisions);
        for (std::size_t k = 0; k < group_.chain_.size(); ++k) {
            const std::uint16_t* chain =
                &columns_[static_cast<std::size_t>(group_.chain_[k]) * kWindow];
            for (std::size_t e = 0; e < decisions; ++e) {
                seen[(k + 1) * kWindow + e] = static_cast<std::uint16_t>(
                    seen[k * kWindow + e] * kSeen + kSeenClass[unpack_bucket(chain[e])]);
            }
        }
        selectors.clear();
        for (std::size_t s = 0; s < group_.selector_sizes_.size(); ++s) {
            selectors.push_back(inputs.selectors.data() + static_cast<Index>(s) * inputs.decisions +
                                first);
        }
    }

    std::size_t decisions = 0;

  private:
    const MixerGroup& group_;
    std::vector<std::uint16_t> columns_;  // (n_inputs, kWindow)
    std::vector<std::uint16_t> packed_;   // (kWindow, row_size)
    std::array<std::uint16_t, kWindow> zeros_{};
    BuiltFor<Relative>::Function relative_ = built_for_level<Relative>();
    BuiltFor<Unpack>::Function unpack_ = built_for_level<Unpack>();

  public:
    std::vector<std::uint16_t> own;   // (kWindow, row_size)
    std::vector<float> relative;      // the same
    std::vector<std::uint16_t> seen;  // (4, kWindow): states by the first 0 .. 3 of the chain
    std::vector<const std::uint16_t*> selectors;
};

// Runs the mixers over windows of decisions.
class MixerGroup::Runner {
  public:
    // `rates` by mixer; empty: they do not learn.
    Runner(const MixerGroup& group, std::span<const double> rates)
        : group_(group),
          window_(group),
          rows_(group.mixers_.size()),
          rates_(rates.begin(), rates.end()),
          logits_(group.mixers_.size() * kWindow),
          mix_(rates.empty() ? built_for_level<Mix<false>>() : built_for_level<Mix<true>>()) {
        rates_.resize(kMixers, 0.0f);
        for (std::size_t m = 0; m < rows_.size(); ++m) {
            const Mixer& mixer = group.mixers_[m];
            rows_[m].blocks = mixer.tables[0].row_size / kVector;
            rows_[m].n_tables = mixer.tables.size();
            // Written only where they learn, in train(), which is not const.
            for (std::size_t t = 0; t < mixer.tables.size(); ++t) {
                rows_[m].tables[t] = const_cast<float*>(mixer.tables[t].rows.data());
            }
            rows_[m].is_input.fill(0.0f);
            std::fill_n(rows_[m].is_input.begin(), mixer.shape.n_inputs, 1.0f);
        }
    }

    // Calls visit(mixer, first, losses of the decisions) after every window.
    template <class Visit>
    void run(const MixerInputs& inputs, Index first, Index last, Visit&& visit) {
        for (Index at = first; at < last; at += static_cast<Index>(kWindow)) {
            window_.load(inputs, at, std::min(at + static_cast<Index>(kWindow), last));
            for (std::size_t m = 0; m < rows_.size(); ++m) find_rows(m);
            mix_({window_.relative.data(), window_.own.data(), group_.row_size_, window_.decisions,
                  (group_.n_inputs_ + 3) / 4 * 4},
                 rows_, group_.is_input_.data(), rates_.data(),
                 const_cast<float*>(group_.own_.data()), logits_.data());
            for (std::size_t m = 0; m < rows_.size(); ++m) {
                losses_of_(&logits_[m * kWindow], losses_.data());
                visit(m, at, std::span<const float>(losses_.data(), window_.decisions));
            }
        }
    }

  private:
    void find_rows(std::size_t m) {
        constexpr std::size_t kLarge = 1024;  // states of a table beyond the caches
        const Mixer& mixer = group_.mixers_[m];
        const std::size_t width = 2 * mixer.tables[0].row_size;
        for (std::size_t t = 0; t < mixer.tables.size(); ++t) {
            const std::uint16_t* states =
                t == 0 ? &window_.seen[static_cast<std::size_t>(mixer.shape.n_chain) * kWindow]
                       : window_.selectors[t - 1];
            const bool large = mixer.tables[t].states() > kLarge;
            for (std::size_t e = 0; e < window_.decisions; ++e) {
                const std::size_t place = states[e] * width;
                rows_[m].places[t * kWindow + e] = static_cast<std::uint32_t>(place);
                if (!large) continue;
                for (std::size_t i = 0; i < width; i += 16) {
                    prefetch(rows_[m].tables[t] + place + i);
                }
            }
        }
    }

    const MixerGroup& group_;
    Window window_;
    std::vector<TableRows> rows_;
    std::vector<float> rates_;   // (kMixers)
    std::vector<float> logits_;  // (mixers, kWindow)
    alignas(64) std::array<float, kWindow> losses_{};
    BuiltFor<Mix<false>>::Function mix_;
    BuiltFor<Losses>::Function losses_of_ = built_for_level<Losses>();
};

std::vector<double> MixerGroup::train(const MixerInputs& inputs, Index first, Index last,
                                      std::span<const double> rates) {
    check(inputs, first, last);
    require(rates.size() == mixers_.size(), "one rate per mixer");
    std::vector<double> losses(mixers_.size(), 0.0);
    Runner(*this, rates)
        .run(inputs, first, last, [&](std::size_t m, Index, std::span<const float> of_window) {
            for (const float loss : of_window) losses[m] += static_cast<double>(loss);
        });
    return losses;
}

void MixerGroup::score(const MixerInputs& inputs, std::span<const Index> decision_offsets,
                       std::span<double> losses) const {
    require(!decision_offsets.empty(), "one decision offset per target, and an end");
    check(inputs, decision_offsets.front(), decision_offsets.back());
    require(std::is_sorted(decision_offsets.begin(), decision_offsets.end()),
            "decision offsets must ascend");
    const std::size_t n = decision_offsets.size() - 1;
    require(losses.size() == n * mixers_.size(), "losses must be (mixers, targets)");
    std::fill(losses.begin(), losses.end(), 0.0);
    std::vector<std::size_t> target(mixers_.size(), 0);
    Runner(*this, {}).run(
        inputs, decision_offsets.front(), decision_offsets.back(),
        [&](std::size_t m, Index at, std::span<const float> of_window) {
            for (std::size_t e = 0; e < of_window.size(); ++e) {
                while (at + static_cast<Index>(e) >= decision_offsets[target[m] + 1]) ++target[m];
                losses[m * n + target[m]] += static_cast<double>(of_window[e]);
            }
        });
}

std::vector<std::vector<float>> MixerGroup::weights(Index mixer) const {
    require(mixer >= 0 && mixer < size(), "there is no such mixer");
    const std::size_t m = static_cast<std::size_t>(mixer);
    const std::size_t n = static_cast<std::size_t>(mixers_[m].shape.n_inputs);
    std::vector<std::vector<float>> out(1);
    for (std::size_t b = 0; b < kBuckets; ++b) {
        for (std::size_t i = 0; i < n; ++i) {
            out[0].push_back(own_[(b * row_size_ + i) * 2 * kMixers + m]);
        }
    }
    for (const Table& table : mixers_[m].tables) {
        out.emplace_back();
        for (std::size_t k = 0; k < table.states(); ++k) {
            const float* row = &table.rows[2 * k * table.row_size];
            out.back().insert(out.back().end(), row, row + n);
        }
    }
    return out;
}

void MixerGroup::set_weights(Index mixer, std::span<const std::span<const float>> weights) {
    require(mixer >= 0 && mixer < size(), "there is no such mixer");
    const std::size_t m = static_cast<std::size_t>(mixer);
    const std::size_t n = static_cast<std::size_t>(mixers_[m].shape.n_inputs);
    std::vector<Table>& tables = mixers_[m].tables;
    require(weights.size() == 1 + tables.size(), "own weights, and those of each selector");
    require(weights[0].size() == kBuckets * n, "weights of a mixer with other sizes");
    for (std::size_t t = 0; t < tables.size(); ++t) {
        require(weights[t + 1].size() == tables[t].states() * n,
                "weights of a mixer with other sizes");
    }
    for (std::size_t k = 0; k < weights[0].size(); ++k) {
        own_weight(m, k / n, k % n) = weights[0][k];
    }
    for (std::size_t t = 0; t < tables.size(); ++t) {
        for (std::size_t k = 0; k < tables[t].states(); ++k) {
            std::copy_n(
                weights[t + 1].begin() + static_cast<std::ptrdiff_t>(k * n), n,
                tables[t].rows.begin() + static_cast<std::ptrdiff_t>(2 * k * tables[t].row_size));
        }
    }
}

}  // namespace ngramstat
