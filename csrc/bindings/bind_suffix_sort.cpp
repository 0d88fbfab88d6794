#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/ngram_counts.hpp"
#include "ngramstat/suffix_sort.hpp"

namespace ngramstat::bindings {

namespace {

// (k, 2) array of (count, number of n-grams with that count).
py::array_t<Count> to_table(const CountsOfCounts& counts) {
    std::vector<Count> flat;
    flat.reserve(2 * counts.size());
    for (const auto& [count, number] : counts) {
        flat.push_back(count);
        flat.push_back(number);
    }
    const py::ssize_t rows = static_cast<py::ssize_t>(counts.size());
    return to_array(std::move(flat), {rows, 2});
}

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
        "count_ngrams",
        [](const Array<Token>& tokens, Index vocab_size, int max_context,
           const Array<Index>& document_ends, const Array<Index>& unit_ends,
           const Array<std::uint8_t>& quarters, const Array<std::uint32_t>& groups, Index n_groups,
           Index first_token, Index last_token, int threads) {
            const auto stream = as_span(tokens);
            const auto ends = as_span(document_ends);
            const NgramUnits units{as_span(unit_ends), as_span(quarters), as_span(groups),
                                   n_groups};
            NgramCounts counts;
            {
                const py::gil_scoped_release release;
                counts = count_ngrams(stream, vocab_size, max_context, ends, units,
                                      TokenRange{first_token, last_token}, threads);
            }
            py::list subsets;
            for (int s = 0; s < kSubsets; ++s) {
                py::list ngrams;
                py::list contexts;
                for (const auto& table : counts.ngrams[s]) ngrams.append(to_table(table));
                for (const auto& table : counts.contexts[s]) contexts.append(to_table(table));
                subsets.append(py::make_tuple(ngrams, contexts, counts.targets[s]));
            }
            return py::make_tuple(subsets,
                                  to_array(std::move(counts.losses), {n_groups, max_context + 1}),
                                  to_array(std::move(counts.group_targets)));
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("max_context"),
        py::arg("document_ends").noconvert(), py::arg("unit_ends").noconvert(),
        py::arg("quarters").noconvert(), py::arg("groups").noconvert(), py::arg("n_groups"),
        py::arg("first_token"), py::arg("last_token"), py::arg("threads"));
}

}  // namespace

void bind_suffix_sort(py::module_& m) {
    m.attr("MAX_DEPTH") = kMaxDepth;
    m.attr("LOSS_BITS") = kLossBits;
    m.def(
        "suffix_packing",
        [](Index vocab_size, int depth) {
            const SuffixPacking packing(vocab_size, depth);
            return py::make_tuple(packing.entry_bytes(), packing.reads_text(depth));
        },
        py::arg("vocab_size"), py::arg("depth"));
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
