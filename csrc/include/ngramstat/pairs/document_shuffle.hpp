// A copy of a stream in which every document has its tokens in random order.
#pragma once

#include <cstdint>
#include <span>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Copies the stream to `out`, of its size, with the content of every document shuffled (Fisher and
// Yates); all else stays in place. The copy follows from the key alone, on any machine and with any
// threads. Of a part of a longer stream `first_position` says where it begins there: its copy is
// that part of the copy of all. Throws std::invalid_argument for documents that do not cover the
// stream.
template <class Token>
void shuffle_documents(std::span<const Token> tokens, const Documents& documents, std::uint64_t key,
                       Index first_position, std::span<Token> out, int threads);

}  // namespace ngramstat
