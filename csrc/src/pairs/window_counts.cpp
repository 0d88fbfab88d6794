#include "ngramstat/pairs/window_counts.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

constexpr Index kRuns = 256;          // of rows: enough to balance any thread count
constexpr Index kPrefetchAhead = 24;  // positions; hides the latency of one random line
constexpr Index kLine = 64;           // bytes of a cache line
constexpr Index kGroup = 16;          // lags counted in one pass over the positions of a token

template <class T>
using Table = std::vector<T, HugePageAllocator<T>>;

// Which columns a row has so far.
class Columns {
  public:
    explicit Columns(Index vocab_size)
        : marks_(static_cast<std::size_t>((vocab_size + 7) / 8 * 8), 0) {}

    std::uint8_t* marks() { return marks_.data(); }

    // Calls visit(column) for every marked column, in ascending order.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (std::size_t c = 0; c < marks_.size(); c += 8) {
            std::uint64_t eight;
            std::memcpy(&eight, marks_.data() + c, 8);
            if (eight == 0) continue;
            for (std::size_t k = c; k < c + 8; ++k) {
                if (marks_[k]) visit(static_cast<Index>(k));
            }
        }
    }
    void unmark(Index column) { marks_[static_cast<std::size_t>(column)] = 0; }

  private:
    Table<std::uint8_t> marks_;
};

// Counters of one row: one per column, for all lags.
class SumCounters {
  public:
    using Value = Count;

    SumCounters(Index vocab_size, const ContextWindow&)
        : columns_(vocab_size), counts_(static_cast<std::size_t>(vocab_size), 0) {}

    // A function add(column, slot), where slot is the place of a lag in its group.
    auto adder() {
        return [counts = counts_.data(), marks = columns_.marks()](std::size_t column, Index) {
            ++counts[column];
            marks[column] = 1;
        };
    }
    void end_group(std::size_t) {}
    void end_row(ContextRows<Count>& out) {
        columns_.for_each([&](Index column) {
            out.column.push_back(static_cast<std::int32_t>(column));
            out.value.push_back(counts_[column]);
            counts_[column] = 0;
            columns_.unmark(column);
        });
    }

  private:
    Columns columns_;
    Table<Count> counts_;
};

// Counters of one row: one per column and lag of the group at hand, and the weighted sum over the
// groups before it.
template <class Counter>
class LagCounters {
  public:
    using Value = double;

    LagCounters(Index vocab_size, const ContextWindow& window)
        : columns_(vocab_size),
          weights_(window.weights),
          counts_(static_cast<std::size_t>(vocab_size * kGroup), 0),
          sums_(static_cast<std::size_t>(vocab_size), 0.0) {}

    auto adder() {
        return [counts = counts_.data(), marks = columns_.marks()](std::size_t column, Index slot) {
            ++counts[column * kGroup + static_cast<std::size_t>(slot)];
            marks[column] = 1;
        };
    }
    // The group's first lag is the one of this place in the window.
    void end_group(std::size_t first_lag) {
        const std::size_t size = std::min<std::size_t>(kGroup, weights_.size() - first_lag);
        const double* weights = weights_.data() + first_lag;
        columns_.for_each([&](Index column) {
            Counter* counts = counts_.data() + column * kGroup;
            double sum = sums_[column];
            for (std::size_t s = 0; s < size; ++s) {
                sum += weights[s] * static_cast<double>(counts[s]);
            }
            sums_[column] = sum;
            std::fill_n(counts, size, Counter{0});
        });
    }
    void end_row(ContextRows<double>& out) {
        columns_.for_each([&](Index column) {
            out.column.push_back(static_cast<std::int32_t>(column));
            out.value.push_back(sums_[column]);
            sums_[column] = 0.0;
            columns_.unmark(column);
        });
    }

  private:
    Columns columns_;
    std::vector<double> weights_;
    Table<Counter> counts_;
    Table<double> sums_;
};

