#include "ngramstat/pairs/count_matrix.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/pairs/count_rows.hpp"

namespace ngramstat {

namespace {

// Merges two sorted rows and sums the products of entries in common columns.
template <class A, class B>
double row_inner_product(const Rows<A>& a, Index row_a, const Rows<B>& b, Index row_b,
                         std::array<double, 2> wa, std::array<double, 2> wb) {
    double sum = 0.0;
    Index i = a.row_start[row_a];
    Index j = b.row_start[row_b];
    while (i < a.row_start[row_a + 1] && j < b.row_start[row_b + 1]) {
        if (a.column(i) < b.column(j)) {
            ++i;
        } else if (b.column(j) < a.column(i)) {
            ++j;
        } else {
            sum += a.value(i++, wa[0], wa[1]) * b.value(j++, wb[0], wb[1]);
        }
    }
    return sum;
}

// Where the entries of each column of a matrix begin in its transpose.
struct ColumnStarts {
    std::vector<Index> offset;  // n_cols + 1
    bool has_second = false;    // some block has counts of class 1
};

ColumnStarts starts_of_columns(const std::vector<CountBlock>& blocks, Index n_cols) {
    ColumnStarts starts{std::vector<Index>(static_cast<std::size_t>(n_cols) + 1, 0)};
    for (const auto& block : blocks) {
        block.with_entries([&](const auto& entries) {
            starts.has_second = starts.has_second || !entries.second.empty();
            for (const auto column : entries.column) ++starts.offset[Index{column} + 1];
        });
    }
    for (Index c = 0; c < n_cols; ++c) starts.offset[c + 1] += starts.offset[c];
    return starts;
}

// Writes those entries of a block that lie in columns [first, last) to `out`, whose entries begin
// with column `first`. next[c - first] is where the next entry of column c goes.
template <class Integer>
void gather_block(const CountBlock& block, const CountEntries<Integer>& entries, Index first,
                  Index last, std::vector<Index>& next, CountEntries<std::uint32_t>& out) {
    const auto* columns = entries.column.data();
    for (Index r = 0; r < block.n_rows(); ++r) {
        // Columns ascend within a row: those of this run lie together.
        const auto* end = columns + block.row_start[r + 1];
        const auto* at = std::lower_bound(columns + block.row_start[r], end, first);
        for (; at < end && *at < last; ++at) {
            const Index k = at - columns;
            const auto to = static_cast<std::size_t>(next[*at - first]++);
            out.column[to] = static_cast<std::uint32_t>(block.first_row + r);
            out.first[to] = entries.first[k];
            if (!entries.second.empty()) out.second[to] = entries.second[k];
        }
    }
}

// The entries of columns [first, last), column by column.
CountEntries<std::uint32_t> gather_columns(const std::vector<CountBlock>& blocks,
                                           const ColumnStarts& starts, Index first, Index last) {
    const Index begin = starts.offset[first];
    const std::size_t size = static_cast<std::size_t>(starts.offset[last] - begin);
    // Written out wide first, and again as blocks.
    release_pages_before(2 * size * (starts.has_second ? 3 : 2) * sizeof(std::uint32_t));
    CountEntries<std::uint32_t> entries;
    entries.column.resize(size);
    entries.first.resize(size);
    entries.second.resize(starts.has_second ? size : 0);
    std::vector<Index> next;
    for (Index c = first; c < last; ++c) next.push_back(starts.offset[c] - begin);
    for (const auto& block : blocks) {
        block.with_entries(
            [&](const auto& from) { gather_block(block, from, first, last, next, entries); });
    }
    return entries;
}

// The columns [first, last) as rows of the transpose, in blocks of kBlockColumns.
std::vector<CountBlock> cut_into_blocks(const CountEntries<std::uint32_t>& entries,
                                        const ColumnStarts& starts, Index first, Index last) {
    constexpr Index kBlockColumns = 64;
    const auto& offset = starts.offset;
    std::vector<CountBlock> blocks;
    for (Index c = first; c < last; c += kBlockColumns) {
        const Index end = std::min(last, c + kBlockColumns);
        const auto part = [&](const std::vector<std::uint32_t>& values) {
            if (values.empty()) return std::vector<std::uint32_t>();
            return std::vector<std::uint32_t>(values.begin() + (offset[c] - offset[first]),
                                              values.begin() + (offset[end] - offset[first]));
        };
        CountBlock block;
        block.first_row = c;
        for (Index k = c; k < end; ++k) block.row_start.push_back(offset[k + 1] - offset[c]);
        block.set_entries({part(entries.column), part(entries.first), part(entries.second)});
        blocks.push_back(std::move(block));
    }
    return blocks;
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

std::array<std::vector<Count>, 2> CountMatrix::row_sums() const {
    require_complete();
    std::array<std::vector<Count>, 2> sums;
    for (auto& channel : sums) channel.assign(static_cast<std::size_t>(n_rows_), 0);
    for (const auto& block : blocks_) {
        block.with_entries([&](const auto& entries) {
            for (Index r = 0; r < block.n_rows(); ++r) {
                const Index row = block.first_row + r;
                for (Index k = block.row_start[r]; k < block.row_start[r + 1]; ++k) {
                    sums[0][row] += entries.first[k];
                    if (!entries.second.empty()) sums[1][row] += entries.second[k];
                }
            }
        });
    }
    return sums;
}

std::array<std::vector<Count>, 2> CountMatrix::column_sums() const {
    require_complete();
    std::array<std::vector<Count>, 2> sums;
    for (auto& channel : sums) channel.assign(static_cast<std::size_t>(n_cols_), 0);
    for (const auto& block : blocks_) {
        block.with_entries([&](const auto& entries) {
            for (std::size_t k = 0; k < entries.column.size(); ++k) {
                sums[0][entries.column[k]] += entries.first[k];
                if (!entries.second.empty()) sums[1][entries.column[k]] += entries.second[k];
            }
        });
    }
    return sums;
}

CountMatrix CountMatrix::transposed(int threads) const {
    require_complete();
    require(n_rows_ > 0, "transposed: a count matrix needs at least one column");
    const ColumnStarts starts = starts_of_columns(blocks_, n_cols_);
    // Runs of columns, each of which goes over all rows: few, as reading them costs as well.
    const auto bounds = balanced_blocks(starts.offset, std::max<Index>(2, 2 * Index{threads}));
    std::vector<std::vector<CountBlock>> runs(bounds.size() - 1);
    parallel_for(static_cast<Index>(runs.size()), threads, [&](Index run) {
        const Index first = bounds[run], last = bounds[run + 1];
        runs[run] =
            cut_into_blocks(gather_columns(blocks_, starts, first, last), starts, first, last);
    });
    CountMatrix result(n_cols_, n_rows_);
    for (auto& blocks : runs) {
        for (auto& block : blocks) result.append(std::move(block));
    }
    return result;
}

double CountMatrix::inner_product(const CountMatrix& other, std::array<double, 2> weights,
                                  std::array<double, 2> other_weights, int threads) const {
    require_complete();
    other.require_complete();
    require(n_rows_ == other.n_rows_ && n_cols_ == other.n_cols_,
            "inner_product: matrices must have one shape");
    const auto bounds = row_runs(64);
    std::vector<double> sums(bounds.size() - 1, 0.0);
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
