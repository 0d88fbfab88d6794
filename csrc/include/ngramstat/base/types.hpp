// Integer types shared by every kernel.
#pragma once

#include <cstdint>
#include <span>

namespace ngramstat {

using Index = std::int64_t;   // positions, sizes, document ends
using Count = std::uint64_t;  // numbers of pairs, n-grams, tokens

}  // namespace ngramstat
