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

struct Probabilities {
    template <int>
    static void run(const std::int16_t* logits, std::size_t decisions, Branches& out) {
        float* NGRAMSTAT_RESTRICT taken = out.taken.data();
        float* NGRAMSTAT_RESTRICT sibling = out.sibling.data();
        for (std::size_t k = 0; k < decisions; ++k) {
            const float z = static_cast<float>(kFallbackUnit) * static_cast<float>(logits[k]);
            // Of the likelier and of the other branch.
            const float e = exponential(z > 0 ? -z : z);
            const float likelier = 1.0f / (1.0f + e), other = e * likelier;
            taken[k] = z > 0 ? likelier : other;
            sibling[k] = z > 0 ? other : likelier;
        }
    }
};

// The logit of odds, in units of fallback logits.
inline std::int32_t fallback_logit(float odds) {
    const std::int32_t logit = nearest(logarithm(odds) * static_cast<float>(1.0 / kFallbackUnit));
    return std::min(std::max(logit, -kMaxFallback), kMaxFallback);
}

struct Logits {
    template <int>
    static void run(const PathSums& sums, const Freed& freed, bool seen, std::size_t decisions,
                    std::uint16_t* NGRAMSTAT_RESTRICT packed_logits,
                    std::int16_t* NGRAMSTAT_RESTRICT fallback_logits) {
        const auto of = [](const Branches& branches) {
            return std::array{branches.taken.data(), branches.sibling.data()};
        };
        const auto [count_taken, count_sibling] = of(sums.count);
        const auto [raw_taken, raw_sibling] = of(sums.raw);
        const auto [continuation_taken, continuation_sibling] = of(sums.continuation);
        const auto [parent_taken, parent_sibling] = of(sums.parent);
        const std::size_t n = (decisions + kPathVector - 1) / kPathVector * kPathVector;
        for (std::size_t k = 0; k < n; ++k) {
            const std::int32_t bucket = count_bucket(count_taken[k], count_sibling[k], seen);
            const float odds = (raw_taken[k] + freed.raw * parent_taken[k]) /
                               (raw_sibling[k] + freed.raw * parent_sibling[k]);
            packed_logits[k] = static_cast<std::uint16_t>(pack_logit(fallback_logit(odds), bucket));
        }
        for (std::size_t k = 0; k < n; ++k) {
            const float odds = (continuation_taken[k] + freed.continuation * parent_taken[k]) /
                               (continuation_sibling[k] + freed.continuation * parent_sibling[k]);
            fallback_logits[k] = static_cast<std::int16_t>(fallback_logit(odds));
        }
    }
};

struct Unseen {
    template <int>
    static void run(const std::int16_t* NGRAMSTAT_RESTRICT parent_logits, std::size_t decisions,
                    std::uint16_t* NGRAMSTAT_RESTRICT packed_logits) {
        for (std::size_t k = 0; k < decisions; ++k) {
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
