// Sorting of suffixes (or reversed prefixes) of a token stream up to a bounded depth, block by
// block. A block holds all suffixes that begin with certain tokens, so a statistic that is a sum
// over first tokens never needs more than one block per thread.
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
//   stop_token the sequence ends after the first stop token beyond symbol 0: read backward, a
//              context extends to the separator before its document and no further. -1: none
//   prefix     only suffixes that begin with these symbols, fewer than depth and none of them a
//              stop token beyond symbol 0; a TokenRange is then one of the symbol that follows,
//              without the stop token. For sequences read backward
struct SuffixOrder {
    int depth = 1;
    bool backward = false;
    Index stop_token = -1;
    std::span<const Index> prefix = {};
};

// Positions [first, last) of a stream.
struct Segment {
    Index first;
    Index last;
};

// How the first symbols of a suffix are packed, so that it can be sorted without reading the token
// stream again. It follows from the vocabulary and the depth alone.
struct SuffixPacking {
    int symbol_bits;    // bits of a symbol; the symbol 0 means that the sequence has ended
    int entry_symbols;  // symbols after the first that fit the entry's 8 bytes with the position
    int tail_symbols;   // symbols after these, in 8 more bytes: all that are left, or none
    SuffixPacking(Index vocab_size, int depth);
    int entry_bytes() const { return tail_symbols > 0 ? 16 : 8; }
    // Symbols of a suffix that are known without the token stream.
    int known() const { return 1 + entry_symbols + tail_symbols; }
    // Whether ties among sequences of `depth` symbols are broken by reading the token stream.
    bool reads_tokens(int depth) const { return known() < depth; }
};

// Positions in suffix order: a sequence that ends sorts before its extensions; equal sequences stay
// in ascending order of position. lcp[k] is the number of symbols, at most depth, that
// positions[k - 1] and positions[k] share; lcp[0] = 0. keys and tails are the packed symbols, see
// SuffixBlocks::symbol; tails is empty where the packing has none, and positions where they were
// not asked for. With a prefix, lcp[0] is its length. Valid until the scratch is used again.
template <class Position>
struct SortedSuffixes {
    std::span<const Position> positions;
    std::span<const std::uint8_t> lcp;
    std::span<const std::uint64_t> keys;
    std::span<const std::uint64_t> tails;
    Index first_token;  // of the block; with a prefix, the first symbol after it
};

// Scratch memory of one thread. Grows to the entry's bytes and 1 + sizeof(Position) more for each
// position of the largest block.
template <class Position>
struct SuffixScratch {
    struct Tie {
        std::uint32_t first, last;  // places in a leaf
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
    // For one leaf, which fits the second-level cache.
    std::vector<std::uint64_t> leaf, buffer;
    std::vector<Position> sorted;
    std::vector<std::uint64_t> sorted_tails;
    std::vector<Tie> ties, still_tied;
    std::vector<Keyed> group, group_buffer;
    // For slices that are larger than a leaf.
    Large<std::uint64_t> moved_keys;
    Large<Position> moved_positions;
    Large<std::uint64_t> moved_tails;
};

// Consecutive first tokens of a block of SuffixBlocks over a range of so many tokens.
Index tokens_of_block(Index n_tokens);

// The positions of a stream whose first token lies in a range, ready to be sorted. With a prefix,
// those whose suffix begins with it and whose symbol after it lies in the range: the suffixes after
// the prefix are sorted, and the prefix is put back into what `sort` returns.
//
// In one pass over the token stream, the next few symbols of each position are packed into an
// entry, which is appended to its block. Where an entry of 16 bytes holds all symbols that are
// compared, the stream is not read again; otherwise ties are broken by reading it at random places,
// several at a time.
//
//   Memory: an entry per position of the range, and SuffixScratch.
//   Position: uint32_t for streams of at most 2^32 tokens, or uint64_t.
template <class Token, class Position>
class SuffixBlocks {
  public:
    // segments: the positions to sort, ascending and disjoint. Symbols are read across their ends.
    // with_positions: false where only symbols are needed; positions are provided even so where
    // ties are broken by reading the stream. residues: of the positions, only those i are sorted
    // for which bit i mod 64 is set. Reads the stream twice. Throws std::invalid_argument for a bad
    // depth, std::out_of_range for a token >= vocab_size.
    SuffixBlocks(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                 TokenRange range, std::span<const Segment> segments, int threads,
                 bool with_positions = true, std::uint64_t residues = ~std::uint64_t{0});

