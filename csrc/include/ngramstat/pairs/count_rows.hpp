// The rows of a count matrix, as its products read them.
#pragma once

#include <algorithm>

#include "ngramstat/pairs/count_matrix.hpp"

namespace ngramstat {

// Entries whose values are computed together, so that the compiler vectorises the loop.
constexpr Index kAtOnce = 64;

template <class Integer>
struct Rows {
    const CountEntries<Integer>& entries;
    const Index* row_start;

    double value(Index k, double w0, double w1) const {
        const double first_value = w0 * entries.first[k];
        return entries.second.empty() ? first_value : first_value + w1 * entries.second[k];
    }
    Index column(Index k) const { return entries.column[k]; }

    // visit(column, value) for the entries of one row.
    template <class Visit>
    void for_entries(Index row, double w0, double w1, Visit&& visit) const {
        const Integer* first = entries.first.data();
        const Integer* second = entries.second.empty() ? nullptr : entries.second.data();
        const Index end = row_start[row + 1];
        for (Index k = row_start[row]; k < end; k += kAtOnce) {
            const Index n = std::min(kAtOnce, end - k);
            double values[kAtOnce];
            for (Index i = 0; i < n; ++i) values[i] = w0 * first[k + i];
            if (second != nullptr) {
                for (Index i = 0; i < n; ++i) values[i] += w1 * second[k + i];
            }
            for (Index i = 0; i < n; ++i) visit(column(k + i), values[i]);
        }
    }

    // visit(columns, counts of channel 0, counts of channel 1, n) for the entries of one row, an
    // even number of them at a time but for the last.
    template <class Visit>
    void for_counts(Index row, Visit&& visit) const {
        const Index end = row_start[row + 1];
        float first[kAtOnce];
        float second[kAtOnce] = {};
        for (Index k = row_start[row]; k < end; k += kAtOnce) {
            const Index n = std::min(kAtOnce, end - k);
            for (Index i = 0; i < n; ++i) first[i] = static_cast<float>(entries.first[k + i]);
            if (!entries.second.empty()) {
                for (Index i = 0; i < n; ++i) second[i] = static_cast<float>(entries.second[k + i]);
            }
            visit(entries.column.data() + k, first, second, n);
        }
    }
};

template <class Visit>
void CountMatrix::for_blocks(Index first_row, Index last_row, Visit&& visit) const {
    auto it = std::upper_bound(
        blocks_.begin(), blocks_.end(), first_row,
        [](Index row, const CountBlock& candidate) { return row < candidate.first_row; });
    for (std::size_t b = static_cast<std::size_t>(it - blocks_.begin()) - 1; first_row < last_row;
         ++b) {
        const CountBlock& block = blocks_[b];
        const Index end = std::min(last_row - block.first_row, block.n_rows());
        visit(block, first_row - block.first_row, end);
        first_row = block.first_row + end;
    }
}

}  // namespace ngramstat
