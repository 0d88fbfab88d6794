// Count matrices from arrays, as arrays, and added up: how counts travel between machines.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/pairs/count_matrix.hpp"

namespace ngramstat {

// All rows of a count matrix, one after the other.
struct CountRows {
    std::span<const Index> row_start;       // n_rows + 1 offsets into the entries, from 0
    std::span<const std::uint32_t> column;  // ascending within a row
    std::span<const std::uint32_t> first;   // counts of channel 0
    std::span<const std::uint32_t> second;  // counts of channel 1; empty: all zero
};

// The matrix of these counts. Throws std::invalid_argument where the arrays are not those of an
// (n_rows x n_cols) matrix.
CountMatrix matrix_of_rows(Index n_rows, Index n_cols, const CountRows& rows);

// The same counts in the memory of the caller.
struct CountArrays {
    std::vector<Index> row_start;
    std::vector<std::uint32_t> column, first, second;
};
CountArrays arrays_of(const CountMatrix& matrix);

// The sum of matrices of one shape, whose counts have 32 bits: throws std::overflow_error where
// that is not enough.
CountMatrix sum_of(std::span<const CountMatrix* const> matrices, int threads);

}  // namespace ngramstat
