// Exponential and logarithm in single precision, for loops over vectors: element by element and in
// one order of operations whatever the vector width, so that results are the same bits at every
// instruction set.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

namespace ngramstat {

// e^x for |x| <= 80, to about 1e-7 of it: a polynomial about the nearest power of two (Cephes).
//   Float, Int   numbers of 32 bits, or vectors of them: by reference, as functions built for
//                different levels pass vectors by value in different ways
template <class Float, class Int>
inline void replace_by_exponential(Float& x) {
    const Float shifted = x * 1.44269504f + 12582912.0f;  // the low bits are the nearest integer
    const Float n = shifted - 12582912.0f;
    const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const Float value = (p * r * r + r) + 1.0f;
    Int power;
    std::memcpy(&power, &shifted, sizeof(Int));
    power = (power - 0x4b400000 + 127) << 23;
    Float scale;
    std::memcpy(&scale, &power, sizeof(Float));
    x = value * scale;
}
inline float exponential(float x) {
    replace_by_exponential<float, std::int32_t>(x);
    return x;
}

// ln x of a positive x clipped to [1e-8, 1e8], to a few 1e-7: the atanh series about the nearest
// power of two. Infinity and NaN count as 1e8.
inline float logarithm(float x) {
    constexpr std::int32_t kHalf = 0x3f3504f3;                    // sqrt(1/2)
    constexpr std::int32_t kMin = 0x322bcc77, kMax = 0x4cbebc20;  // 1e-8, 1e8
    // The bits of positive floats sort like the floats; infinity and NaN come last.
    const std::int32_t bits =
        std::min(std::max(std::bit_cast<std::int32_t>(x), kMin), kMax) - kHalf;
    const float power = static_cast<float>(bits >> 23);
    const float m = std::bit_cast<float>((bits & 0x7fffff) + kHalf);
    const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    const float tail = s2 * (2.0f / 5 + s2 * (2.0f / 7 + s2 * (2.0f / 9)));
    const float series = s * (2.0f + s2 * (2.0f / 3 + tail));
    return power * 0.693147181f + series;
}

// Nearest integer of |x| < 2^22: the low bits of the float 1.5 * 2^23 + x.
inline std::int32_t nearest(float x) {
    return std::bit_cast<std::int32_t>(x + 12582912.0f) - 0x4b400000;
}

}  // namespace ngramstat
