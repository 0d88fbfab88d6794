#include "arrays.hpp"
#include "bind.hpp"
#include "ngram_tables.hpp"
#include "ngramstat/suffixes/copies.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat::bindings {

namespace {

template <class Token>
void bind_for(py::module_& m) {
    m.def(
        "suffix_array",
        [](const Array<Token>& tokens, Index vocab_size, int depth, bool backward, Index stop_token,
           int threads) {
            const auto stream = as_span(tokens);
            py::array_t<Index> suffixes(tokens.size());
            py::array_t<std::uint8_t> lcp(tokens.size());
            const std::span<Index> order(suffixes.mutable_data(), stream.size());
            const std::span<std::uint8_t> shared(lcp.mutable_data(), stream.size());
            {
                const py::gil_scoped_release release;
                suffix_array(stream, vocab_size, SuffixOrder{depth, backward, stop_token}, order,
                             shared, threads);
            }
            return py::make_tuple(suffixes, lcp);
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("depth"), py::arg("backward"),
        py::arg("stop_token"), py::arg("threads"));
    m.def(
        "mark_copies",
        [](const Array<Token>& scored, const Documents& documents, const Array<Token>& training,
           int length, int threads) {
            const auto tokens = as_span(scored), others = as_span(training);
            py::array_t<std::uint8_t> marks(scored.size());
            const std::span<std::uint8_t> out(marks.mutable_data(), tokens.size());
            {
                const py::gil_scoped_release release;
                mark_copies(tokens, documents, others, length, out, threads);
            }
            return marks;
        },
        py::arg("scored").noconvert(), py::arg("documents"), py::arg("training").noconvert(),
        py::arg("length"), py::arg("threads"));
}

template <class Token>
void bind_counts_for(py::module_& m) {
    m.def(
        "count_ngrams",
        [](const Array<Token>& tokens, Index vocab_size, int max_context,
           const Documents& documents, bool across, Index first_token, Index last_token,
           int threads, const std::vector<Index>& prefix) {
            const auto stream = as_span(tokens);
            NgramCounts counts;
            {
                const py::gil_scoped_release release;
                counts = count_ngrams(stream, vocab_size, max_context, documents, across,
                                      TokenRange{first_token, last_token}, threads, prefix);
            }
            return to_tuple(std::move(counts), documents.n_clusters(), max_context);
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("max_context"),
        py::arg("documents"), py::arg("across"), py::arg("first_token"), py::arg("last_token"),
        py::arg("threads"), py::arg("prefix"));
    m.def(
        "count_ngram",
        [](const Array<Token>& tokens, int max_context, const Documents& documents, bool across,
           const std::vector<Index>& ngram, int threads) {
            const auto stream = as_span(tokens);
            NgramCounts counts;
            {
                const py::gil_scoped_release release;
                counts = count_ngram(stream, max_context, documents, across,
                                     std::span<const Index>(ngram), threads);
            }
            return to_tuple(std::move(counts), documents.n_clusters(), max_context);
        },
        py::arg("tokens").noconvert(), py::arg("max_context"), py::arg("documents"),
        py::arg("across"), py::arg("ngram"), py::arg("threads"));
    m.def(
        "tokens_before",
        [](const Array<Token>& tokens, Index vocab_size, Index first, Index last,
           const std::vector<Index>& ngram, int threads) {
            const auto stream = as_span(tokens);
            std::vector<Index> counts;
            {
                const py::gil_scoped_release release;
                counts = tokens_before(stream, vocab_size, Segment{first, last},
                                       std::span<const Index>(ngram), threads);
            }
            return to_array(std::move(counts));
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("first"), py::arg("last"),
        py::arg("ngram"), py::arg("threads"));
}

}  // namespace

void bind_suffix_sort(py::module_& m) {
    m.attr("MAX_DEPTH") = kMaxDepth;
    m.attr("LOSS_BITS") = kLossBits;
    m.def("tokens_of_block", &tokens_of_block, py::arg("n_tokens"));
    m.def(
        "suffix_packing",
        [](Index vocab_size, int depth) {
            const SuffixPacking packing(vocab_size, depth);
            return py::make_tuple(packing.entry_bytes(), packing.reads_tokens(depth));
        },
        py::arg("vocab_size"), py::arg("depth"));
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
    bind_counts_for<std::uint16_t>(m);
    bind_counts_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
