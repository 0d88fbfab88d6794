// A sparse matrix of counts in row order, with its products with blocks of vectors.
#pragma once

#include <array>
#include <span>
#include <variant>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/base/vector_block.hpp"

namespace ngramstat {

// Entries of a run of rows, row by row; columns ascend within a row.
template <class Integer>
struct CountEntries {
    std::vector<Integer> column;
    std::vector<Integer> first;   // counts of class 0 (document half A)
    std::vector<Integer> second;  // counts of class 1 (half B); empty: all zero
};

// Compressed rows of [first_row, first_row + n_rows). Entries take 16 bits wherever all of a
// block's columns and counts fit: half the memory, the same time.
struct CountBlock {
    Index first_row = 0;
    std::vector<Index> row_start{0};  // n_rows + 1 offsets into the entries
    std::variant<CountEntries<std::uint16_t>, CountEntries<std::uint32_t>> entries;

    Index n_rows() const { return static_cast<Index>(row_start.size()) - 1; }
    // Calls visit(entries of either width) and returns what it does.
    template <class Visit>
    decltype(auto) with_entries(Visit&& visit) const {
        return std::visit(visit, entries);
    }
    // Takes the entries in the narrowest width that holds them.
    void set_entries(const CountEntries<std::uint32_t>& wide);
    // The same of the first n of each vector.
    void set_entries(const CountEntries<std::uint32_t>& wide, std::size_t n);
};

// (n_rows x n_cols) counts with two channels. Weights (w0, w1) make a real matrix of it:
// M = w0 * first + w1 * second. Sums of doubles run in an order fixed by the data, so products are
// bit-identical over thread counts and instruction sets.
class CountMatrix {
  public:
    CountMatrix(Index n_rows, Index n_cols);

    Index n_rows() const { return n_rows_; }
    Index n_cols() const { return n_cols_; }
    Index nnz() const;
    Index bytes() const;
    const std::vector<CountBlock>& blocks() const { return blocks_; }

    // Row that the first appended block begins with (0 unless this holds a later part of the rows).
    void start_at(Index row);
    // Takes the next rows. Blocks come in ascending row order without gaps or overlaps.
    void append(CountBlock&& block);
    // Takes all blocks of `other`, which must continue where this matrix ends.
    void append(CountMatrix&& other);
    bool complete() const { return first_row_ == 0 && next_row_ == n_rows_; }

    // Sum of the counts of each channel per row (n_rows) or per column (n_cols).
    std::array<std::vector<Count>, 2> row_sums() const;
    std::array<std::vector<Count>, 2> column_sums() const;

    // The same entries with rows for columns: its multiply is this one's multiply_transposed, in
    // half of the time, for twice the memory.
    CountMatrix transposed(int threads) const;

    // out (n_rows x kBlockSize) = M x, x (n_cols x kBlockSize), both row-major. Overwrites out.
    void multiply(std::span<const double> x, std::array<double, 2> weights, std::span<double> out,
                  int threads) const;
    // out (n_cols x kBlockSize) = M^T x, x (n_rows x kBlockSize). Overwrites out. Scratch: at most
    // 16 copies of out.
    void multiply_transposed(std::span<const double> x, std::array<double, 2> weights,
                             std::span<double> out, int threads) const;
    // out (n_cols x kBlockSize) = F^T diag(row_weights) F x with F the counts of channel 0, x
    // (n_cols x kBlockSize); rows of weight zero cost nothing. The same bits as the two products
    // one after the other, but each row is read once.
    void multiply_gram(std::span<const double> x, std::span<const double> row_weights,
                       std::span<double> out, int threads) const;
    // Sum over entries of M * M', for the Frobenius norm of sums of matrices.
    double inner_product(const CountMatrix& other, std::array<double, 2> weights,
                         std::array<double, 2> other_weights, int threads) const;

  private:
    void require_complete() const;
    // Bounds of about `wanted` runs of rows with about equal work. They depend on the counts alone,
    // not on how the rows came in blocks: that fixes the order of every sum, and so its bits.
    std::vector<Index> row_parts(Index wanted) const;
    // out = sum over parts of the rows of what scatter(first_row, last_row, copy) adds to its copy
    // of out, in order. Wide matrices take fewer parts to bound the scratch.
    template <class Scatter>
    void sum_over_rows(std::span<double> out, int threads, Scatter&& scatter) const;
    // visit(block, begin, end) for the rows [first_row, last_row), begin and end within the block.
    template <class Visit>
    void for_blocks(Index first_row, Index last_row, Visit&& visit) const;

    Index n_rows_;
    Index n_cols_;
    Index first_row_ = 0;
    Index next_row_ = 0;
    std::vector<CountBlock> blocks_;
};

}  // namespace ngramstat
