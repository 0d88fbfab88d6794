// The estimate of one pattern at one binary decision in 16 bits: the logit ln(p / (1 - p)) of the
// branch taken, as a multiple of kLogitUnit within +-16, and below it kBucketBits bits that say how
// much the pattern has seen there.
#pragma once

#include <algorithm>
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

// Size class of a node's count: 1 .. 15.
inline constexpr std::uint8_t size_class(Count n) {
    constexpr std::array<Count, 14> kLast{1,  2,  3,   5,   8,    12,   20,
                                          36, 70, 150, 400, 1500, 8000, 60000};
    return static_cast<std::uint8_t>(
        1 + (std::lower_bound(kLast.begin(), kLast.end(), n) - kLast.begin()));
}

inline constexpr auto kSizeClasses = [] {
    std::array<std::uint8_t, 512> classes{};
    for (std::size_t n = 0; n < classes.size(); ++n) classes[n] = size_class(n);
    return classes;
}();

// The bucket of a node, from the counts of its two branches: 0 where the context was never seen,
// else 1 .. 15 by the size of the sum, plus 16 where one branch is unseen. A context that was seen,
// but not at this node, is bucket 16.
inline std::uint8_t count_bucket(Count taken, Count sibling, bool context_seen) {
    const Count n = taken + sibling;
    if (n == 0) return context_seen ? kBuckets / 2 : 0;
    const std::uint8_t size = n < kSizeClasses.size() ? kSizeClasses[n] : size_class(n);
    return static_cast<std::uint8_t>(size + (taken == 0 || sibling == 0 ? kBuckets / 2 : 0));
}

// Packs n decisions from their odds p / (1 - p) and buckets; n must be a multiple of kPackedVector,
// and each result is in the low 16 bits. The logarithm is exact to a few 1e-7, far below
// kLogitUnit. Results are bit-identical over instruction sets.
inline constexpr std::size_t kPackedVector = 8;
using PackLogits = void (*)(const float* odds, const std::int32_t* buckets,
                            std::int32_t* packed_logits, std::size_t n);
PackLogits pack_logits_function();

}  // namespace ngramstat
