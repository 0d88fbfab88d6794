#include "ngramstat/pairs/pair_tables.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/simd.hpp"

namespace ngramstat {

namespace {

// Counters of one block of rows, both halves of the documents: half of a second-level cache.
constexpr Index kTableBytes = 1 << 18;
constexpr Index kMaxBlocks = 2048;  // all of them are written to at the same time
constexpr int kMaxRowBits = 8;
constexpr int kMaxLags = 8;  // in one entry
// Cells of a block for each entry from which sorting the entries takes less than reading all cells.
constexpr Index kSparse = 128;
constexpr Index kRuns = 32;  // of blocks, for each lag: enough to balance any thread count

int row_bits_of(Index vocab_size) {
    int bits = 0;
    while (bits < kMaxRowBits && (Index{4} << bits) * vocab_size <= kTableBytes &&
           (Index{1} << bits) < vocab_size) {
        ++bits;
    }
    return bits;
}

#if defined(__GNUC__) || defined(__clang__)
#define NGRAMSTAT_NOINLINE __attribute__((noinline))
#else
#define NGRAMSTAT_NOINLINE
#endif

// How the counter that an entry increments is read from its bits.
struct Layout {
    std::uint32_t group_mask, stride, column_mask;
    int shift;
};

// Counters that pass 255 continue from 1, so that they are never zero again; their cells are
// listed. Not inlined, so that all of the loop stays in registers.
NGRAMSTAT_NOINLINE void count_entries(std::span<const std::uint64_t> entries, Layout layout,
                                      std::uint8_t* counters, std::vector<std::uint32_t>& wrapped) {
    const std::uint64_t* const end = entries.data() + entries.size();
    for (const std::uint64_t* entry = entries.data(); entry < end; ++entry) {
        const std::uint32_t cell =
            (static_cast<std::uint32_t>(*entry) & layout.group_mask) * layout.stride +
            (static_cast<std::uint32_t>(*entry >> layout.shift) & layout.column_mask);
        if (++counters[cell] == 0) [[unlikely]] {
            counters[cell] = 1;
            wrapped.push_back(cell);
        }
    }
}

}  // namespace

bool pair_tables_fit(Index vocab_size) {
    const Index rows = Index{1} << row_bits_of(vocab_size);
    return 2 * rows * vocab_size <= kTableBytes && (vocab_size + rows - 1) / rows <= kMaxBlocks;
}

// Counters of the rows of one block, those of half 0 before those of half 1, and the cells read
// from them. A cell is a counter's place in `counters`.
template <class Token>
struct PairTables<Token>::Table {
    static constexpr std::uint32_t kWrap = 255;
    Index rows;
    Index vocab_size;
    Index stride;  // counters of a row: its columns, the one for no pair, and padding
    std::vector<std::uint8_t> counters;
    std::vector<std::uint32_t> wrapped;  // one cell per overflow
    std::vector<std::uint64_t> keys;     // of entries that are sorted instead
    CountEntries<std::uint32_t> cells;   // those that are not zero, filled from the front
    std::size_t n_cells = 0;

    Table(Index n_rows, Index n_columns)
        : rows(n_rows),
          vocab_size(n_columns),
          stride((n_columns + 64) / 64 * 64),
          counters(static_cast<std::size_t>(2 * n_rows * stride)) {
        for (auto* values : {&cells.column, &cells.first, &cells.second}) {
            values->resize(static_cast<std::size_t>(n_rows * n_columns));
        }
    }

    void clear() {
        std::fill(counters.begin(), counters.end(), 0);
        wrapped.clear();
        n_cells = 0;
    }

    // Appends the cells of row r that are not zero. `wrapped` is sorted.
    void gather_row(Index r) {
        const std::size_t first_of_row = n_cells;
        gather_counters(r);
        for (int half = 0; half < 2; ++half) add_overflows(r, half, first_of_row);
    }

  private:
    // Reads eight columns of both halves at a time: most are zero.
    void gather_counters(Index r) {
        std::uint8_t* const one = counters.data() + r * stride;
        std::uint8_t* const two = one + rows * stride;
        one[vocab_size] = two[vocab_size] = 0;  // no pairs
        const Index padded = (vocab_size + 7) / 8 * 8;
        for (Index c = 0; c < padded; c += 8) {
            std::uint64_t a, b;
            std::memcpy(&a, one + c, 8);
            std::memcpy(&b, two + c, 8);
            // The high bit of every byte that is not zero.
            constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7fULL;
            const std::uint64_t either = a | b;
            std::uint64_t marks = (((either & kLow) + kLow) | either) & ~kLow;
            for (; marks != 0; marks &= marks - 1) {
                const int bit = std::countr_zero(marks) & ~7;
                cells.column[n_cells] = static_cast<std::uint32_t>(c + bit / 8);
                cells.first[n_cells] = static_cast<std::uint32_t>(a >> bit & 0xff);
                cells.second[n_cells] = static_cast<std::uint32_t>(b >> bit & 0xff);
                ++n_cells;
            }
        }
    }

