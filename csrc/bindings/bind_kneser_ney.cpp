#include "arrays.hpp"
#include "bind.hpp"
#include "kneser_ney_arrays.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"

namespace ngramstat::bindings {

namespace {

// Sum and numbers of one, two and three or more, of raw and of continuation counts.
constexpr py::ssize_t kFollowerColumns = 8;

void append(std::vector<Count>& row, const FollowerCounts& followers) {
    row.push_back(followers.sum);
    row.insert(row.end(), followers.number.begin(), followers.number.end());
}

FollowerCounts followers_at(const Count* row) { return {row[0], {row[1], row[2], row[3]}}; }

// (raw, continuation) as of counts(), then nodes and counts of contexts and of n-grams.
py::tuple to_tuple(CountsOfRanges&& counted) {
    std::vector<Count> followers, ngrams;
    for (std::size_t k = 0; k < counted.contexts.size(); ++k) {
        append(followers, counted.raw_followers[k]);
        append(followers, counted.continuation_followers[k]);
    }
    for (std::size_t k = 0; k < counted.ngrams.size(); ++k) {
        ngrams.push_back(counted.raw_ngrams[k]);
        ngrams.push_back(counted.continuation_ngrams[k]);
    }
    const auto n_contexts = static_cast<py::ssize_t>(counted.contexts.size());
    const auto n_ngrams = static_cast<py::ssize_t>(counted.ngrams.size());
    return py::make_tuple(to_table(counted.counts.raw), to_table(counted.counts.continuation),
                          to_array(std::move(counted.contexts)),
                          to_array(std::move(followers), {n_contexts, kFollowerColumns}),
                          to_array(std::move(counted.ngrams)),
                          to_array(std::move(ngrams), {n_ngrams, 2}));
}

CountsOfRanges to_counts(const Array<Count>& raw, const Array<Count>& continuation,
                         const Array<std::uint32_t>& contexts, const Array<Count>& followers,
                         const Array<std::uint32_t>& ngrams, const Array<Count>& counts) {
    if (followers.ndim() != 2 || followers.shape(1) != kFollowerColumns || counts.ndim() != 2 ||
        counts.shape(1) != 2) {
        throw std::invalid_argument("followers must have 8 columns and counts 2");
    }
    CountsOfRanges counted;
    counted.counts.raw = to_order_counts(raw);
    counted.counts.continuation = to_order_counts(continuation);
    const auto nodes = as_span(contexts), ngram_nodes = as_span(ngrams);
    counted.contexts.assign(nodes.begin(), nodes.end());
    counted.ngrams.assign(ngram_nodes.begin(), ngram_nodes.end());
    for (py::ssize_t k = 0; k < followers.shape(0); ++k) {
        counted.raw_followers.push_back(followers_at(followers.data(k, 0)));
        counted.continuation_followers.push_back(followers_at(followers.data(k, 4)));
    }
    for (py::ssize_t k = 0; k < counts.shape(0); ++k) {
        counted.raw_ngrams.push_back(counts.at(k, 0));
        counted.continuation_ngrams.push_back(counts.at(k, 1));
    }
    return counted;
}

// Parts of a stream, a row (first, last) for each model.
std::vector<Segment> to_segments(const Array<Index>& parts) {
    if (parts.ndim() != 2 || parts.shape(1) != 2) {
        throw std::invalid_argument("parts must have shape (models, 2)");
    }
    std::vector<Segment> segments;
    for (py::ssize_t p = 0; p < parts.shape(0); ++p) {
        segments.push_back({parts.at(p, 0), parts.at(p, 1)});
    }
    return segments;
}

template <class Model>
void bind_counts_of_ranges(py::class_<Model>& bound) {
    bound
        .def(
            "counts_of_ranges",
            [](const Model& self, Index model) {
                CountsOfRanges counted;
                {
                    const py::gil_scoped_release release;
                    counted = self.counts_of_ranges(model);
                }
                return to_tuple(std::move(counted));
            },
            py::arg("model"))
        .def(
            "add_counts",
            [](Model& self, Index model, const Array<Count>& raw, const Array<Count>& continuation,
               const Array<std::uint32_t>& contexts, const Array<Count>& followers,
               const Array<std::uint32_t>& ngrams, const Array<Count>& counts) {
                const CountsOfRanges counted =
                    to_counts(raw, continuation, contexts, followers, ngrams, counts);
                const py::gil_scoped_release release;
                self.add_counts(model, counted);
            },
            py::arg("model"), py::arg("raw").noconvert(), py::arg("continuation").noconvert(),
            py::arg("contexts").noconvert(), py::arg("followers").noconvert(),
            py::arg("ngrams").noconvert(), py::arg("counts").noconvert());
}

template <class Token>
void bind_for(py::module_& m, const char* name) {
    using Model = KneserNey<Token>;
    py::class_<Model> bound(m, name);
    bind_counts_of_ranges(bound);
    bound
        .def(py::init([](const Array<Token>& held_out, const Documents& documents, Index vocab_size,
                         int order, Index stop_token) {
                 const auto tokens = as_span(held_out);
                 const py::gil_scoped_release release;
                 return std::make_unique<Model>(tokens, documents, vocab_size, order, stop_token);
             }),
             py::arg("held_out").noconvert(), py::arg("documents"), py::arg("vocab_size"),
             py::arg("order"), py::arg("stop_token"))
        .def_property_readonly("index_bytes", &Model::index_bytes)
        .def_property_readonly("model_bytes", &Model::model_bytes)
        .def_property_readonly("scoring_bytes", &Model::scoring_bytes)
        .def("reset", &Model::reset, py::arg("n_models"), py::arg("threads"),
             py::call_guard<py::gil_scoped_release>())
        .def(
            "add_training",
            [](Model& self, const Array<Token>& training, const Array<Index>& parts,
               Index first_token, Index last_token, int threads, const std::vector<Index>& prefix) {
                const auto tokens = as_span(training);
                const std::vector<Segment> segments = to_segments(parts);
                const py::gil_scoped_release release;
                self.add_training(tokens, segments, TokenRange{first_token, last_token}, threads,
                                  prefix);
            },
            py::arg("training").noconvert(), py::arg("parts").noconvert(), py::arg("first_token"),
            py::arg("last_token"), py::arg("threads"), py::arg("prefix"))
        .def(
            "add_windows",
            [](Model& self, const Array<Token>& windows, Index head, const Array<Index>& parts,
               Index first_token, Index last_token, int threads) {
                const auto tokens = as_span(windows);
                const std::vector<Segment> segments = to_segments(parts);
                const py::gil_scoped_release release;
                self.add_windows(tokens, head, segments, TokenRange{first_token, last_token},
                                 threads);
            },
            py::arg("tokens").noconvert(), py::arg("head"), py::arg("parts").noconvert(),
            py::arg("first_token"), py::arg("last_token"), py::arg("threads"))
        .def(
            "add_ngram",
            [](Model& self, Index model, const std::vector<Index>& ngram, Count count,
               Count distinct_before) { self.add_ngram(model, ngram, count, distinct_before); },
            py::arg("model"), py::arg("ngram"), py::arg("count"), py::arg("distinct_before"))
        .def(
            "counts",
            [](const Model& self, Index model) {
                const KneserNeyCounts& counts = self.counts(model);
                return py::make_tuple(to_table(counts.raw), to_table(counts.continuation));
            },
            py::arg("model"))
        .def(
            "score",
            [](const Model& self, Index model, const Array<double>& raw,
               const Array<double>& continuation, int threads) {
                const auto raw_discounts = to_discounts(raw);
                const auto continuation_discounts = to_discounts(continuation);
                std::vector<double> losses(static_cast<std::size_t>(self.n_documents()) *
                                           raw_discounts.size());
                {
                    const py::gil_scoped_release release;
                    self.score(model, raw_discounts, continuation_discounts, losses, threads);
                }
                return to_array(std::move(losses),
                                {static_cast<py::ssize_t>(self.n_documents()),
                                 static_cast<py::ssize_t>(raw_discounts.size())});
            },
            py::arg("model"), py::arg("raw").noconvert(), py::arg("continuation").noconvert(),
            py::arg("threads"));
}

}  // namespace

void bind_kneser_ney(py::module_& m) {
    m.attr("MAX_ORDER") = kMaxOrder;
    bind_for<std::uint16_t>(m, "KneserNey16");
    bind_for<std::uint32_t>(m, "KneserNey32");
}

}  // namespace ngramstat::bindings