// Lags of a window that are counted together.
struct LagGroup {
    std::array<Index, kGroup> lags;
    Index size = 0;
    std::vector<Index> lines;  // offsets from a position whose lines hold all its pairs' tokens

    LagGroup(std::span<const Index> of_window, bool both_sides, Index tokens_of_line) {
        std::vector<Index> offsets;
        for (const Index lag : of_window) {
            lags[static_cast<std::size_t>(size++)] = lag;
            offsets.push_back(lag);
            if (both_sides) offsets.push_back(-lag);
        }
        std::sort(offsets.begin(), offsets.end());
        for (std::size_t k = 0; k < offsets.size(); ++k) {
            // The last offset before a gap may lie on a line that the one before does not reach.
            const bool last =
                k + 1 == offsets.size() || offsets[k + 1] - offsets[k] > tokens_of_line;
            if (lines.empty() || last || offsets[k] - lines.back() >= tokens_of_line) {
                lines.push_back(offsets[k]);
            }
        }
    }
    // How many lags, from the shortest on, stay within `room` tokens.
    Index within(Index room) const {
        if (lags[static_cast<std::size_t>(size - 1)] <= room) return size;
        Index n = 0;
        while (lags[static_cast<std::size_t>(n)] <= room) ++n;
        return n;
    }
};

template <class Token, class Position>
class RowReader {
  public:
    RowReader(std::span<const Token> tokens, const PositionIndex<Position>& index,
              const ContextWindow& window)
        : tokens_(tokens), index_(index), window_(window) {}

    // Feeds the pairs of one group of positions at some lags to add(column, slot).
    template <class Add>
    void read(Index group, const LagGroup& lags, Add&& add) const {
        const auto positions = index_.group(group);
        const Index size = static_cast<Index>(positions.size());
        const Index n = static_cast<Index>(tokens_.size());
        const Token* const stream = tokens_.data();
        const Index offset = index_.offsets[group];
        for (Index k = 0; k < size; ++k) {
            if (k + kPrefetchAhead < size) {
                const Index ahead = static_cast<Index>(positions[k + kPrefetchAhead]);
                for (const Index line : lags.lines) {
                    prefetch(stream + std::clamp<Index>(ahead + line, 0, n - 1));
                }
            }
            const Index at = static_cast<Index>(positions[k]);
            const Index after = lags.within(
                window_.within_content ? Index{index_.remaining[offset + k]} : n - 1 - at);
            for (Index s = 0; s < after; ++s) add(stream[at + lags.lags[s]], s);
            if (!window_.both_sides) continue;
            const Index before =
                lags.within(window_.within_content ? Index{index_.preceding[offset + k]} : at);
            for (Index s = 0; s < before; ++s) add(stream[at - lags.lags[s]], s);
        }
    }

  private:
    std::span<const Token> tokens_;
    const PositionIndex<Position>& index_;
    const ContextWindow& window_;
};

template <class Position>
void check_window(const PositionIndex<Position>& index, Index n_tokens, TokenRange rows,
                  const ContextWindow& window) {
    require(!window.lags.empty(), "a window needs at least one lag");
    Index before = 0;
    for (const Index lag : window.lags) {
        require(lag > before, "lags must ascend from at least 1");
        before = lag;
    }
    require(before < Index{std::numeric_limits<std::uint32_t>::max()},
            "lags must be below 2^32 - 1");
    require(window.weights.empty() || window.weights.size() == window.lags.size(),
            "a window needs one weight for each lag");
    require(
        index.range.first <= rows.first && rows.first <= rows.last && rows.last <= index.range.last,
        "rows must lie inside the range of the index");
    const std::size_t positions = index.positions.size();
    require(static_cast<Index>(positions) <= n_tokens, "the index belongs to a longer stream");
    require(!window.within_content || index.remaining.size() == positions,
            "pairs inside documents need an index with their ends");
    require(!window.within_content || !window.both_sides || index.preceding.size() == positions,
            "pairs to both sides inside documents need an index with their starts");
}

