// Sorting of suffixes (or reversed prefixes) of a token stream up to a bounded depth, one
// first-token bucket at a time. Statistics that add over buckets never hold more than one bucket
// per thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/position_index.hpp"
#include "ngramstat/types.hpp"

namespace ngramstat {

inline constexpr int kMaxDepth = 255;  // a common prefix length fits one byte

// How the symbols of a position's suffix are read.
//   depth      symbols compared, 1 .. kMaxDepth
//   backward   false: x[i], x[i+1], ...; true: x[i], x[i-1], ... (n-grams that end at i)
//   stop_token the sequence ends after the first stop token beyond symbol 0: with backward reading
//              a context reaches back to the separator before its document and no further.
//              -1: none
struct SuffixOrder {
    int depth = 1;
    bool backward = false;
    Index stop_token = -1;
};

// Scratch of one thread.
struct SuffixScratch {
    struct Entry {
        std::uint64_t key;
        std::uint64_t position;
    };
    std::vector<Entry> entries;
    std::vector<Entry> buffer;
};

// Sorts `positions`, all of which hold the same token, by their first order.depth symbols; a
// sequence that ends sorts before its extensions; equal sequences stay in their given (ascending)
// order. lcp[k] becomes the number of symbols, at most depth, that positions[k-1] and positions[k]
// share; lcp[0] = 0. Position: uint32_t or uint64_t.
template <class Token, class Position>
void sort_bucket(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                 std::span<Position> positions, std::span<std::uint8_t> lcp,
                 SuffixScratch& scratch);

// All positions in suffix order with their LCP. suffixes and lcp: one entry per token, filled here.
// Throws std::invalid_argument for a bad depth, std::out_of_range for a token >= vocab_size.
template <class Token>
void suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                  std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads);

// Buckets [first, last) of an index, cut into tasks of about equal numbers of positions.
template <class Position>
std::vector<Index> bucket_tasks(const PositionIndex<Position>& index) {
    constexpr Index kTasks = 512;
    return balanced_blocks(index.offsets, kTasks);
}

}  // namespace ngramstat
