// Sequences of a given length that occur several times in an indexed text.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "ngramstat/index/search.hpp"
#include "ngramstat/index/suffix_index.hpp"

namespace ngramstat {

// Parts of the suffixes of all shards of an index: ranks[s] of shard s. They hold all suffixes that
// begin with certain tokens.
using ShardRanks = std::vector<SuffixRange>;

// One bit per position of a shard: position p is bit p % 8 of byte p / 8.
using PositionBits = std::span<std::uint8_t>;

// Marks where windows of `length` tokens begin that occur at least twice in the shards of an index,
// which share vocabulary, depth and stop token. A window does not go on after a stop token, and
// does not hold one that is no token of the vocabulary.
//
//   later_only  leaves the first occurrence of each window unmarked: the one in the first of the
//               shards, and there at the smallest position
//   marks       one per shard; bits are set, never cleared
//
// The suffixes of all shards are merged in order, so that equal windows are neighbours. Pieces of
// the order that no window lies across are divided among the threads.
//   Time:   linear, one read at a random place per suffix; with several shards some more
// Throws std::invalid_argument for a length below 1 or above the depth, marks of another size, and
// where the arrays of the index contradict each other.
template <class Token>
void mark_duplicates(std::span<const SuffixIndex<Token>> shards, const ShardRanks& ranks,
                     Index length, bool later_only, std::span<const PositionBits> marks,
                     int threads);

}  // namespace ngramstat
