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

// Entries of consecutive rows, row by row; columns ascend within a row.
template <class Integer>
struct CountEntries {
    std::vector<Integer> column;
    std::vector<Integer> first;   // counts of channel 0: document half 0
    std::vector<Integer> second;  // counts of channel 1: document half 1; empty: all zero
};

// Compressed rows of [first_row, first_row + n_rows). Entries have 16 bits wherever all of a
// block's columns and counts fit: half the memory, the same speed.
struct CountBlock {
    Index first_row = 0;
    std::vector<Index> row_start{0};  // n_rows + 1 offsets into the entries
    std::variant<CountEntries<std::uint16_t>, CountEntries<std::uint32_t>> entries;

    Index n_rows() const { return static_cast<Index>(row_start.size()) - 1; }
    // Calls visit(entries of either width) and returns its result.
    template <class Visit>
    decltype(auto) with_entries(Visit&& visit) const {
        return std::visit(visit, entries);
    }
    // Stores the entries in the narrowest width that holds them.
    void set_entries(const CountEntries<std::uint32_t>& wide);
    // The same for the first n elements of each vector.
    void set_entries(const CountEntries<std::uint32_t>& wide, std::size_t n);
};

// Blocks of sixteen vectors in single precision, one after the other, and for each block sixteen
// weights of channel 0 and sixteen of channel 1: vector v sees the matrix
// weights[0][v] * first + weights[1][v] * second.
struct SingleBlocks {
    std::span<const float> vectors;  // size x rows x 16
    std::span<const float> weights;  // size x 2 x 16

    Index size() const { return static_cast<Index>(weights.size()) / (2 * kSingleBlockSize); }
    const float* weights_of(Index block) const {
        return weights.data() + block * 2 * kSingleBlockSize;
    }
    const float* vectors_of(Index block, Index rows) const {
        return vectors.data() + block * rows * kSingleBlockSize;
    }
    // Throws std::invalid_argument unless these are vectors of `rows`, with room for the products.
    void require_sizes(Index rows, Index out_rows, std::size_t out_size) const {
        const auto floats = [&](Index n) {
            return static_cast<std::size_t>(size() * n * kSingleBlockSize);
        };
        require(size() >= 1 && weights.size() == floats(2) && vectors.size() == floats(rows) &&
                    out_size == floats(out_rows),
                "single-precision blocks: x must be (k, rows, 16), weights (k, 2, 16)");
    }
};

// (n_rows x n_cols) counts with two channels. Weights (w0, w1) combine them into a real matrix:
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

    // Sets the row that the first appended block begins with (0 by default).
    void start_at(Index row);
    // Appends the next rows. Blocks must come in ascending row order without gaps or overlaps.
    void append(CountBlock&& block);
    // Moves all blocks out of `other`, which must continue where this matrix ends.
    void append(CountMatrix&& other);
    bool complete() const { return first_row_ == 0 && next_row_ == n_rows_; }
    // visit(block, begin, end) for the rows [first_row, last_row), begin and end within the block
    // (count_rows.hpp).
    template <class Visit>
    void for_blocks(Index first_row, Index last_row, Visit&& visit) const;

    // Sum of the counts of each channel per row (n_rows) or per column (n_cols).
    std::array<std::vector<Count>, 2> row_sums(int threads = 1) const;
    std::array<std::vector<Count>, 2> column_sums(int threads = 1) const;

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
    // For the rows of each class, F^T x with F their counts of channel 0 and x (n_rows x 4)
    // doubles: out (n_classes x n_cols x 4).
    void multiply_transposed_by_class(std::span<const double> x,
                                      std::span<const std::uint8_t> classes, std::span<double> out,
                                      int threads) const;
    // The same products in single precision: each sum of a row or a column is one of floats.
    void multiply_single(const SingleBlocks& blocks, std::span<float> out, int threads) const;
    void multiply_transposed_single(const SingleBlocks& blocks, std::span<float> out,
                                    int threads) const;
    // out (n_rows x 16) = F x, with F the counts of channel 0, where row r is multiplied by block
    // block_of_row[r] of x (blocks x n_cols x 16).
    void multiply_rows_single(std::span<const float> x, std::span<const std::uint8_t> block_of_row,
                              std::span<float> out, int threads) const;
    // Row r of F has row_weights[r] times the block's weight of channel channels[r].
    void multiply_gram_single(const SingleBlocks& blocks, std::span<const double> row_weights,
                              std::span<const std::uint8_t> channels, std::span<float> out,
                              int threads) const;
    // Sum over entries of M * M', for the Frobenius norm of sums of matrices.
    double inner_product(const CountMatrix& other, std::array<double, 2> weights,
                         std::array<double, 2> other_weights, int threads) const;

  private:
    void require_complete() const;
    // Bounds of at most `n_runs` runs of rows with about equal work. They depend on the counts
    // alone, not on the cut into blocks: that fixes the order of every sum, and so its bits.
    std::vector<Index> row_runs(Index n_runs) const;
    // out = sum over runs of rows, in order, of what scatter(first_row, last_row, copy) adds to its
    // copy of out. Wide matrices use fewer runs, to bound the scratch.
    template <class Real, class Scatter>
    void sum_over_rows(std::span<Real> out, int threads, Scatter&& scatter) const;
    // visit(block, begin, end) for a few rows at a time, without those of weight zero.
    template <class Visit>
    void for_row_groups(Index first_row, Index last_row, std::span<const double> row_weights,
                        Visit&& visit) const;

    Index n_rows_;
    Index n_cols_;
    Index first_row_ = 0;
    Index next_row_ = 0;
    std::vector<CountBlock> blocks_;
};

}  // namespace ngramstat
