#include <stdexcept>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/index/duplicates.hpp"
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

template <class Token>
SuffixIndex<Token> suffix_index(const Array<Token>& tokens, const Array<std::uint32_t>& suffixes,
                                const Array<Index>& token_starts, Index depth) {
    return {as_span(tokens), as_span(suffixes), as_span(token_starts),
            static_cast<Index>(token_starts.size()) - 2, depth};
}

// An array of exactly this type, without a copy.
template <class T>
Array<T> exact(const py::handle& value) {
    if (!py::isinstance<Array<T>>(value)) {
        throw py::type_error("the arrays of a shard have other types, or are not contiguous");
    }
    return py::reinterpret_borrow<Array<T>>(value);
}

// What is common to all shards of an index.
struct DuplicateOptions {
    Index vocab_size;
    Index stop_token;
    Index length;
    bool later_only;
};

template <class Token>
void mark_in_shards(const py::list& shards, const ShardRanks& ranks,
                    const DuplicateOptions& options, int threads) {
    std::vector<Array<Token>> tokens;
    std::vector<Array<std::uint32_t>> suffixes;
    std::vector<SuffixIndex<Token>> indexes;
    std::vector<PositionBits> marks;
    for (const auto& item : shards) {
        const auto arrays = py::cast<py::tuple>(item);
        tokens.push_back(exact<Token>(arrays[0]));
        suffixes.push_back(exact<std::uint32_t>(arrays[1]));
        auto bits = exact<std::uint8_t>(arrays[2]);
        indexes.push_back({as_span(tokens.back()),
                           as_span(suffixes.back()),
                           {},
                           options.vocab_size,
                           0,
                           options.stop_token});
        marks.emplace_back(bits.mutable_data(), static_cast<std::size_t>(bits.size()));
    }
    const py::gil_scoped_release release;
    mark_duplicates<Token>(indexes, ranks, options.length, options.later_only, marks, threads);
}

// shards: tuples of tokens, suffixes and the bits to set.
void mark_duplicates_in(const py::list& shards, const Array<Index>& ranks, Index vocab_size,
                        Index stop_token, Index length, bool later_only, int threads) {
    ShardRanks ranges;
    for (const MatchRange& range : as_ranges(ranks)) ranges.push_back({range.first, range.last});
    const DuplicateOptions options{vocab_size, stop_token, length, later_only};
    if (shards.empty()) return;
    const auto first = py::cast<py::tuple>(shards[0]);
    if (py::isinstance<Array<std::uint16_t>>(first[0])) {
        mark_in_shards<std::uint16_t>(shards, ranges, options, threads);
    } else {
        mark_in_shards<std::uint32_t>(shards, ranges, options, threads);
    }
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
            const Matches matches{as_target(lengths), as_target(occurrences), as_target(places)};
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
            const auto out = as_target(lengths);
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
    m.def("mark_duplicates", &mark_duplicates_in, py::arg("shards"), py::arg("ranks").noconvert(),
          py::arg("vocab_size"), py::arg("stop_token"), py::arg("length"), py::arg("later_only"),
          py::arg("threads"));
}

}  // namespace ngramstat::bindings
