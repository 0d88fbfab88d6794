#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/mixing/context_counts.hpp"
#include "ngramstat/mixing/mixer.hpp"
#include "ngramstat/mixing/packed_logits.hpp"

namespace ngramstat::bindings {

namespace {

TokenTree to_tree(const Array<std::uint32_t>& leaf_of, const Array<std::uint32_t>& split) {
    TokenTree tree;
    tree.leaf_of.assign(leaf_of.data(), leaf_of.data() + leaf_of.size());
    tree.split.assign(split.data(), split.data() + split.size());
    return tree;
}

template <class Token>
void bind_counts(py::class_<ContextCounts>& counts) {
    counts
        .def(py::init([](const Array<Token>& tokens, const Array<Index>& targets,
                         Index n_leave_one_out, Index second_stream, Index vocab_size,
                         Index stop_token, std::vector<int> offsets, std::vector<int> maps,
                         const Array<std::uint32_t>& class_maps, int threads) {
                 const Vocabulary vocabulary{vocab_size, stop_token};
                 if (class_maps.ndim() != 2 || class_maps.shape(1) != vocabulary.n_symbols()) {
                     throw std::invalid_argument("class_maps must be (n_maps, n_symbols)");
                 }
                 const auto stream = as_span(tokens);
                 const auto positions = as_span(targets);
                 const auto classes = as_span(class_maps);
                 const ContextPattern pattern{std::move(offsets), std::move(maps)};
                 const py::gil_scoped_release release;
                 return std::make_unique<ContextCounts>(stream, positions, n_leave_one_out,
                                                        second_stream, vocabulary, pattern, classes,
                                                        threads);
             }),
             py::arg("tokens").noconvert(), py::arg("targets").noconvert(),
             py::arg("n_leave_one_out"), py::arg("second_stream"), py::arg("vocab_size"),
             py::arg("stop_token"), py::arg("offsets"), py::arg("maps"),
             py::arg("class_maps").noconvert(), py::arg("threads"))
        .def(
            "count",
            [](ContextCounts& self, const Array<Token>& training, Index first_event,
               Index first_leave_one_out, int continuation_offset, Index max_events, int threads,
               const Array<std::uint64_t>& candidates, Array<std::uint64_t>& known) {
                const auto stream = as_span(training);
                const auto searched = as_span(candidates);
                const auto found = as_target(known);
                const Counting counting{first_event, first_leave_one_out, continuation_offset,
                                        max_events, threads};
                const py::gil_scoped_release release;
                self.count(stream, counting, searched, found);
            },
            py::arg("training").noconvert(), py::arg("first_event"), py::arg("first_leave_one_out"),
            py::arg("continuation_offset"), py::arg("max_events"), py::arg("threads"),
            py::arg("candidates").noconvert(), py::arg("known").noconvert());
}

MixerInputs to_inputs(const Array<std::uint16_t>& packed_logits,
                      const Array<std::uint16_t>& selectors) {
    if (packed_logits.ndim() != 2 || selectors.ndim() != 2) {
        throw std::invalid_argument("packed_logits and selectors must have two dimensions");
    }
    return {packed_logits.shape(1), as_span(packed_logits), as_span(selectors)};
}

void bind_context_counts(py::module_& m) {
    py::class_<ContextCounts> counts(m, "ContextCounts");
    bind_counts<std::uint16_t>(counts);
    bind_counts<std::uint32_t>(counts);
    counts
        .def(
            "counts_of_counts",
            [](const ContextCounts& self, bool continuation, bool left_out, int threads) {
                const auto numbers = [&] {
                    const py::gil_scoped_release release;
                    return self.counts_of_counts(continuation, left_out, threads);
                }();
                return to_array(std::vector<Count>(numbers.begin(), numbers.end()));
            },
            py::arg("continuation"), py::arg("left_out"), py::arg("threads"))
        .def(
            "interpolate",
            [](const ContextCounts& self, const Array<std::uint32_t>& leaf_of,
               const Array<std::uint32_t>& split, std::array<double, 3> raw,
               std::array<double, 3> continuation, const Array<Index>& decision_offsets,
               const Array<std::int16_t>& parent_logits, Array<std::uint16_t>& packed_logits,
               Array<std::int16_t>& fallback_logits, int threads) {
                const auto tree = to_tree(leaf_of, split);
                const Decisions decisions{as_span(decision_offsets), as_span(parent_logits),
                                          as_target(packed_logits), as_target(fallback_logits)};
                const py::gil_scoped_release release;
                self.interpolate(tree, {raw, continuation}, decisions, threads);
            },
            py::arg("leaf_of").noconvert(), py::arg("split").noconvert(), py::arg("raw"),
            py::arg("continuation"), py::arg("decision_offsets").noconvert(),
            py::arg("parent_logits").noconvert(), py::arg("packed_logits").noconvert(),
            py::arg("fallback_logits").noconvert(), py::arg("threads"));
}

void bind_mixers(py::module_& m) {
    py::class_<MixerGroup>(m, "MixerGroup")
        .def(py::init([](std::vector<Index> parents, const std::vector<double>& initial,
                         std::vector<Index> chain, std::vector<Index> selector_sizes,
                         const std::vector<std::array<Index, 3>>& shapes) {
                 std::vector<MixerShape> of_mixers;
                 for (const auto& [n_inputs, n_chain, n_selectors] : shapes) {
                     of_mixers.push_back({n_inputs, n_chain, n_selectors});
                 }
                 return std::make_unique<MixerGroup>(std::move(parents), initial, std::move(chain),
                                                     std::move(selector_sizes), of_mixers);
             }),
             py::arg("parents"), py::arg("initial"), py::arg("chain"), py::arg("selector_sizes"),
             py::arg("shapes"))
        .def(
            "train",
            [](MixerGroup& self, const Array<std::uint16_t>& packed_logits,
               const Array<std::uint16_t>& selectors, Index first, Index last,
               const std::vector<double>& rates) {
                const auto inputs = to_inputs(packed_logits, selectors);
                const py::gil_scoped_release release;
                return self.train(inputs, first, last, rates);
            },
            py::arg("packed_logits").noconvert(), py::arg("selectors").noconvert(),
            py::arg("first"), py::arg("last"), py::arg("rates"))
        .def(
            "weights",
            [](const MixerGroup& self, Index mixer) {
                py::list out;
                for (auto& weights : self.weights(mixer)) out.append(to_array(std::move(weights)));
                return out;
            },
            py::arg("mixer"))
        .def(
            "set_weights",
            [](MixerGroup& self, Index mixer, const std::vector<Array<float>>& weights) {
                std::vector<std::span<const float>> spans;
                for (const auto& array : weights) spans.push_back(as_span(array));
                self.set_weights(mixer, spans);
            },
            py::arg("mixer"), py::arg("weights"))
        .def(
            "score",
            [](const MixerGroup& self, const Array<std::uint16_t>& packed_logits,
               const Array<std::uint16_t>& selectors, const Array<Index>& decision_offsets) {
                const auto inputs = to_inputs(packed_logits, selectors);
                const auto offsets = as_span(decision_offsets);
                if (offsets.empty())
                    throw std::invalid_argument("decision_offsets must not be empty");
                const Index n = static_cast<Index>(offsets.size()) - 1;
                Array<double> losses({self.size(), n});
                const auto out = as_target(losses);
                {
                    const py::gil_scoped_release release;
                    self.score(inputs, offsets, out);
                }
                return losses;
            },
            py::arg("packed_logits").noconvert(), py::arg("selectors").noconvert(),
            py::arg("decision_offsets").noconvert());
}

}  // namespace

void bind_mixture(py::module_& m) {
    m.attr("LOGIT_UNIT") = kLogitUnit;
    m.attr("FALLBACK_UNIT") = kFallbackUnit;
    m.attr("BUCKETS") = kBuckets;
    m.attr("MAX_MIXERS") = MixerGroup::kMaxMixers;
    m.attr("MAX_OFFSET") = kMaxOffset;
    m.def(
        "path_lengths",
        [](const Array<std::uint32_t>& leaf_of, const Array<std::uint32_t>& split) {
            return to_array(path_lengths(to_tree(leaf_of, split)));
        },
        py::arg("leaf_of").noconvert(), py::arg("split").noconvert());
    m.def(
        "decision_states",
        [](const Array<std::uint32_t>& leaf_of, const Array<std::uint32_t>& split,
           const Array<std::uint32_t>& tokens, const Array<Index>& offsets, std::uint32_t max_depth,
           std::uint32_t max_nodes, Array<std::uint16_t>& states, int threads) {
            if (states.ndim() != 2 || states.shape(0) != 2) {
                throw std::invalid_argument("states must be (2, decisions)");
            }
            const auto tree = to_tree(leaf_of, split);
            const std::span<std::uint16_t> all = as_target(states);
            const std::size_t n = all.size() / 2;
            const py::gil_scoped_release release;
            write_decision_states(tree, as_span(tokens), as_span(offsets), max_depth, max_nodes,
                                  {all.first(n), all.last(n)}, threads);
        },
        py::arg("leaf_of").noconvert(), py::arg("split").noconvert(), py::arg("tokens").noconvert(),
        py::arg("offsets").noconvert(), py::arg("max_depth"), py::arg("max_nodes"),
        py::arg("states").noconvert(), py::arg("threads"));
    bind_context_counts(m);
    bind_mixers(m);
}

}  // namespace ngramstat::bindings
