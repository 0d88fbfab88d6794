#include "branch_sums.hpp"

#include <algorithm>
#include <array>

#include "elementary.hpp"
#include "ngramstat/base/simd.hpp"
#include "ngramstat/mixing/packed_logits.hpp"

namespace ngramstat {

namespace {

#if defined(__GNUC__) || defined(__clang__)
#define NGRAMSTAT_RESTRICT __restrict__
// The decisions of a vector, in registers.
typedef float Lanes __attribute__((vector_size(4 * kPathVector), aligned(4), may_alias));
typedef std::int32_t IntLanes __attribute__((vector_size(4 * kPathVector), aligned(4), may_alias));

// sum += value where mask is set.
inline void add_where(const IntLanes& mask, float value, Lanes& sum) {
    const Lanes values = Lanes{} + value;
    const IntLanes kept = reinterpret_cast<const IntLanes&>(values) & mask;
    sum += reinterpret_cast<const Lanes&>(kept);
}
#else
#define NGRAMSTAT_RESTRICT
struct IntLanes {
    std::array<std::int32_t, kPathVector> of{};
    IntLanes& operator+=(std::int32_t x) {
        for (auto& value : of) value += x;
        return *this;
    }
};
struct Lanes {
    std::array<float, kPathVector> of{};
};
inline IntLanes operator<(const IntLanes& a, std::int32_t b) {
    IntLanes out;
    for (std::size_t k = 0; k < kPathVector; ++k) out.of[k] = a.of[k] < b ? -1 : 0;
    return out;
}
inline IntLanes operator==(const IntLanes& a, std::int32_t b) {
    IntLanes out;
    for (std::size_t k = 0; k < kPathVector; ++k) out.of[k] = a.of[k] == b ? -1 : 0;
    return out;
}
inline void add_where(const IntLanes& mask, float value, Lanes& sum) {
    for (std::size_t k = 0; k < kPathVector; ++k) sum.of[k] += mask.of[k] != 0 ? value : 0.0f;
}
#endif

struct AddFollowers {
    template <int>
    static void run(const Followers& followers, std::size_t n, std::size_t decisions,
                    PathSums& sums) {
        const std::int32_t* NGRAMSTAT_RESTRICT depth = followers.depth.data();
        const float* NGRAMSTAT_RESTRICT count = followers.count.data();
        const float* NGRAMSTAT_RESTRICT raw = followers.raw.data();
        const float* NGRAMSTAT_RESTRICT continuation = followers.continuation.data();
        IntLanes level{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        for (std::size_t k = 0; k < decisions; k += kPathVector) {
            Lanes of[6] = {};
            for (std::size_t j = 0; j < n; ++j) {
                const IntLanes taken = level < depth[j], sibling = level == depth[j];
                add_where(taken, count[j], of[0]);
                add_where(sibling, count[j], of[1]);
                add_where(taken, raw[j], of[2]);
                add_where(sibling, raw[j], of[3]);
                add_where(taken, continuation[j], of[4]);
                add_where(sibling, continuation[j], of[5]);
            }
            const auto store = [k](const Lanes& from, std::vector<float>& to) {
                *reinterpret_cast<Lanes*>(&to[k]) = from;
            };
            store(of[0], sums.count.taken);
            store(of[1], sums.count.sibling);
            store(of[2], sums.raw.taken);
            store(of[3], sums.raw.sibling);
            store(of[4], sums.continuation.taken);
            store(of[5], sums.continuation.sibling);
            level += static_cast<std::int32_t>(kPathVector);
        }
    }
};

// Loops over whole vectors, without conditional code: compilers turn them into vector instructions.
inline std::size_t whole_vectors(std::size_t decisions) {
    return (decisions + kPathVector - 1) / kPathVector * kPathVector;
}

struct Probabilities {
    template <int>
    static void run(const std::int16_t* NGRAMSTAT_RESTRICT logits, std::size_t decisions,
                    float* NGRAMSTAT_RESTRICT taken, float* NGRAMSTAT_RESTRICT sibling) {
        const std::size_t n = whole_vectors(decisions);
        for (std::size_t k = 0; k < n; ++k) {
            const float z = static_cast<float>(kFallbackUnit) * static_cast<float>(logits[k]);
            // Of the likelier and of the other branch.
            const float e = exponential(-std::max(z, -z));
            const float likelier = 1.0f / (1.0f + e), other = e * likelier;
            taken[k] = z > 0 ? likelier : other;
            sibling[k] = z > 0 ? other : likelier;
        }
    }
};

// Logits of odds, in units of fallback logits, of interpolated sums.
inline void fallback_logits_of(const float* NGRAMSTAT_RESTRICT taken,
                               const float* NGRAMSTAT_RESTRICT sibling,
                               const float* NGRAMSTAT_RESTRICT parent_taken,
                               const float* NGRAMSTAT_RESTRICT parent_sibling, float freed,
                               std::size_t n, std::int32_t* NGRAMSTAT_RESTRICT out) {
    for (std::size_t k = 0; k < n; ++k) {
        const float odds =
            (taken[k] + freed * parent_taken[k]) / (sibling[k] + freed * parent_sibling[k]);
        const std::int32_t logit =
            nearest(logarithm(odds) * static_cast<float>(1.0 / kFallbackUnit));
        out[k] = std::min(std::max(logit, -kMaxFallback), kMaxFallback);
    }
}

inline void buckets_of(const float* NGRAMSTAT_RESTRICT taken,
                       const float* NGRAMSTAT_RESTRICT sibling, bool seen, std::size_t n,
                       std::int32_t* NGRAMSTAT_RESTRICT out) {
    for (std::size_t k = 0; k < n; ++k) out[k] = count_bucket(taken[k], sibling[k], seen);
}

struct Logits {
    template <int>
    static void run(const PathSums& sums, const Freed& freed, bool seen, std::size_t decisions,
                    std::int32_t* NGRAMSTAT_RESTRICT scratch,
                    std::uint16_t* NGRAMSTAT_RESTRICT packed_logits,
                    std::int16_t* NGRAMSTAT_RESTRICT fallback_logits) {
        const std::size_t n = whole_vectors(decisions);
        std::int32_t* NGRAMSTAT_RESTRICT logits = scratch;
        std::int32_t* NGRAMSTAT_RESTRICT buckets = scratch + n;
        const Branches& parent = sums.parent;
        buckets_of(sums.count.taken.data(), sums.count.sibling.data(), seen, n, buckets);
        fallback_logits_of(sums.raw.taken.data(), sums.raw.sibling.data(), parent.taken.data(),
                           parent.sibling.data(), freed.raw, n, logits);
        for (std::size_t k = 0; k < n; ++k) {
            packed_logits[k] = static_cast<std::uint16_t>(pack_logit(logits[k], buckets[k]));
        }
        if (fallback_logits == nullptr) return;
        fallback_logits_of(sums.continuation.taken.data(), sums.continuation.sibling.data(),
                           parent.taken.data(), parent.sibling.data(), freed.continuation, n,
                           logits);
        for (std::size_t k = 0; k < n; ++k) {
            fallback_logits[k] = static_cast<std::int16_t>(logits[k]);
        }
    }
};

struct Unseen {
    template <int>
    static void run(const std::int16_t* NGRAMSTAT_RESTRICT parent_logits, std::size_t decisions,
                    std::uint16_t* NGRAMSTAT_RESTRICT packed_logits) {
        const std::size_t n = whole_vectors(decisions);
        for (std::size_t k = 0; k < n; ++k) {
            packed_logits[k] = static_cast<std::uint16_t>(pack_logit(parent_logits[k], 0));
        }
    }
};
#undef NGRAMSTAT_RESTRICT

}  // namespace

PathLoops path_loops() {
    return {built_for_level<AddFollowers>(), built_for_level<Probabilities>(),
            built_for_level<Logits>(), built_for_level<Unseen>()};
}

}  // namespace ngramstat
