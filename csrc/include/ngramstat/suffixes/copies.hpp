// Passages of one token stream that also stand in another.
#pragma once

#include <cstdint>
#include <span>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// marks[i] = 1 for every token of `scored` that lies in a passage of `length` consecutive tokens
// which stays inside one document and also occurs in `training`, else 0. Exact: equal hashes are
// compared token by token.
//
//   Time:   linear in both streams, and one comparison per passage that is found
//   Memory: 30 bytes per token of `scored`
// Throws std::invalid_argument for a length below 1, documents that do not cover `scored`, or marks
// of another size.
template <class Token>
void mark_copies(std::span<const Token> scored, const Documents& documents,
                 std::span<const Token> training, int length, std::span<std::uint8_t> marks,
                 int threads);

}  // namespace ngramstat