    // Adds what the overflows of the row's counters of one half stand for.
    void add_overflows(Index r, int half, std::size_t first_of_row) {
        const auto columns = std::span(cells.column).subspan(first_of_row, n_cells - first_of_row);
        const std::uint32_t base = static_cast<std::uint32_t>((r + half * rows) * stride);
        auto& counts = half == 0 ? cells.first : cells.second;
        auto wrap = std::lower_bound(wrapped.begin(), wrapped.end(), base);
        while (wrap != wrapped.end() && *wrap < base + vocab_size) {
            const std::uint32_t cell = *wrap;
            std::uint64_t times = 0;
            for (; wrap != wrapped.end() && *wrap == cell; ++wrap) ++times;
            const std::size_t at = static_cast<std::size_t>(
                std::lower_bound(columns.begin(), columns.end(), cell - base) - columns.begin());
            std::uint32_t& counted = counts[first_of_row + at];
            const std::uint64_t count = counted + times * kWrap;
            if (count > std::numeric_limits<std::uint32_t>::max()) {
                throw std::overflow_error(
                    "a pair occurs more than 2^32-1 times within one document half");
            }
            counted = static_cast<std::uint32_t>(count);
        }
    }
};

template <class Token>
PairTables<Token>::PairTables(std::span<const Token> tokens, TokenRange range, Index vocab_size,
                              const Documents& documents, int threads)
    : tokens_(tokens),
      range_(range),
      vocab_size_(vocab_size),
      documents_(&documents),
      row_bits_(row_bits_of(vocab_size)),
      column_bits_(bit_width(static_cast<std::uint64_t>(vocab_size))) {
    check_range(range, vocab_size);
    require(pair_tables_fit(vocab_size), "the vocabulary is too large for tables");
    const Index n = static_cast<Index>(tokens.size());
    documents.require_length(n);
    n_blocks_ = (range.size() + block_rows() - 1) / block_rows();
    chunks_ = chunk_bounds(n, 4 * Index{std::max(threads, 1)});

    std::vector<std::vector<Index>> sizes(static_cast<std::size_t>(n_chunks()));
    parallel_for(n_chunks(), threads, [&](Index c) {
        auto& chunk_sizes = sizes[c];
        chunk_sizes.assign(static_cast<std::size_t>(n_blocks_), 0);
        in_pieces(chunks_[c], chunks_[c + 1], [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                const Index token = tokens_[i];
                if (token >= vocab_size_) throw_token_out_of_range(tokens_[i], i, vocab_size_);
                if (token >= range_.first && token < range_.last) {
                    ++chunk_sizes[(token - range_.first) >> row_bits_];
                }
            }
        });
    });
    std::size_t total = 0;
    for (Index b = 0; b < n_blocks_; ++b) {
        for (Index c = 0; c < n_chunks(); ++c) {
            begin_.push_back(total);
            total = EntryStreams::begin_after(total + static_cast<std::size_t>(sizes[c][b]));
        }
    }
    end_ = begin_;
    n_entries_ = total;
}