    Index n_blocks() const { return n_blocks_; }
    // Number of positions of a block, and of all blocks before each.
    Index size(Index block) const { return offsets_[block + 1] - offsets_[block]; }
    std::span<const Index> offsets() const { return offsets_; }
    // Blocks hold first tokens in ascending order. Several threads may call this at once, each with
    // its own scratch.
    SortedSuffixes<Position> sort(Index block, SuffixScratch<Position>& scratch) const;

    // Symbol m < depth of the suffix at a place of a sorted block; -1 if the sequence has ended.
    Index symbol(const SortedSuffixes<Position>& sorted, std::size_t place, int m) const {
        if (m < shift()) return prefix_[m];
        m -= shift();
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
        return symbol_from_stream(static_cast<Index>(sorted.positions[place]), m);
    }
    // Symbols that `symbol` finds without reading the token stream.
    int known_symbols() const { return shift() + packing_.known(); }
    std::span<const Index> prefix() const { return prefix_; }

  private:
    using Scratch = SuffixScratch<Position>;

    // Consecutive places of a block.
    struct Slice {
        std::span<std::uint64_t> keys;
        std::span<Position> positions;  // positions and tails are empty where there are none
        std::span<std::uint8_t> lcp;
        std::span<std::uint64_t> tails;

        Slice of(std::size_t begin, std::size_t n) const {
            return {keys.subspan(begin, n),
                    positions.empty() ? positions : positions.subspan(begin, n),
                    lcp.subspan(begin, n), tails.empty() ? tails : tails.subspan(begin, n)};
        }
    };

    // A slice cut into pieces by the leading bits of the keys.
    struct Split {
        int lower_bits;                   // in which keys of one piece still differ
        std::vector<std::size_t> bounds;  // where each piece begins, and the end
    };

    std::uint64_t symbol_mask() const { return (std::uint64_t{1} << packing_.symbol_bits) - 1; }
    // Symbols before those that are sorted.
    int shift() const { return static_cast<int>(prefix_.size()); }
    bool begins_with_prefix(Index position) const;
    void restore_prefix(const Slice& slice) const;
    Index symbol_from_stream(Index position, int m) const;
    void count_entries(std::span<const Segment> segments, int threads);
    void write_entries(std::span<const Segment> segments, int threads);
    template <class Visit>
    void for_positions(std::span<const Segment> segments, Index first, Index last,
                       Visit&& visit) const;
    template <class Put>
    void pack_symbols(Index first, Index last, Put&& put) const;
    template <class Reader, class Put, class Tail>
    void pack_forward(Index first, Index last, const Reader& reader, Put&& put,
                      Tail&& tail_at) const;
    template <class Visit>
    void for_entries(Index block, Visit&& visit) const;
    template <class ForEntries, class Place>
    static Split split_by_leading_bits(int key_bits, ForEntries&& for_entries, Place&& place);
    void sort_split(const Slice& slice, std::uint64_t& before, const Split& split,
                    Scratch& scratch) const;
    void sort_slice(const Slice& slice, std::uint64_t& before, int key_bits,
                    Scratch& scratch) const;
    void sort_leaf(const Slice& slice, std::uint64_t& before, int key_bits, Scratch& scratch) const;
    void break_ties(const Slice& slice, Scratch& scratch) const;

    std::span<const Token> tokens_;
    SuffixOrder order_;  // of the symbols after the prefix
    std::vector<Index> prefix_;
    TokenRange range_;
    Index vocab_size_;
    SuffixPacking packing_;
    std::size_t words_;  // of 8 bytes in an entry
    bool with_positions_;
    std::uint64_t residues_;
    int row_bits_;  // low bits of the first token that distinguish the tokens of one block
    Index n_blocks_ = 0;
    // The stream is cut into cells, so that an entry needs few bits for its position in its cell,
    // and runs of cells into chunks, one for each task that writes entries.
    Index n_cells_ = 0;
    std::vector<Index> chunks_;   // bounds of the chunks, in cells
    std::vector<Index> offsets_;  // positions before each block
    // Where the words of a cell begin in entries_, by block (n_cells x n_blocks), and where those
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
