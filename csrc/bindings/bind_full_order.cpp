#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/suffixes/full_order.hpp"

namespace ngramstat::bindings {

namespace {

// A text with the arrays that it looks at.
template <class Token>
struct HeldText {
    Array<Token> tokens;
    Array<Index> document_ends;
    SuffixText<Token> text;

    HeldText(Array<Token> of_tokens, Index vocab_size, int depth, Index stop_token,
             Array<Index> ends)
        : tokens(std::move(of_tokens)),
          document_ends(std::move(ends)),
          text{as_span(tokens), vocab_size, depth, stop_token, as_span(document_ends)} {
        text.check();
    }
};

template <class Token>
void bind_for(py::module_& m, py::class_<SampleRanks>& sample, const char* name) {
    using Text = HeldText<Token>;
    py::class_<Text>(m, name)
        .def(py::init<Array<Token>, Index, int, Index, Array<Index>>(),
             py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("depth"),
             py::arg("stop_token"), py::arg("document_ends").noconvert())
        .def(
            "sort",
            [](const Text& self, Index first_token, Index last_token, const SampleRanks* ranks,
               Array<std::uint32_t> suffixes, int threads) {
                const std::span<std::uint32_t> out(suffixes.mutable_data(),
                                                   static_cast<std::size_t>(suffixes.size()));
                const py::gil_scoped_release release;
                return sort_suffixes(self.text, TokenRange{first_token, last_token}, ranks, out,
                                     threads);
            },
            py::arg("first_token"), py::arg("last_token"), py::arg("ranks").none(true),
            py::arg("suffixes").noconvert(), py::arg("threads"));
    sample
        .def(
            "sort",
            [](SampleRanks& self, const Text& text, Index first_token, Index last_token,
               int threads) {
                const py::gil_scoped_release release;
                self.sort(text.text, TokenRange{first_token, last_token}, threads);
            },
            py::arg("text"), py::arg("first_token"), py::arg("last_token"), py::arg("threads"))
        .def(
            "refine",
            [](SampleRanks& self, const Text& text) {
                const py::gil_scoped_release release;
                return self.refine(text.text);
            },
            py::arg("text"));
}

}  // namespace

void bind_full_order(py::module_& m) {
    py::class_<SampleRanks> sample(m, "SampleRanks");
    sample.def(py::init<Index>(), py::arg("n_tokens"))
        .def_property_readonly("complete", &SampleRanks::complete);
    bind_for<std::uint16_t>(m, sample, "SuffixText16");
    bind_for<std::uint32_t>(m, sample, "SuffixText32");
}

}  // namespace ngramstat::bindings
