#include "ngramstat/pairs/count_matrix.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <numeric>

#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/pairs/count_rows.hpp"

namespace ngramstat {

namespace {

// Adds those of rows [begin, end) of a block to `total`, row by row: the order of the sum does not
// depend on the cut into blocks.
void add_squares(const CountBlock& block, Index begin, Index end, std::array<double, 2> weights,
                 double& total) {
    block.with_entries([&]<class Integer>(const CountEntries<Integer>& entries) {
        const Rows<Integer> rows{entries, block.row_start.data()};
        for (Index r = begin; r < end; ++r) {
            double sum = 0.0;
            rows.for_entries(r, weights[0], weights[1],
                             [&](Index, double value) { sum += value * value; });
            total += sum;
        }
    });
}

// The first of the entries [i, end) of a row whose column is at least this one.
template <class Integer>
Index find_column(const Rows<Integer>& rows, Index i, Index end, Index column) {
    // It is mostly near.
    Index last = i;
    for (Index step = 1; last < end && rows.column(last) < column; step *= 2) {
        i = last + 1;
        last += step;
    }
    const Integer* columns = rows.entries.column.data();
    return std::lower_bound(columns + i, columns + std::min(last, end), column,
                            [](Integer at, Index least) { return Index{at} < least; }) -
           columns;
}

// Sums the products of entries in common columns of two rows: those of the shorter one are looked
// up in the other.
template <class A, class B>
double row_inner_product(const Rows<A>& a, Index row_a, const Rows<B>& b, Index row_b,
                         std::array<double, 2> wa, std::array<double, 2> wb) {
    Index i = a.row_start[row_a];
    const Index end_a = a.row_start[row_a + 1];
    const Index start_b = b.row_start[row_b], end_b = b.row_start[row_b + 1];
    if (end_a - i < end_b - start_b) return row_inner_product(b, row_b, a, row_a, wb, wa);
    double sum = 0.0;
    for (Index j = start_b; j < end_b; ++j) {
        i = find_column(a, i, end_a, b.column(j));
        if (i == end_a) break;
        if (a.column(i) == b.column(j)) {
            sum += a.value(i, wa[0], wa[1]) * b.value(j, wb[0], wb[1]);
        }
    }
    return sum;
}

bool all_fit_16_bits(std::span<const std::uint32_t> values) {
    std::uint32_t bits = 0;
    for (const std::uint32_t value : values) bits |= value;
    return bits <= std::numeric_limits<std::uint16_t>::max();
}

}  // namespace

void CountBlock::set_entries(const CountEntries<std::uint32_t>& wide) {
    set_entries(wide, wide.column.size());
}

void CountBlock::set_entries(const CountEntries<std::uint32_t>& wide, std::size_t n) {
    const auto take = [n](const std::vector<std::uint32_t>& values) {
        return std::span(values).first(values.empty() ? 0 : n);
    };
    const auto column = take(wide.column), first = take(wide.first), second = take(wide.second);
    const auto assign = [&]<class Integer>(CountEntries<Integer>& to) {
        to.column.assign(column.begin(), column.end());
        to.first.assign(first.begin(), first.end());
        to.second.assign(second.begin(), second.end());
    };
    if (all_fit_16_bits(column) && all_fit_16_bits(first) && all_fit_16_bits(second)) {
        assign(entries.emplace<CountEntries<std::uint16_t>>());
    } else {
        assign(entries.emplace<CountEntries<std::uint32_t>>());
    }
}

CountMatrix::CountMatrix(Index n_rows, Index n_cols) : n_rows_(n_rows), n_cols_(n_cols) {
    require(n_rows >= 0 && n_cols > 0, "a count matrix needs at least one column");
    require(n_cols <= Index{std::numeric_limits<std::uint32_t>::max()} + 1,
            "a count matrix has at most 2^32 columns");
}

void CountMatrix::start_at(Index row) {
    require(blocks_.empty() && row >= 0 && row <= n_rows_,
            "start_at: an empty count matrix and a row of it are needed");
    first_row_ = next_row_ = row;
}

void CountMatrix::append(CountBlock&& block) {
    if (block.n_rows() == 0) return;
    require(block.first_row == next_row_ && next_row_ + block.n_rows() <= n_rows_,
            "count blocks must follow each other in row order");
    next_row_ += block.n_rows();
    blocks_.push_back(std::move(block));
}

void CountMatrix::append(CountMatrix&& other) {
    require(other.n_rows_ == n_rows_ && other.n_cols_ == n_cols_,
            "count matrices must have one shape to be joined");
    for (auto& block : other.blocks_) append(std::move(block));
    other.blocks_.clear();
    other.next_row_ = other.first_row_;
}

void CountMatrix::require_complete() const {
    require(complete(), "count matrix has rows that were not counted yet");
}

std::vector<Index> CountMatrix::row_runs(Index n_runs) const {
    std::vector<Index> prefix;
    prefix.reserve(static_cast<std::size_t>(n_rows_) + 1);
    prefix.push_back(0);
    for (const auto& block : blocks_) {
        for (Index r = 0; r < block.n_rows(); ++r) {
            prefix.push_back(prefix.back() + block.row_start[r + 1] - block.row_start[r] + 1);
        }
    }
    return balanced_blocks(prefix, n_runs);
}

Index CountMatrix::nnz() const {
    Index total = 0;
    for (const auto& block : blocks_) total += block.row_start.back();
    return total;
}

Index CountMatrix::bytes() const {
    Index total = 0;
    for (const auto& block : blocks_) {
        const std::size_t bytes =
            block.with_entries([]<class Integer>(const CountEntries<Integer>& e) {
                return sizeof(Integer) * (e.column.size() + e.first.size() + e.second.size());
            });
        total += static_cast<Index>(bytes + sizeof(Index) * block.row_start.size());
    }
    return total;
}

std::array<std::vector<Count>, 2> CountMatrix::row_sums(int threads) const {
    require_complete();
    std::array<std::vector<Count>, 2> sums;
    for (auto& channel : sums) channel.assign(static_cast<std::size_t>(n_rows_), 0);
    parallel_for(static_cast<Index>(blocks_.size()), threads, [&](Index b) {
        const CountBlock& block = blocks_[b];
        block.with_entries([&](const auto& entries) {
            for (Index r = 0; r < block.n_rows(); ++r) {
                const Index row = block.first_row + r;
                const auto add = [&](const auto& counts) {
                    Count sum = 0;
                    for (Index k = block.row_start[r]; k < block.row_start[r + 1]; ++k) {
                        sum += counts[k];
                    }
                    return sum;
                };
                sums[0][row] = add(entries.first);
                if (!entries.second.empty()) sums[1][row] = add(entries.second);
            }
        });
    });
    return sums;
}

std::array<std::vector<Count>, 2> CountMatrix::column_sums(int threads) const {
    require_complete();
    using Sums = std::array<std::vector<Count>, 2>;
    const auto make_sums = [this] {
        Sums sums;
        for (auto& channel : sums) channel.assign(static_cast<std::size_t>(n_cols_), 0);
        return sums;
    };
    // Of each thread, added up at the end.
    std::deque<Sums> parts;
    std::mutex mutex;
    const auto make_part = [&] {
        const std::lock_guard<std::mutex> lock(mutex);
        return &parts.emplace_back(make_sums());
    };
    parallel_with(static_cast<Index>(blocks_.size()), threads, make_part, [&](Index b, Sums* sums) {
        blocks_[b].with_entries([&](const auto& entries) {
            for (std::size_t k = 0; k < entries.column.size(); ++k) {
                (*sums)[0][entries.column[k]] += entries.first[k];
                if (!entries.second.empty()) (*sums)[1][entries.column[k]] += entries.second[k];
            }
        });
    });
    Sums total = make_sums();
    for (const Sums& part : parts) {
        for (std::size_t channel : {0, 1}) {
            std::transform(part[channel].begin(), part[channel].end(), total[channel].begin(),
                           total[channel].begin(), std::plus<>());
        }
    }
    return total;
}

double CountMatrix::inner_product(const CountMatrix& other, std::array<double, 2> weights,
                                  std::array<double, 2> other_weights, int threads) const {
    require_complete();
    other.require_complete();
    require(n_rows_ == other.n_rows_ && n_cols_ == other.n_cols_,
            "inner_product: matrices must have one shape");
    const auto bounds = row_runs(64);
    std::vector<double> sums(bounds.size() - 1, 0.0);
    if (this == &other && weights == other_weights) {
        parallel_for(static_cast<Index>(sums.size()), threads, [&](Index run) {
            for_blocks(bounds[run], bounds[run + 1],
                       [&](const CountBlock& block, Index begin, Index end) {
                           add_squares(block, begin, end, weights, sums[run]);
                       });
        });
        return std::accumulate(sums.begin(), sums.end(), 0.0);
    }
    parallel_for(static_cast<Index>(sums.size()), threads, [&](Index run) {
        for_blocks(
            bounds[run], bounds[run + 1], [&](const CountBlock& block, Index begin, Index end) {
                // The other matrix may be cut into other blocks.
                Index row = begin;
                other.for_blocks(block.first_row + begin, block.first_row + end,
                                 [&](const CountBlock& there, Index first, Index last) {
                                     block.with_entries([&]<class A>(const CountEntries<A>& a) {
                                         there.with_entries([&]<class B>(const CountEntries<B>& b) {
                                             const Rows<A> ours{a, block.row_start.data()};
                                             const Rows<B> theirs{b, there.row_start.data()};
                                             for (Index r = first; r < last; ++r) {
                                                 sums[run] +=
                                                     row_inner_product(ours, row++, theirs, r,
                                                                       weights, other_weights);
                                             }
                                         });
                                     });
                                 });
            });
    });
    double total = 0.0;
    for (const double sum : sums) total += sum;
    return total;
}

}  // namespace ngramstat