template <class Counters, class Token, class Position>
ContextRuns<typename Counters::Value> count_rows(std::span<const Token> tokens,
                                                 const PositionIndex<Position>& index,
                                                 Index vocab_size, TokenRange rows,
                                                 const ContextWindow& window, int threads) {
    const std::size_t n_lags = window.lags.size();
    std::vector<LagGroup> groups;
    for (std::size_t first = 0; first < n_lags; first += kGroup) {
        const std::size_t size = std::min<std::size_t>(kGroup, n_lags - first);
        groups.emplace_back(std::span(window.lags).subspan(first, size), window.both_sides,
                            kLine / static_cast<Index>(sizeof(Token)));
    }
    const Index first_group = 2 * (rows.first - index.range.first);
    std::vector<Index> prefix;
    for (Index r = 0; r <= rows.size(); ++r) {
        prefix.push_back(index.offsets[first_group + 2 * r] + r);
    }
    const auto bounds = balanced_blocks(prefix, kRuns);
    const Index n_runs = static_cast<Index>(bounds.size()) - 1;
    ContextRuns<typename Counters::Value> runs(static_cast<std::size_t>(n_runs));
    const RowReader<Token, Position> reader(tokens, index, window);
    parallel_with(
        n_runs, threads, [&] { return Counters(vocab_size, window); },
        [&](Index run, Counters& counters) {
            auto& out = runs[static_cast<std::size_t>(run)];
            out.row_start.push_back(0);
            for (Index row = bounds[run]; row < bounds[run + 1]; ++row) {
                const Index halves = first_group + 2 * row;
                if (index.offsets[halves] < index.offsets[halves + 2]) {
                    for (std::size_t g = 0; g < groups.size(); ++g) {
                        reader.read(halves, groups[g], counters.adder());
                        reader.read(halves + 1, groups[g], counters.adder());
                        counters.end_group(g * kGroup);
                    }
                    counters.end_row(out);
                }
                out.row_start.push_back(static_cast<Index>(out.column.size()));
            }
        });
    return runs;
}

}  // namespace

template <class Token, class Position>
ContextRuns<Count> sum_contexts(std::span<const Token> tokens, const PositionIndex<Position>& index,
                                Index vocab_size, TokenRange rows, const ContextWindow& window,
                                int threads) {
    check_window(index, static_cast<Index>(tokens.size()), rows, window);
    require(window.weights.empty(), "sums of counts have no weights");
    return count_rows<SumCounters>(tokens, index, vocab_size, rows, window, threads);
}

template <class Token, class Position>
ContextRuns<double> weigh_contexts(std::span<const Token> tokens,
                                   const PositionIndex<Position>& index, Index vocab_size,
                                   TokenRange rows, const ContextWindow& window, bool wide,
                                   int threads) {
    check_window(index, static_cast<Index>(tokens.size()), rows, window);
    require(!window.weights.empty(), "weighted sums need weights");
    for (Index row = 0; row < index.range.size(); ++row) {
        // Each occurrence counts once on either side.
        wide = wide || index.offsets[2 * row + 2] - index.offsets[2 * row] >= Index{1} << 31;
    }
    if (wide) {
        return count_rows<LagCounters<std::uint64_t>>(tokens, index, vocab_size, rows, window,
                                                      threads);
    }
    return count_rows<LagCounters<std::uint32_t>>(tokens, index, vocab_size, rows, window, threads);
}

#define NGRAMSTAT_INSTANTIATE(Token, Position)                                                     \
    template ContextRuns<Count> sum_contexts(std::span<const Token>,                               \
                                             const PositionIndex<Position>&, Index, TokenRange,    \
                                             const ContextWindow&, int);                           \
    template ContextRuns<double> weigh_contexts(std::span<const Token>,                            \
                                                const PositionIndex<Position>&, Index, TokenRange, \
                                                const ContextWindow&, bool, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t, std::uint32_t)
NGRAMSTAT_INSTANTIATE(std::uint16_t, std::uint64_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t, std::uint32_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t, std::uint64_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
