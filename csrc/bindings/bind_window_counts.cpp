#include <memory>
#include <variant>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/pairs/window_counts.hpp"

namespace ngramstat::bindings {

namespace {

// (row_start, columns, values) of all runs, which are freed one by one.
template <class Value>
py::tuple to_arrays(ContextRuns<Value>&& runs, int threads) {
    std::vector<Index> first_entry{0}, first_row{0};
    for (const auto& run : runs) {
        first_entry.push_back(first_entry.back() + static_cast<Index>(run.column.size()));
        first_row.push_back(first_row.back() + static_cast<Index>(run.row_start.size()) - 1);
    }
    py::array_t<Index> row_start(first_row.back() + 1);
    py::array_t<std::int32_t> column(first_entry.back());
    py::array_t<Value> value(first_entry.back());
    Index* const to_row = row_start.mutable_data();
    std::int32_t* const to_column = column.mutable_data();
    Value* const to_value = value.mutable_data();
    {
        const py::gil_scoped_release release;
        to_row[0] = 0;
        parallel_for(static_cast<Index>(runs.size()), threads, [&](Index r) {
            const ContextRows<Value> run = std::move(runs[r]);
            std::copy(run.column.begin(), run.column.end(), to_column + first_entry[r]);
            std::copy(run.value.begin(), run.value.end(), to_value + first_entry[r]);
            for (std::size_t k = 1; k < run.row_start.size(); ++k) {
                to_row[first_row[r] + static_cast<Index>(k)] = first_entry[r] + run.row_start[k];
            }
        });
    }
    return py::make_tuple(std::move(row_start), std::move(column), std::move(value));
}

// Counts rows of co-occurrence matrices by an index of positions, which is made once.
class WindowCounter {
  public:
    template <class Token>
    WindowCounter(const Array<Token>& tokens, Index vocab_size, const Documents& documents,
                  std::pair<Index, Index> rows, bool within_content, bool both_sides, int threads)
        : tokens_(tokens), vocab_size_(vocab_size) {
        window_.within_content = within_content;
        window_.both_sides = both_sides;
        const auto stream = as_span(tokens);
        const TokenRange range{rows.first, rows.second};
        const ContentLimits limits = !within_content ? ContentLimits::none
                                     : both_sides    ? ContentLimits::both
                                                     : ContentLimits::remaining;
        const py::gil_scoped_release release;
        if (stream.size() <= std::size_t{1} << 32) {
            index_ = index_document_positions<Token, std::uint32_t>(stream, range, vocab_size,
                                                                    documents, threads, limits);
        } else {
            index_ = index_document_positions<Token, std::uint64_t>(stream, range, vocab_size,
                                                                    documents, threads, limits);
        }
    }

    // Calls function(tokens, index) with their types.
    template <class Visit>
    auto visit(Visit&& function) const {
        return std::visit(
            [&](const auto& tokens, const auto& index) { return function(as_span(tokens), index); },
            tokens_, index_);
    }

    py::tuple sum(std::pair<Index, Index> rows, std::vector<Index> lags, int threads) const {
        ContextRuns<Count> runs;
        {
            const py::gil_scoped_release release;
            ContextWindow window = window_;
            window.lags = std::move(lags);
            runs = visit([&](auto tokens, const auto& index) {
                return sum_contexts(tokens, index, vocab_size_, {rows.first, rows.second}, window,
                                    threads);
            });
        }
        return to_arrays(std::move(runs), threads);
    }

    py::tuple weigh(std::pair<Index, Index> rows, std::vector<Index> lags,
                    std::vector<double> weights, bool wide, int threads) const {
        ContextRuns<double> runs;
        {
            const py::gil_scoped_release release;
            ContextWindow window = window_;
            window.lags = std::move(lags);
            window.weights = std::move(weights);
            runs = visit([&](auto tokens, const auto& index) {
                return weigh_contexts(tokens, index, vocab_size_, {rows.first, rows.second}, window,
                                      wide, threads);
            });
        }
        return to_arrays(std::move(runs), threads);
    }

  private:
    std::variant<Array<std::uint16_t>, Array<std::uint32_t>> tokens_;  // kept alive
    Index vocab_size_;
    ContextWindow window_;
    std::variant<PositionIndex<std::uint32_t>, PositionIndex<std::uint64_t>> index_;
};

template <class Token>
void bind_for(py::class_<WindowCounter>& counter) {
    counter.def(py::init<const Array<Token>&, Index, const Documents&, std::pair<Index, Index>,
                         bool, bool, int>(),
                py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("documents"),
                py::arg("rows"), py::arg("within_content"), py::arg("both_sides"),
                py::arg("threads"));
}

}  // namespace

void bind_window_counts(py::module_& m) {
    py::class_<WindowCounter> counter(m, "WindowCounter");
    bind_for<std::uint16_t>(counter);
    bind_for<std::uint32_t>(counter);
    counter
        .def("sum", &WindowCounter::sum, py::arg("rows"), py::arg("lags"), py::arg("threads"),
             "(row_start, columns, counts) of a range of rows.")
        .def("weigh", &WindowCounter::weigh, py::arg("rows"), py::arg("lags"), py::arg("weights"),
             py::arg("wide"), py::arg("threads"), "(row_start, columns, weighted sums).");
}

}  // namespace ngramstat::bindings
