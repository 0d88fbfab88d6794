#include "ngramstat/pairs/count_sums.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/pairs/count_rows.hpp"

namespace ngramstat {

namespace {

// Rows of a block of a new matrix: few enough that most blocks of pair counts fit 16 bits.
constexpr Index kBlockRows = 64;
constexpr Count kLargestCount = std::numeric_limits<std::uint32_t>::max();

// Adds up the counts of one row of several matrices after the other.
class RowAdder {
  public:
    explicit RowAdder(Index n_cols) : counts_(static_cast<std::size_t>(n_cols)) {}

    void add(Index column, Count first, Count second) {
        Pair& at = counts_[static_cast<std::size_t>(column)];
        if (at.first == 0 && at.second == 0) columns_.push_back(static_cast<std::uint32_t>(column));
        at.first += first;
        at.second += second;
    }
    // Appends the row to the entries, and forgets it.
    void flush(CountEntries<std::uint32_t>& to) {
        std::sort(columns_.begin(), columns_.end());
        for (const std::uint32_t column : columns_) {
            Pair& at = counts_[column];
            if (at.first > kLargestCount || at.second > kLargestCount) {
                throw std::overflow_error("a sum of counts does not fit 32 bits");
            }
            to.column.push_back(column);
            to.first.push_back(static_cast<std::uint32_t>(at.first));
            to.second.push_back(static_cast<std::uint32_t>(at.second));
            at = {};
        }
        columns_.clear();
    }

  private:
    struct Pair {
        Count first = 0, second = 0;
    };
    std::vector<Pair> counts_;
    std::vector<std::uint32_t> columns_;  // of counts above zero
};

// visit(row, column, first, second) for the entries of some rows.
template <class Visit>
void for_entries(const CountBlock& block, Index begin, Index end, Visit&& visit) {
    block.with_entries([&](const auto& entries) {
        for (Index r = begin; r < end; ++r) {
            for (Index k = block.row_start[r]; k < block.row_start[r + 1]; ++k) {
                const Count second = entries.second.empty() ? 0 : entries.second[k];
                visit(block.first_row + r, entries.column[k], entries.first[k], second);
            }
        }
    });
}

void check_rows(Index n_rows, Index n_cols, const CountRows& rows) {
    const std::size_t nnz = rows.column.size();
    require(n_rows >= 0 && static_cast<Index>(rows.row_start.size()) == n_rows + 1 &&
                rows.row_start.front() == 0 && rows.row_start.back() == static_cast<Index>(nnz) &&
                rows.first.size() == nnz && (rows.second.empty() || rows.second.size() == nnz),
            "counts by rows: the arrays do not fit each other");
    for (Index r = 0; r < n_rows; ++r) {
        const Index begin = rows.row_start[r], end = rows.row_start[r + 1];
        require(0 <= begin && begin <= end && end <= static_cast<Index>(nnz),
                "counts by rows: the offsets of rows must not decrease");
        for (Index k = begin; k < end; ++k) {
            require(static_cast<Index>(rows.column[k]) < n_cols &&
                        (k == begin || rows.column[k - 1] < rows.column[k]),
                    "counts by rows: columns must ascend and lie inside the matrix");
        }
    }
}

}  // namespace

CountMatrix matrix_of_rows(Index n_rows, Index n_cols, const CountRows& rows) {
    CountMatrix matrix(n_rows, n_cols);
    check_rows(n_rows, n_cols, rows);
    for (Index first = 0; first < n_rows; first += kBlockRows) {
        const Index last = std::min(first + kBlockRows, n_rows);
        const Index begin = rows.row_start[first], end = rows.row_start[last];
        CountBlock block;
        block.first_row = first;
        for (Index r = first; r < last; ++r) {
            block.row_start.push_back(rows.row_start[r + 1] - begin);
        }
        const auto part = [&](std::span<const std::uint32_t> values) {
            if (values.empty()) return std::vector<std::uint32_t>();
            return std::vector<std::uint32_t>(values.begin() + begin, values.begin() + end);
        };
        block.set_entries({part(rows.column), part(rows.first), part(rows.second)});
        matrix.append(std::move(block));
    }
    return matrix;
}

CountArrays arrays_of(const CountMatrix& matrix) {
    require(matrix.complete(), "count matrix has rows that were not counted yet");
    const std::size_t nnz = static_cast<std::size_t>(matrix.nnz());
    CountArrays arrays{{0}, {}, {}, {}};
    arrays.row_start.reserve(static_cast<std::size_t>(matrix.n_rows()) + 1);
    arrays.column.reserve(nnz);
    arrays.first.reserve(nnz);
    bool has_second = false;
    for (const auto& block : matrix.blocks()) {
        const Index before = arrays.row_start.back();
        for (Index r = 0; r < block.n_rows(); ++r) {
            arrays.row_start.push_back(before + block.row_start[r + 1]);
        }
        block.with_entries([&](const auto& entries) {
            has_second |= !entries.second.empty();
            arrays.column.insert(arrays.column.end(), entries.column.begin(), entries.column.end());
            arrays.first.insert(arrays.first.end(), entries.first.begin(), entries.first.end());
        });
    }
    if (!has_second) return arrays;
    arrays.second.reserve(nnz);
    for (const auto& block : matrix.blocks()) {
        block.with_entries([&](const auto& entries) {
            arrays.second.insert(arrays.second.end(), entries.second.begin(), entries.second.end());
            if (entries.second.empty()) {
                arrays.second.resize(arrays.second.size() + entries.column.size(), 0);
            }
        });
    }
    return arrays;
}

CountMatrix sum_of(std::span<const CountMatrix* const> matrices, int threads) {
    require(!matrices.empty(), "a sum needs at least one count matrix");
    const Index n_rows = matrices.front()->n_rows(), n_cols = matrices.front()->n_cols();
    for (const CountMatrix* matrix : matrices) {
        require(matrix->n_rows() == n_rows && matrix->n_cols() == n_cols && matrix->complete(),
                "count matrices must be complete and of one shape to be added");
    }
    const Index n_blocks = (n_rows + kBlockRows - 1) / kBlockRows;
    std::vector<CountBlock> blocks(static_cast<std::size_t>(n_blocks));
    parallel_with(
        n_blocks, threads, [&] { return RowAdder(n_cols); },
        [&](Index b, RowAdder& adder) {
            CountBlock& block = blocks[static_cast<std::size_t>(b)];
            block.first_row = b * kBlockRows;
            CountEntries<std::uint32_t> entries;
            for (Index row = block.first_row; row < std::min(block.first_row + kBlockRows, n_rows);
                 ++row) {
                for (const CountMatrix* matrix : matrices) {
                    matrix->for_blocks(row, row + 1, [&](const CountBlock& there, Index r, Index) {
                        for_entries(there, r, r + 1,
                                    [&](Index, Index column, Count first, Count second) {
                                        adder.add(column, first, second);
                                    });
                    });
                }
                adder.flush(entries);
                block.row_start.push_back(static_cast<Index>(entries.column.size()));
            }
            const bool one_channel = std::all_of(entries.second.begin(), entries.second.end(),
                                                 [](std::uint32_t count) { return count == 0; });
            if (one_channel) entries.second.clear();
            block.set_entries(entries);
        });
    CountMatrix sum(n_rows, n_cols);
    for (auto& block : blocks) sum.append(std::move(block));
    return sum;
}

}  // namespace ngramstat
