// Sorting of suffixes (or reversed prefixes) of a token stream up to a bounded depth, in blocks of
// whole first tokens. Statistics that add over first tokens never hold more than one block per
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/entry_streams.hpp"
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

// Positions [first, last) of a stream.
struct Segment {
    Index first;
    Index last;
};

// Positions in suffix order: a sequence that ends sorts before its extensions; equal sequences stay
// in ascending order of position. lcp[k] is the number of symbols, at most depth, that
// positions[k - 1] and positions[k] share; lcp[0] = 0. Good until its scratch is used again.
template <class Position>
struct SortedSuffixes {
    std::span<const Position> positions;
    std::span<const std::uint8_t> lcp;
};

// Room of one thread. Grows to 9 + sizeof(Position) bytes per position of the largest block.
template <class Position>
struct SuffixScratch {
    struct Tie {
        std::uint32_t first, last;  // places of a leaf
    };
    struct Keyed {
        std::uint64_t key;
        Position position;
    };
    template <class T>
    using Large = std::vector<T, HugePageAllocator<T>>;
    Large<std::uint64_t> keys;
    Large<Position> positions;
    Large<std::uint8_t> lcp;
    // Of a leaf: what fits the second-level cache.
    std::vector<std::uint64_t> leaf, buffer;
    std::vector<Position> sorted;
    std::vector<Tie> ties, still_tied;
    std::vector<Keyed> group, group_buffer;
    // Of the parts of what is larger.
    Large<std::uint64_t> moved_keys;
    Large<Position> moved_positions;
};

// The positions of a stream whose first token lies in a range, ready to be sorted.
//
// A position's next few symbols are packed into an entry of 8 bytes as the stream goes by, so that
// most positions are sorted without being looked at again; the entries are written to the stream of
// their block. Only ties read the text at random, several at a time.
//
//   Memory: 8 bytes per position of the range, and what SuffixScratch takes.
//   Position: uint32_t for streams of at most 2^32 tokens, or uint64_t.
template <class Token, class Position>
class SuffixBlocks {
  public:
    // segments: which positions count, ascending and disjoint. Symbols are read across their ends.
    // Reads the stream twice. Throws std::invalid_argument for a bad depth, std::out_of_range for a
    // token >= vocab_size in a segment.
    SuffixBlocks(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                 TokenRange range, std::span<const Segment> segments, int threads);

    Index n_blocks() const { return n_blocks_; }
    // Positions of a block, and of all blocks before it.
    Index size(Index block) const { return offsets_[block + 1] - offsets_[block]; }
    std::span<const Index> offsets() const { return offsets_; }
    // Blocks hold first tokens in ascending order. For any number of callers at once.
    SortedSuffixes<Position> sort(Index block, SuffixScratch<Position>& scratch) const;

  private:
    void count_entries(std::span<const Segment> segments, int threads);
    void write_entries(std::span<const Segment> segments, int threads);
    template <class Visit>
    void for_positions(std::span<const Segment> segments, Index first, Index last,
                       Visit&& visit) const;
    void sort_part(std::span<std::uint64_t> keys, std::span<Position> positions,
                   std::span<std::uint8_t> lcp, std::uint64_t& before, int key_bits,
                   SuffixScratch<Position>& scratch) const;
    void sort_leaf(std::span<std::uint64_t> keys, std::span<Position> positions,
                   std::span<std::uint8_t> lcp, std::uint64_t& before, int key_bits,
                   SuffixScratch<Position>& scratch) const;
    void break_ties(std::span<Position> positions, std::span<std::uint8_t> lcp,
                    SuffixScratch<Position>& scratch) const;

    std::span<const Token> tokens_;
    SuffixOrder order_;
    TokenRange range_;
    Index vocab_size_;
    int symbol_bits_;    // of a symbol behind the first; 0: the sequence has ended
    int entry_symbols_;  // symbols behind the first in an entry
    int row_bits_;       // of the first token, what tells those of one block apart
    Index n_blocks_ = 0;
    Index n_cells_ = 0;           // stretches of the stream in which an entry tells its position
    std::vector<Index> chunks_;   // bounds in cells: what one task writes
    std::vector<Index> offsets_;  // positions before each block
    // Where the entries of a cell begin in a block's stream (n_cells x n_blocks), and where those
    // of a chunk end (n_chunks x n_blocks).
    std::vector<std::size_t> cell_begin_, chunk_end_;
    EntryBuffer entries_;
};

// All positions in suffix order with their LCP. suffixes and lcp: one entry per token, filled here.
// Throws std::invalid_argument for a bad depth, std::out_of_range for a token >= vocab_size.
template <class Token>
void suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                  std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads);

}  // namespace ngramstat
