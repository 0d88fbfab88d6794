#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/worlds/ngram_sampler.hpp"
#include "ngramstat/worlds/samplers.hpp"

namespace ngramstat::bindings {

namespace {

// One level of a tree as Python gives it: (n_parents, threshold, alias, children).
using LevelArrays =
    std::tuple<Index, Array<std::uint64_t>, Array<std::uint32_t>, Array<std::uint32_t>>;

// An n-gram model as Python gives it: (first, cumulative, token, next, suffix, words per token).
using NgramArrays = std::tuple<Array<Index>, Array<std::uint64_t>, Array<std::uint32_t>,
                               Array<std::uint32_t>, Array<std::uint32_t>, Index>;

template <class Token>
void bind_for(py::module_& m) {
    m.def(
        "sample_trees",
        [](const std::vector<LevelArrays>& levels, Index branching, bool by_child, Index n_tokens,
           std::uint64_t key, std::uint64_t first_leaf, Array<Token>& out, int threads) {
            TreeSource source;
            source.branching = branching;
            source.by_child = by_child;
            source.n_tokens = n_tokens;
            for (const auto& [n_parents, threshold, alias, children] : levels) {
                source.levels.push_back(
                    {n_parents, {as_span(threshold), as_span(alias)}, as_span(children)});
            }
            const std::span<Token> target = as_target(out);
            const py::gil_scoped_release release;
            sample_trees(source, key, first_leaf, target, threads);
        },
        py::arg("levels"), py::arg("branching"), py::arg("by_child"), py::arg("n_tokens"),
        py::arg("key"), py::arg("first_leaf"), py::arg("out").noconvert(), py::arg("threads"));
    m.def(
        "sample_paths",
        [](const Array<Index>& offsets, const Array<std::uint64_t>& threshold,
           const Array<std::uint32_t>& alias, const Array<std::uint32_t>& token,
           const Array<std::uint32_t>& next, std::uint64_t key, std::uint64_t first_word,
           Array<std::uint32_t>& states, Index length, Array<Token>& out, int threads) {
            const StateSource source{as_span(offsets), as_span(threshold), as_span(alias),
                                     as_span(token), as_span(next)};
            const std::span<std::uint32_t> walkers(states.mutable_data(),
                                                   static_cast<std::size_t>(states.size()));
            const std::span<Token> target = as_target(out);
            const py::gil_scoped_release release;
            sample_paths(source, key, first_word, walkers, length, target, threads);
        },
        py::arg("offsets").noconvert(), py::arg("threshold").noconvert(),
        py::arg("alias").noconvert(), py::arg("token").noconvert(), py::arg("next").noconvert(),
        py::arg("key"), py::arg("first_word"), py::arg("states").noconvert(), py::arg("length"),
        py::arg("out").noconvert(), py::arg("threads"));
    m.def(
        "sample_ngrams",
        [](const NgramArrays& arrays, Index first_full, Index vocab_size, Index never,
           std::uint64_t key, std::uint64_t first_token, std::uint32_t start,
           const Array<Index>& ends, Array<Token>& out, int threads) {
            const auto& [first, cumulative, token, next, suffix, words] = arrays;
            const NgramSource source{
                as_span(first), as_span(cumulative), as_span(token), as_span(next), as_span(suffix),
                first_full,     vocab_size,          never,          words};
            const auto documents = as_span(ends);
            const std::span<Token> target = as_target(out);
            const py::gil_scoped_release release;
            sample_ngrams(source, key, first_token, start, documents, target, threads);
        },
        py::arg("arrays"), py::arg("first_full"), py::arg("vocab_size"), py::arg("never"),
        py::arg("key"), py::arg("first_token"), py::arg("start"), py::arg("ends").noconvert(),
        py::arg("out").noconvert(), py::arg("threads"));
}

}  // namespace

void bind_samplers(py::module_& m) {
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