template <class Token>
template <int kLags>
void PairTables<Token>::write_chunk(Kind kind, std::span<const Index> lags, Index chunk) {
    std::vector<std::size_t> begins;
    for (Index b = 0; b < n_blocks_; ++b) begins.push_back(begin_[region(chunk, b)]);
    EntryStreams streams(entries_, std::move(begins));
    const std::uint64_t row_mask = (std::uint64_t{1} << row_bits_) - 1;
    const std::uint64_t none = static_cast<std::uint64_t>(vocab_size_);
    std::array<Index, kLags> lag;
    std::copy_n(lags.begin(), kLags, lag.begin());
    const Index longest = lag.back(), shortest = lag.front();
    const Index n = static_cast<Index>(tokens_.size());
    const Token* stream = tokens_.data();

    const auto put = [&](Index i, std::uint64_t entry) {
        const Index row = static_cast<Index>(stream[i]) - range_.first;
        streams.put(static_cast<std::size_t>(row >> row_bits_),
                    entry | (static_cast<std::uint64_t>(row) & row_mask));
    };
    // Writes the positions of [first, last) that have a pair of this kind at some lag.
    // is_pair(right) says whether position `right` is the right token of one.
    const auto write = [&](Index begin, Index end, std::uint64_t half, auto&& is_pair) {
        in_pieces(begin, end, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                const Index token = stream[i];
                if (token < range_.first || token >= range_.last) continue;
                std::uint64_t entry = half;
                bool any = false;
                for (int s = 0; s < kLags; ++s) {
                    const bool pair = is_pair(i + lag[s]);
                    any = any || pair;
                    entry |= (pair ? std::uint64_t{stream[i + lag[s]]} : none) << column_shift(s);
                }
                if (any) put(i, entry);
            }
        });
    };

    const Index low = chunks_[chunk], high = chunks_[chunk + 1];
    const auto ends = documents_->ends();
    std::size_t d =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), low) - ends.begin());
    for (Index i = low; i < high; ++d) {
        const Index stop = std::min(high, ends[d]);
        const Index begin = documents_->content_starts()[d], end = documents_->content_ends()[d];
        const std::uint64_t half = std::uint64_t{documents_->halves()[d]} << row_bits_;
        if (kind == Kind::within) {
            // Up to `full` all lags stay inside the content, up to `last` the shortest one does.
            const Index first = std::max(i, begin);
            const Index full = std::min(stop, end - longest), last = std::min(stop, end - shortest);
            write(first, full, half, [](Index) { return true; });
            write(std::max(first, full), last, half, [&](Index right) { return right < end; });
        } else {
            // Before the content, then where the longest lag leaves it, then behind it.
            const auto anywhere = [&](Index right) { return right < n; };
            write(i, std::min(stop, begin), half, anywhere);
            const Index inside = std::max({i, begin, end - longest});
            write(inside, std::min(stop, end), half,
                  [&](Index right) { return right >= end && right < n; });
            write(std::max({i, begin, end}), stop, half, anywhere);
        }
        i = stop;
    }
    for (Index b = 0; b < n_blocks_; ++b) {
        end_[region(chunk, b)] = streams.next()[static_cast<std::size_t>(b)];
    }
    streams.finish();
}

template <class Token>
void PairTables<Token>::write_entries(Kind kind, std::span<const Index> lags, int threads) {
    parallel_for(n_chunks(), threads, [&](Index chunk) {
        switch (lags.size()) {
            case 1:
                return write_chunk<1>(kind, lags, chunk);
            case 2:
                return write_chunk<2>(kind, lags, chunk);
            case 3:
                return write_chunk<3>(kind, lags, chunk);
            case 4:
                return write_chunk<4>(kind, lags, chunk);
            case 5:
                return write_chunk<5>(kind, lags, chunk);
            case 6:
                return write_chunk<6>(kind, lags, chunk);
            case 7:
                return write_chunk<7>(kind, lags, chunk);
            default:
                return write_chunk<kMaxLags>(kind, lags, chunk);
        }
    });
}

template <class Token>
std::size_t PairTables<Token>::entries_of(Index block) const {
    std::size_t entries = 0;
    for (Index c = 0; c < n_chunks(); ++c) {
        entries += end_[region(c, block)] - begin_[region(c, block)];
    }
    return entries;
}

// Counts a block with few entries by sorting them.
template <class Token>
void PairTables<Token>::sort_block(Index block, int slot, Index rows, Table& table,
                                   CountBlock& out) const {
    const std::uint64_t row_mask = (std::uint64_t{1} << row_bits_) - 1;
    const std::uint64_t column_mask = (std::uint64_t{1} << column_bits_) - 1;
    auto& keys = table.keys;
    keys.clear();
    for (Index c = 0; c < n_chunks(); ++c) {
        const std::size_t k = region(c, block);
        for (const std::uint64_t* entry = entries_ + begin_[k]; entry < entries_ + end_[k];
             ++entry) {
            const std::uint64_t column = *entry >> column_shift(slot) & column_mask;
            if (static_cast<Index>(column) == vocab_size_) continue;  // no pair
            const std::uint64_t half = *entry >> row_bits_ & 1;
            keys.push_back(((*entry & row_mask) << column_bits_ | column) << 1 | half);
        }
    }
    std::sort(keys.begin(), keys.end());
    table.n_cells = 0;
    std::size_t i = 0;
    for (Index r = 0; r < rows; ++r) {
        while (i < keys.size() && static_cast<Index>(keys[i] >> 1 >> column_bits_) == r) {
            const std::uint64_t cell = keys[i] >> 1;
            std::uint32_t counts[2] = {};
            for (; i < keys.size() && keys[i] >> 1 == cell; ++i) ++counts[keys[i] & 1];
            table.cells.column[table.n_cells] = static_cast<std::uint32_t>(cell & column_mask);
            table.cells.first[table.n_cells] = counts[0];
            table.cells.second[table.n_cells] = counts[1];
            ++table.n_cells;
        }
        out.row_start.push_back(static_cast<Index>(table.n_cells));
    }
    out.set_entries(table.cells, table.n_cells);
}

