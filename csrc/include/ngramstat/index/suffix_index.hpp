// The arrays of one shard of an index, as its queries read them.
#pragma once

#include <cstdint>
#include <span>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// tokens        the text: positions of suffixes lie below suffixes.size(), matches may run beyond
// suffixes      positions in suffix order; a suffix that ends sorts before its extensions
// token_starts  vocab_size + 2 entries: ranks at which the suffixes of each first token begin
// depth         symbols by which suffixes are sorted; 0: to their ends
// stop_token    nothing is compared after it; -1: none. It may be vocab_size
// samples       packed symbols of every kSampleStride-th suffix (see SamplePacking), which make
//               searches shorter; empty: none
// The arrays come from files: a query must not trust a position, only compare it with sizes.
template <class Token>
struct SuffixIndex {
    std::span<const Token> tokens;
    std::span<const std::uint32_t> suffixes;
    std::span<const Index> token_starts;
    Index vocab_size = 0;
    Index depth = 0;
    Index stop_token = -1;
    std::span<const std::uint64_t> samples = {};
};

// Every how many suffixes one is sampled: 32 positions fill two cache lines, which a search may as
// well read whole, and the samples take a quarter of a byte per token.
inline constexpr Index kSampleStride = 32;

constexpr Index n_samples(Index n_suffixes) {
    return (n_suffixes + kSampleStride - 1) / kSampleStride;
}

// How the symbols of a suffix after its first, which token_starts has, are packed into 64 bits, the
// earliest in the highest bits. A symbol is the token plus one; 0: the suffix has ended, at the end
// of the tokens or after the stop token, or it is not sorted by this symbol. Samples are therefore
// in ascending order among the suffixes of one first token.
struct SamplePacking {
    int bits;     // of a symbol
    int symbols;  // symbols 1 .. symbols of the suffix are in the sample

    constexpr SamplePacking(Index vocab_size, Index depth)
        : bits(bit_width(static_cast<std::uint64_t>(vocab_size) + 1)), symbols(64 / bits) {
        if (depth > 0 && depth - 1 < symbols) symbols = static_cast<int>(depth - 1);
    }
    // The place of symbol k >= 1 above the lowest bit.
    constexpr int shift(int k) const { return (symbols - k) * bits; }
    constexpr std::uint64_t mask() const { return (std::uint64_t{1} << bits) - 1; }
    // The token at symbol k of a sample, -1 where the suffix has ended.
    constexpr Index token(std::uint64_t sample, int k) const {
        return static_cast<Index>((sample >> shift(k)) & mask()) - 1;
    }
};

}  // namespace ngramstat
