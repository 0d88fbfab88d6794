#include "ngramstat/mixing/packed_logits.hpp"

#include <algorithm>
#include <bit>

#include "ngramstat/base/simd.hpp"

namespace ngramstat {

namespace {

// ln(odds[k]) by the atanh series about the nearest power of two, without a call. Operations are
// element by element and in one order whatever the vector width, so that the bits are the same.
struct Pack {
    template <int>
    static void run(const float* odds, const std::int32_t* buckets, std::int32_t* packed_logits,
                    std::size_t n) {
        constexpr std::int32_t kLargest = (1 << (15 - kBucketBits)) - 1;
        constexpr std::int32_t kHalf = 0x3f3504f3;                    // sqrt(1/2)
        constexpr std::int32_t kMin = 0x322bcc77, kMax = 0x4cbebc20;  // 1e-8, 1e8
        n = n / kPackedVector * kPackedVector;
        for (std::size_t k = 0; k < n; ++k) {
            // The bits of positive floats sort like the floats; infinity and NaN come last.
            const std::int32_t x = std::bit_cast<std::int32_t>(odds[k]);
            const std::int32_t bits = std::clamp(x, kMin, kMax) - kHalf;
            const float power = static_cast<float>(bits >> 23);
            const float m = std::bit_cast<float>((bits & 0x7fffff) + kHalf);
            const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
            const float tail = s2 * (2.0f / 5 + s2 * (2.0f / 7 + s2 * (2.0f / 9)));
            const float series = s * (2.0f + s2 * (2.0f / 3 + tail));
            const float value =
                (power * 0.693147181f + series) * static_cast<float>(1.0 / kLogitUnit);
            // Rounded to nearest: the low bits of the float 1.5 * 2^23 + value are the integer.
            const std::int32_t logit =
                std::bit_cast<std::int32_t>(value + 12582912.0f) - 0x4b400000;
            packed_logits[k] =
                std::clamp(logit, -kLargest, kLargest) * (1 << kBucketBits) + buckets[k];
        }
    }
};

}  // namespace

PackLogits pack_logits_function() { return built_for_level<Pack>(SimdLevel::avx2); }

}  // namespace ngramstat