template <class Token>
CountBlock PairTables<Token>::count_block(Index block, int slot, Table& table) const {
    const Index first_row = block << row_bits_;
    const Index rows = std::min(block_rows(), range_.size() - first_row);
    CountBlock out;
    out.first_row = range_.first + first_row;
    if (entries_of(block) == 0) {
        out.row_start.assign(static_cast<std::size_t>(rows) + 1, 0);
        return out;
    }
    if (static_cast<Index>(entries_of(block)) * kSparse < rows * vocab_size_) {
        sort_block(block, slot, rows, table, out);
        return out;
    }
    table.clear();
    const Layout layout{(std::uint32_t{2} << row_bits_) - 1,
                        static_cast<std::uint32_t>(table.stride),
                        (std::uint32_t{1} << column_bits_) - 1, column_shift(slot)};
    for (Index c = 0; c < n_chunks(); ++c) {
        const std::size_t k = region(c, block);
        count_entries({entries_ + begin_[k], end_[k] - begin_[k]}, layout, table.counters.data(),
                      table.wrapped);
    }
    std::sort(table.wrapped.begin(), table.wrapped.end());
    for (Index r = 0; r < rows; ++r) {
        table.gather_row(r);
        out.row_start.push_back(static_cast<Index>(table.n_cells));
    }
    out.set_entries(table.cells, table.n_cells);
    return out;
}

// Counts the entries that write_entries wrote for one kind at `slots` lags: the blocks of slot 0,
// then those of slot 1, ...
template <class Token>
std::vector<CountBlock> PairTables<Token>::count_blocks(Index slots, int threads) const {
    std::vector<Index> prefix{0};
    for (Index b = 0; b < n_blocks_; ++b) {
        prefix.push_back(prefix.back() + 1 + static_cast<Index>(entries_of(b)));
    }
    const auto bounds = balanced_blocks(prefix, kRuns);
    const Index runs = static_cast<Index>(bounds.size()) - 1;
    std::vector<CountBlock> blocks(static_cast<std::size_t>(n_blocks_ * slots));
    parallel_with(
        runs * slots, threads, [&] { return Table(block_rows(), vocab_size_); },
        [&](Index task, Table& table) {
            const Index run = task / slots, slot = task % slots;
            for (Index b = bounds[run]; b < bounds[run + 1]; ++b) {
                blocks[slot * n_blocks_ + b] = count_block(b, static_cast<int>(slot), table);
            }
        });
    return blocks;
}

template <class Token>
std::vector<PairCounts> PairTables<Token>::count(std::span<const Index> lags, EntryBuffer& buffer,
                                                 int threads) {
    for (const Index lag : lags) require(lag >= 1, "lags must be at least 1");
    if (buffer.size() < n_entries_) {
        EntryBuffer().swap(buffer);  // so that growing it copies nothing
        buffer.resize(n_entries_);
    }
    entries_ = buffer.data();
    std::vector<PairCounts> counts;
    for (std::size_t l = 0; l < lags.size(); ++l) {
        counts.push_back(
            {CountMatrix(vocab_size_, vocab_size_), CountMatrix(vocab_size_, vocab_size_)});
        counts.back().within.start_at(range_.first);
        counts.back().across.start_at(range_.first);
    }
    // Lags in ascending order, as write_chunk expects those of one entry.
    std::vector<std::size_t> by_lag(lags.size());
    for (std::size_t l = 0; l < lags.size(); ++l) by_lag[l] = l;
    std::sort(by_lag.begin(), by_lag.end(),
              [&](std::size_t x, std::size_t y) { return lags[x] < lags[y]; });
    const std::size_t together =
        static_cast<std::size_t>(std::min(kMaxLags, (64 - column_shift(0)) / column_bits_));
    for (std::size_t start = 0; start < by_lag.size(); start += together) {
        std::vector<Index> entry_lags;
        const std::size_t end = std::min(start + together, by_lag.size());
        for (std::size_t l = start; l < end; ++l) entry_lags.push_back(lags[by_lag[l]]);
        for (const Kind kind : {Kind::within, Kind::across}) {
            write_entries(kind, entry_lags, threads);
            auto blocks = count_blocks(static_cast<Index>(entry_lags.size()), threads);
            for (std::size_t slot = 0; slot < entry_lags.size(); ++slot) {
                PairCounts& of_lag = counts[by_lag[start + slot]];
                CountMatrix& matrix = kind == Kind::within ? of_lag.within : of_lag.across;
                for (Index b = 0; b < n_blocks_; ++b) {
                    matrix.append(std::move(blocks[static_cast<Index>(slot) * n_blocks_ + b]));
                }
            }
        }
    }
    return counts;
}

template class PairTables<std::uint16_t>;
template class PairTables<std::uint32_t>;

}  // namespace ngramstat
