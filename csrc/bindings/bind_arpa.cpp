#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/models/arpa.hpp"

namespace ngramstat::bindings {

namespace {

// (words, log_probs, backoffs) of every run of entries.
py::list to_list(std::vector<ArpaEntries>&& runs) {
    py::list out;
    for (ArpaEntries& run : runs) {
        const auto n = static_cast<py::ssize_t>(run.log_probs.size());
        out.append(py::make_tuple(to_array(std::move(run.words), {n, run.order}),
                                  to_array(std::move(run.log_probs)),
                                  to_array(std::move(run.backoffs))));
    }
    return out;
}

py::list to_bytes(const WordTable& words) {
    py::list out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        out.append(py::bytes(words[i].data(), words[i].size()));
    }
    return out;
}

}  // namespace

void bind_arpa(py::module_& m) {
    m.attr("MAX_ARPA_ORDER") = kMaxArpaOrder;
    py::class_<ArpaParser>(m, "ArpaParser")
        .def(py::init<>())
        .def(
            "feed",
            [](ArpaParser& self, const py::bytes& bytes) {
                const std::string_view text(bytes);
                const py::gil_scoped_release release;
                self.feed(text);
            },
            py::arg("data"))
        .def("finish", &ArpaParser::finish)
        .def("take", [](ArpaParser& self) { return to_list(self.take()); })
        .def("counts", &ArpaParser::counts)
        .def("first_lines", &ArpaParser::first_lines)
        .def("preamble", [](const ArpaParser& self) { return py::bytes(self.preamble()); })
        .def("words", [](const ArpaParser& self) { return to_bytes(self.words()); })
        .def("word_bytes", [](const ArpaParser& self) { return self.words().bytes(); });
    m.def(
        "arpa_lines",
        [](const Array<std::uint32_t>& words, const Array<double>& log_probs,
           const Array<double>& backoffs, const py::bytes& spellings, const Array<Index>& ends) {
            if (words.ndim() != 2) throw std::invalid_argument("words must be (n, order)");
            const int order = static_cast<int>(words.shape(1));
            const std::string_view text(spellings);
            const Spellings spelled{{text.data(), text.size()}, as_span(ends)};
            const auto ids = as_span(words);
            const auto probs = as_span(log_probs), weights = as_span(backoffs);
            std::string lines;
            {
                const py::gil_scoped_release release;
                lines = arpa_lines(ids, order, probs, weights, spelled);
            }
            return py::bytes(lines);
        },
        py::arg("words").noconvert(), py::arg("log_probs").noconvert(),
        py::arg("backoffs").noconvert(), py::arg("spellings"), py::arg("ends").noconvert());
}

}  // namespace ngramstat::bindings
