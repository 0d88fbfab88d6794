// sum_contexts and weigh_contexts against loops over all pairs.
#include <map>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/pairs/window_counts.hpp"

namespace {

using namespace ngramstat;

// For each cell the pairs at each lag of a window.
using Cells = std::map<std::pair<Index, Index>, std::vector<Count>>;

template <class Token>
Cells naive_cells(const check::Stream<Token>& stream, const ContextWindow& window) {
    Cells cells;
    const auto add = [&](Token row, Token column, std::size_t lag) {
        auto& counts = cells[{row, column}];
        counts.resize(window.lags.size());
        ++counts[lag];
    };
    for (std::size_t l = 0; l < window.lags.size(); ++l) {
        std::size_t d = 0;
        for (Index i = 0; i < stream.size() && window.lags[l] < stream.size() - i; ++i) {
            while (i >= stream.ends[d]) ++d;
            const Index right = i + window.lags[l];
            const bool inside = i >= stream.content_starts[d] && i < stream.content_ends[d] &&
                                right < stream.content_ends[d];
            if (window.within_content && !inside) continue;
            add(stream.tokens[i], stream.tokens[right], l);
            if (window.both_sides) add(stream.tokens[right], stream.tokens[i], l);
        }
    }
    return cells;
}

template <class Value>
std::map<std::pair<Index, Index>, Value> values_of(const ContextRuns<Value>& runs, Index row) {
    std::map<std::pair<Index, Index>, Value> values;
    for (const auto& run : runs) {
        CHECK(run.row_start.front() == 0);
        CHECK(run.row_start.back() == static_cast<Index>(run.column.size()));
        CHECK(run.value.size() == run.column.size());
        for (std::size_t r = 0; r + 1 < run.row_start.size(); ++r, ++row) {
            for (Index k = run.row_start[r]; k < run.row_start[r + 1]; ++k) {
                CHECK(k == run.row_start[r] || run.column[k - 1] < run.column[k]);
                values[{row, run.column[k]}] = run.value[k];
            }
        }
    }
    return values;
}

template <class Position, class Token>
void check_window(const check::Stream<Token>& stream, ContextWindow window) {
    const auto cells = naive_cells(stream, window);
    std::map<std::pair<Index, Index>, Count> sums;
    std::map<std::pair<Index, Index>, double> weighted;
    std::vector<double> weights;
    for (const Index lag : window.lags) weights.push_back(1.0 / static_cast<double>(lag));
    for (const auto& [cell, counts] : cells) {
        for (std::size_t l = 0; l < counts.size(); ++l) {
            sums[cell] += counts[l];
            weighted[cell] += weights[l] * static_cast<double>(counts[l]);
        }
    }
    const Index v = stream.vocab_size;
    const int threads = window.both_sides ? 3 : 1;
    const auto index = index_document_positions<Token, Position>(
        stream.tokens, {0, v}, v, stream.documents(), threads, ContentLimits::both);
    std::map<std::pair<Index, Index>, Count> found;
    for (const TokenRange rows : {TokenRange{0, v / 3}, TokenRange{v / 3, v}}) {
        found.merge(values_of(sum_contexts<Token>(stream.tokens, index, v, rows, window, threads),
                              rows.first));
    }
    CHECK(found == sums);
    window.weights = weights;
    for (const bool wide : {false, true}) {
        const auto runs =
            weigh_contexts<Token>(stream.tokens, index, v, {0, v}, window, wide, threads);
        CHECK(values_of(runs, 0) == weighted);
    }
}

void refuses_bad_arguments() {
    const std::vector<std::uint16_t> tokens{0, 1, 0, 1};
    const auto index = index_document_positions<std::uint16_t, std::uint32_t>(
        tokens, {0, 2}, 2, Documents::single(4), 1, ContentLimits::none);
    const auto refused = [&](const ContextWindow& window, TokenRange rows) {
        try {
            sum_contexts<std::uint16_t>(tokens, index, 2, rows, window, 1);
        } catch (const std::invalid_argument&) {
            return true;
        }
        return false;
    };
    CHECK(!refused({{1, 2}, {}, true, false}, {0, 2}));
    CHECK(refused({{}, {}, false, false}, {0, 2}));
    CHECK(refused({{0}, {}, false, false}, {0, 2}));
    CHECK(refused({{2, 2}, {}, false, false}, {0, 2}));
    CHECK(refused({{Index{1} << 32}, {}, false, false}, {0, 2}));
    CHECK(refused({{1}, {1.0}, false, false}, {0, 2}));
    CHECK(refused({{1}, {}, false, false}, {0, 3}));
    CHECK(refused({{1}, {}, false, false}, {1, 0}));
    CHECK(refused({{1}, {}, false, true}, {0, 2}));
}

}  // namespace

int main() {
    std::vector<Index> many;
    for (Index lag = 1; lag <= 35; ++lag) many.push_back(lag);
    check::for_token_types([&]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            for (const bool both : {false, true}) {
                for (const bool within : {false, true}) {
                    check_window<std::uint32_t>(stream, {{1, 2, 3}, {}, both, within});
                    check_window<std::uint64_t>(stream, {{2, 40, 1000}, {}, both, within});
                    check_window<std::uint32_t>(stream, {many, {}, both, within});
                }
            }
        }
    });
    refuses_bad_arguments();
}
