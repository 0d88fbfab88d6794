// How far two sequences of tokens agree.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// The number of tokens, at most `limit`, that a and b share from their beginnings on, where `known`
// of them are known to be equal. Both must hold `limit` tokens.
template <class Token>
inline Index common_prefix(const Token* a, const Token* b, Index known, Index limit) {
    constexpr Index kTokens = sizeof(std::uint64_t) / sizeof(Token);
    Index length = known;
    if constexpr (std::endian::native == std::endian::little) {
        for (; length + kTokens <= limit; length += kTokens) {
            std::uint64_t left = 0, right = 0;
            std::memcpy(&left, a + length, sizeof left);
            std::memcpy(&right, b + length, sizeof right);
            if (left != right) {
                return length + std::countr_zero(left ^ right) / (8 * int{sizeof(Token)});
            }
        }
    }
    while (length < limit && a[length] == b[length]) ++length;
    return length;
}

}  // namespace ngramstat
