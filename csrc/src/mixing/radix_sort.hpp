// Sorting of 64-bit keys by some of their bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace ngramstat {

// Least-significant-digit radix sort by bits [first, last); the result is in `keys`. Bits above
// must be zero, and keys that are equal in these bits must already ascend.
inline void radix_sort(std::vector<std::uint64_t>& keys, std::vector<std::uint64_t>& buffer,
                       int first, int last) {
    constexpr int kDigit = 8;
    constexpr std::size_t kSmall = 256;
    if (keys.size() <= kSmall) {
        std::sort(keys.begin(), keys.end());
        return;
    }
    buffer.resize(keys.size());
    for (int shift = first; shift < last; shift += kDigit) {
        std::array<std::size_t, (1 << kDigit) + 1> start{};
        for (const std::uint64_t key : keys) ++start[(key >> shift & 0xff) + 1];
        for (std::size_t d = 0; d < 1 << kDigit; ++d) start[d + 1] += start[d];
        for (const std::uint64_t key : keys) buffer[start[key >> shift & 0xff]++] = key;
        keys.swap(buffer);
    }
}

}  // namespace ngramstat
