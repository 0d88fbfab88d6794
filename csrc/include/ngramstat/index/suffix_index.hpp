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
// The arrays come from files: a query must not trust a position, only compare it with sizes.
template <class Token>
struct SuffixIndex {
    std::span<const Token> tokens;
    std::span<const std::uint32_t> suffixes;
    std::span<const Index> token_starts;
    Index vocab_size = 0;
    Index depth = 0;
    Index stop_token = -1;
};

}  // namespace ngramstat
