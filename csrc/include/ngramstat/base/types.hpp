// Integer types shared by every kernel.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace ngramstat {

using Index = std::int64_t;   // positions, sizes, document ends
using Count = std::uint64_t;  // numbers of pairs, n-grams, tokens

// The bits that x takes: 0 of 0, 3 of 4 .. 7. Libraries disagree on the type of std::bit_width.
constexpr int bit_width(std::uint64_t x) { return 64 - std::countl_zero(x); }

}  // namespace ngramstat
