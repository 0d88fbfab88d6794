#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/suffixes/ngram_table.hpp"

namespace ngramstat::bindings {

namespace {

NgramUnits units_named(const std::string& name) {
    if (name == "stream") return NgramUnits::stream;
    if (name == "documents") return NgramUnits::documents;
    require(name == "content", "units must be stream, documents or content");
    return NgramUnits::content;
}

// (columns, counts, followers, predecessors, documents); columns has one row per position of the
// n-gram, and what was not asked for is empty.
template <class Token>
py::tuple to_tuple(NgramTable<Token>&& table, int order) {
    const auto rows = static_cast<py::ssize_t>(table.counts.size());
    return py::make_tuple(to_array(std::move(table.columns), {order, rows}),
                          to_array(std::move(table.counts)), to_array(std::move(table.followers)),
                          to_array(std::move(table.predecessors)),
                          to_array(std::move(table.documents)));
}

template <class Token>
void bind_for(py::module_& m) {
    m.def(
        "list_ngrams",
        [](const Array<Token>& tokens, Index vocab_size, const NgramTableOptions& options,
           const Documents& documents, Index first_token, Index last_token, int threads) {
            const auto stream = as_span(tokens);
            std::vector<NgramTable<Token>> tables;
            {
                const py::gil_scoped_release release;
                tables = list_ngrams(stream, vocab_size, options, documents,
                                     TokenRange{first_token, last_token}, threads);
            }
            py::list result;
            for (std::size_t o = 0; o < tables.size(); ++o) {
                result.append(to_tuple(std::move(tables[o]), options.orders[o]));
            }
            return result;
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("options"),
        py::arg("documents"), py::arg("first_token"), py::arg("last_token"), py::arg("threads"));
}

}  // namespace

void bind_ngram_table(py::module_& m) {
    py::class_<NgramTableOptions>(m, "NgramTableOptions")
        .def(py::init([](std::vector<int> orders, Count min_count, const std::string& units,
                         bool followers, bool predecessors, bool documents) {
                 return NgramTableOptions{std::move(orders), min_count,    units_named(units),
                                          followers,         predecessors, documents};
             }),
             py::kw_only(), py::arg("orders"), py::arg("min_count"), py::arg("units"),
             py::arg("followers"), py::arg("predecessors"), py::arg("documents"));
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
