// Pair counts of small vocabularies: pairs are first sorted into blocks of rows whose counters fit
// the second-level cache, and then counted there. No other memory is accessed at random.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/entry_streams.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/pair_counts.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace ngramstat {

// Whether the blocks of rows are few enough to write to all of them at once.
bool pair_tables_fit(Index vocab_size);

// Counts pairs whose left token lies in a range of rows; see count_pairs, with which it agrees.
//
// A left token and the tokens several lags after it are packed into one entry of 8 bytes. Entries
// are appended to the region of their block of rows, a cache line at a time and bypassing the
// cache; the regions are then counted one by one with counters of 8 bits, whose overflows are
// listed.
//
//   Time: 6 ns a pair on one thread, 3 on two (benchmarks/speed.py). Memory: 8 bytes per position
//   of the range, in a buffer that the tables of several ranges and streams may share.
template <class Token>
class PairTables {
  public:
    // Reads the stream once; the stream and the documents must outlive the tables. Throws
    // std::out_of_range for a token >= vocab_size, std::invalid_argument unless the documents cover
    // the stream.
    PairTables(std::span<const Token> tokens, TokenRange range, Index vocab_size,
               const Documents& documents, int threads);

    // One PairCounts per lag (>= 1), holding the rows of the range. Throws std::overflow_error
    // where a count of one half does not fit 32 bits. `buffer` grows to what is needed; its
    // contents are lost. Not for two callers at once.
    std::vector<PairCounts> count(std::span<const Index> lags, EntryBuffer& buffer, int threads);

  private:
    enum class Kind { within, across };
    struct Table;

    // Writes the entries of one kind of pairs at some lags, by chunk of the stream and block of
    // rows.
    void write_entries(Kind kind, std::span<const Index> lags, int threads);
    template <int kLags>
    void write_chunk(Kind kind, std::span<const Index> lags, Index chunk);
    CountBlock count_block(Index block, int slot, Table& table) const;
    void sort_block(Index block, int slot, Index rows, Table& table, CountBlock& out) const;
    std::vector<CountBlock> count_blocks(Index slots, int threads) const;
    std::size_t entries_of(Index block) const;

    std::size_t region(Index chunk, Index block) const {
        return static_cast<std::size_t>(block * n_chunks() + chunk);
    }
    Index n_chunks() const { return static_cast<Index>(chunks_.size()) - 1; }
    Index block_rows() const { return Index{1} << row_bits_; }
    // The fields of an entry, from the lowest bit on: row in the block, half, one column per lag.
    int column_shift(int slot) const { return row_bits_ + 1 + slot * column_bits_; }

    std::span<const Token> tokens_;
    TokenRange range_;
    Index vocab_size_;
    const Documents* documents_;
    int row_bits_ = 0;     // rows of a block
    int column_bits_ = 0;  // columns 0 .. vocab_size; the last one means that there is no pair
    Index n_blocks_ = 0;
    std::vector<Index> chunks_;             // their bounds in the stream
    std::vector<std::size_t> begin_, end_;  // of each region's entries
    std::size_t n_entries_ = 0;
    std::uint64_t* entries_ = nullptr;  // during a call of count
};

}  // namespace ngramstat
