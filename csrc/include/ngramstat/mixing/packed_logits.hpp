// The estimate of one pattern at one binary decision in 16 bits: the logit ln(p / (1 - p)) of the
// branch taken, as a multiple of kLogitUnit within +-16, and below it kBucketBits bits that say how
// much the pattern has seen there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

inline constexpr int kBucketBits = 5;
inline constexpr int kBuckets = 1 << kBucketBits;
inline constexpr double kLogitUnit = 1.0 / 64.0;

inline float unpack_logit(std::uint16_t packed) {
    return static_cast<float>(kLogitUnit) *
           static_cast<float>(static_cast<std::int16_t>(packed) >> kBucketBits);
}
inline std::uint32_t unpack_bucket(std::uint16_t packed) { return packed % kBuckets; }

// Size classes of a node's count, 1 .. 15: the largest count of each but the last.
inline constexpr std::array<float, 14> kLastOfClass{1,  2,  3,   5,   8,    12,   20,
                                                    36, 70, 150, 400, 1500, 8000, 60000};

// The bucket of a node, from the counts of its two branches: 0 where the context was never seen,
// else 1 .. 15 by the size of the sum, plus 16 where one branch is unseen. A context that was seen,
// but not at this node, is bucket 16.
inline std::int32_t count_bucket(float taken, float sibling, bool context_seen) {
    const float n = taken + sibling;
    std::int32_t bucket = 1;
    for (const float last : kLastOfClass) bucket += n > last;
    bucket = n == 0.0f ? 0 : bucket;
    const bool one_branch = taken == 0.0f || sibling == 0.0f;
    return bucket + (context_seen && one_branch ? kBuckets / 2 : 0);
}

// What patterns that fall back on another need of it at a decision: the logit of the branch taken
// by its continuation counts, as a multiple of kFallbackUnit within +-16. The probability of a
// subtree is the product of those on the path to it.
inline constexpr double kFallbackUnit = 1.0 / 2048.0;
inline constexpr std::int32_t kMaxFallback = 32735;  // what rounds to the largest packed logit

// A fallback logit, rounded to the unit of packed logits (away from zero at the middle, so that
// those of a branch and its sibling stay opposites), with a bucket.
inline std::int32_t pack_logit(std::int32_t fallback_logit, std::int32_t bucket) {
    static_assert(kLogitUnit == 32 * kFallbackUnit && kBuckets == 32);
    return ((fallback_logit + 15 + (fallback_logit >= 0)) & ~31) | bucket;
}

}  // namespace ngramstat
