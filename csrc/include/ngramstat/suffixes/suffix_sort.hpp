// Sorting of suffixes (or reversed prefixes) of a token stream up to a bounded depth, in blocks of
// whole first tokens. Statistics that add over first tokens never hold more than one block per
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/entry_streams.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"

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

// How the first symbols of a suffix are packed, so that it can be sorted without looking at the
// text. It follows from the vocabulary and the depth alone.
struct SuffixPacking {
    int symbol_bits;    // of a symbol; 0: the sequence has ended
    int entry_symbols;  // behind the first, in an entry of 8 bytes beside the position
    int tail_symbols;   // behind these, in 8 more bytes: all that are left, or none
    SuffixPacking(Index vocab_size, int depth);
    int entry_bytes() const { return tail_symbols > 0 ? 16 : 8; }
    // Symbols of a suffix that are known without the text.
    int known() const { return 1 + entry_symbols + tail_symbols; }
    // Whether ties among sequences of so many symbols read the text.
    bool reads_text(int depth) const { return known() < depth; }
};

// Positions in suffix order: a sequence that ends sorts before its extensions; equal sequences stay
// in ascending order of position. lcp[k] is the number of symbols, at most depth, that
// positions[k - 1] and positions[k] share; lcp[0] = 0. keys and tails: the packed symbols of each,
// see SuffixBlocks::symbol; no tails where the packing has none, and no positions where nobody
// needs them. Good until its scratch is used again.
template <class Position>
struct SortedSuffixes {
    std::span<const Position> positions;
    std::span<const std::uint8_t> lcp;
    std::span<const std::uint64_t> keys;
    std::span<const std::uint64_t> tails;
    Index first_token;  // of the block
};

// Room of one thread. Grows to 1 + sizeof(Position) bytes and an entry's per position of the
// largest block.
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
    Large<std::uint64_t> tails;
    // Of a leaf: what fits the second-level cache.
    std::vector<std::uint64_t> leaf, buffer;
    std::vector<Position> sorted;
    std::vector<std::uint64_t> sorted_tails;
    std::vector<Tie> ties, still_tied;
    std::vector<Keyed> group, group_buffer;
    // Of the parts of what is larger.
    Large<std::uint64_t> moved_keys;
    Large<Position> moved_positions;
    Large<std::uint64_t> moved_tails;
};

// The positions of a stream whose first token lies in a range, ready to be sorted.
//
// A position's next few symbols are packed into an entry as the stream goes by and written to the
// stream of its block. Where an entry of 16 bytes holds all symbols that are compared, the text is
// not read again; else ties read it at random, several at a time.
//
//   Memory: an entry per position of the range, and what SuffixScratch takes.
//   Position: uint32_t for streams of at most 2^32 tokens, or uint64_t.
template <class Token, class Position>
class SuffixBlocks {
  public:
    // segments: which positions count, ascending and disjoint. Symbols are read across their ends.
    // with_positions: false where symbols alone are asked for; where ties read the text there are
    // positions all the same. Reads the stream twice. Throws std::invalid_argument for a bad depth,
    // std::out_of_range for a token >= vocab_size in a segment.
    SuffixBlocks(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                 TokenRange range, std::span<const Segment> segments, int threads,
                 bool with_positions = true);

    Index n_blocks() const { return n_blocks_; }
    // Positions of a block, and of all blocks before it.
    Index size(Index block) const { return offsets_[block + 1] - offsets_[block]; }
    std::span<const Index> offsets() const { return offsets_; }
    // Blocks hold first tokens in ascending order. For any number of callers at once.
    SortedSuffixes<Position> sort(Index block, SuffixScratch<Position>& scratch) const;

    // Symbol m, below the depth, of the suffix at a place of a sorted block; -1: it has ended.
    Index symbol(const SortedSuffixes<Position>& sorted, std::size_t place, int m) const {
        const int in_tail = m - packing_.entry_symbols;
        if (in_tail <= 0) {
            const std::uint64_t row = sorted.keys[place] >> (-in_tail * packing_.symbol_bits);
            if (m == 0) return sorted.first_token + static_cast<Index>(row);
            return static_cast<Index>(row & symbol_mask()) - 1;
        }
        if (in_tail <= packing_.tail_symbols) {
            const int shift = (packing_.tail_symbols - in_tail) * packing_.symbol_bits;
            return static_cast<Index>(sorted.tails[place] >> shift & symbol_mask()) - 1;
        }
        return symbol_of_text(static_cast<Index>(sorted.positions[place]), m);
    }
    // Symbols that `symbol` finds without the text.
    int known_symbols() const { return packing_.known(); }

  private:
    // A stretch of a block.
    struct Part {
        std::span<std::uint64_t> keys;
        std::span<Position> positions;  // these and the tails: empty without any
        std::span<std::uint8_t> lcp;
        std::span<std::uint64_t> tails;

        Part of(std::size_t begin, std::size_t n) const {
            return {keys.subspan(begin, n),
                    positions.empty() ? positions : positions.subspan(begin, n),
                    lcp.subspan(begin, n), tails.empty() ? tails : tails.subspan(begin, n)};
        }
    };

    std::uint64_t symbol_mask() const { return (std::uint64_t{1} << packing_.symbol_bits) - 1; }
    Index symbol_of_text(Index position, int m) const;
    void count_entries(std::span<const Segment> segments, int threads);
    void write_entries(std::span<const Segment> segments, int threads);
    template <class Visit>
    void for_positions(std::span<const Segment> segments, Index first, Index last,
                       Visit&& visit) const;
    void sort_part(const Part& part, std::uint64_t& before, int key_bits,
                   SuffixScratch<Position>& scratch) const;
    void sort_leaf(const Part& part, std::uint64_t& before, int key_bits,
                   SuffixScratch<Position>& scratch) const;
    void break_ties(const Part& part, SuffixScratch<Position>& scratch) const;

    std::span<const Token> tokens_;
    SuffixOrder order_;
    TokenRange range_;
    Index vocab_size_;
    SuffixPacking packing_;
    std::size_t words_;  // of an entry
    bool with_positions_;
    int row_bits_;  // of the first token, what tells those of one block apart
    Index n_blocks_ = 0;
    Index n_cells_ = 0;           // stretches of the stream in which an entry tells its position
    std::vector<Index> chunks_;   // bounds in cells: what one task writes
    std::vector<Index> offsets_;  // positions before each block
    // Where the words of a cell begin in a block's stream (n_cells x n_blocks), and where those of
    // a chunk end (n_chunks x n_blocks).
    std::vector<std::size_t> cell_begin_, chunk_end_;
    EntryBuffer entries_;
};

// All positions in suffix order with their LCP. suffixes and lcp: one entry per token, filled here.
// Throws std::invalid_argument for a bad depth, std::out_of_range for a token >= vocab_size.
template <class Token>
void suffix_array(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                  std::span<Index> suffixes, std::span<std::uint8_t> lcp, int threads);

}  // namespace ngramstat
