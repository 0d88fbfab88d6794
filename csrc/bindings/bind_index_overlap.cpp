#include <stdexcept>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/index/overlap.hpp"

namespace ngramstat::bindings {

namespace {

// Rows (first, last).
std::span<const MatchRange> as_ranges(const Array<Index>& rows) {
    if (rows.ndim() != 2 || rows.shape(1) != 2) {
        throw std::invalid_argument("ranges must have the shape (n, 2)");
    }
    static_assert(sizeof(MatchRange) == 2 * sizeof(Index));
    return {reinterpret_cast<const MatchRange*>(rows.data()),
            static_cast<std::size_t>(rows.shape(0))};
}

std::span<Index> as_output(py::array_t<Index>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

template <class Token>
SuffixIndex<Token> suffix_index(const Array<Token>& tokens, const Array<std::uint32_t>& suffixes,
                                const Array<Index>& token_starts, Index depth) {
    return {as_span(tokens), as_span(suffixes), as_span(token_starts),
            static_cast<Index>(token_starts.size()) - 2, depth};
}

template <class Token>
void bind_for(py::module_& m) {
    m.def(
        "longest_matches",
        [](const Array<Token>& tokens, const Array<std::uint32_t>& suffixes,
           const Array<Index>& token_starts, Index depth, const Array<Token>& text,
           const Array<Index>& ranges, bool is_own, int threads) {
            const SuffixIndex<Token> index = suffix_index(tokens, suffixes, token_starts, depth);
            const MatchQueries<Token> queries{as_span(text), as_ranges(ranges), is_own};
            py::array_t<Index> lengths(ranges.shape(0)), occurrences(ranges.shape(0)),
                places(ranges.shape(0));
            const Matches matches{as_output(lengths), as_output(occurrences), as_output(places)};
            {
                const py::gil_scoped_release release;
                longest_matches(index, queries, matches, threads);
            }
            return py::make_tuple(lengths, occurrences, places);
        },
        py::arg("tokens").noconvert(), py::arg("suffixes").noconvert(),
        py::arg("token_starts").noconvert(), py::arg("depth"), py::arg("text").noconvert(),
        py::arg("ranges").noconvert(), py::arg("is_own"), py::arg("threads"));
    m.def(
        "common_lengths",
        [](const Array<Token>& tokens, const Array<Token>& text, const Array<Index>& ranges,
           const Array<Index>& places) {
            const auto indexed = as_span(tokens);
            const MatchQueries<Token> queries{as_span(text), as_ranges(ranges)};
            const auto begins = as_span(places);
            py::array_t<Index> lengths(ranges.shape(0));
            const auto out = as_output(lengths);
            {
                const py::gil_scoped_release release;
                common_lengths(indexed, queries, begins, out);
            }
            return lengths;
        },
        py::arg("tokens").noconvert(), py::arg("text").noconvert(), py::arg("ranges").noconvert(),
        py::arg("places").noconvert());
}

}  // namespace

void bind_index_overlap(py::module_& m) {
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
