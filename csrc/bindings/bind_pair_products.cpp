#include <optional>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/pairs/pair_products.hpp"

namespace ngramstat::bindings {

namespace {

template <class Token>
py::tuple sum_by_document(const Array<Token>& tokens, Index vocab_size, Index lag,
                          const Array<double>& u, const Array<double>& v,
                          const Documents& documents, bool across, int threads) {
    const PairsAtLag<Token> pairs{as_span(tokens), vocab_size, lag};
    const auto left = as_span(u);
    const auto right = as_span(v);
    PairSums sums;
    {
        const py::gil_scoped_release release;
        sums = sum_pairs_by_document(pairs, left, right, documents, across, threads);
    }
    const py::ssize_t n_documents = documents.size();
    const std::vector<py::ssize_t> shape{
        static_cast<py::ssize_t>(sums.pairs.size()) / std::max<py::ssize_t>(n_documents, 1),
        n_documents};
    return py::make_tuple(to_array(std::move(sums.pairs), shape),
                          to_array(std::move(sums.product), shape), to_array(std::move(sums.left)),
                          to_array(std::move(sums.right)));
}

py::tuple to_arrays(ClassCounts&& counts, const std::vector<py::ssize_t>& shape) {
    return py::make_tuple(to_array(std::move(counts.left), shape),
                          to_array(std::move(counts.right), shape));
}

template <class Token>
py::tuple count_by_class(const Array<Token>& tokens, Index vocab_size, Index lag,
                         const Documents& documents, bool across, PairLabel by,
                         const std::optional<Array<Count>>& tokens_by_class, int threads) {
    const PairsAtLag<Token> pairs{as_span(tokens), vocab_size, lag};
    std::span<const Count> of_class;
    if (tokens_by_class) of_class = as_span(*tokens_by_class);
    ClassCounts counts;
    Index n_classes = 0;
    {
        const py::gil_scoped_release release;
        const LabelledSegments segments(documents, across, by);
        n_classes = segments.n_labels();
        counts = count_pairs_by_class(pairs, segments, of_class, threads);
    }
    return to_arrays(std::move(counts), {n_classes, vocab_size});
}

template <class Token>
py::array_t<Count> count_tokens(const Array<Token>& tokens, Index vocab_size,
                                const Documents& documents, bool across, PairLabel by,
                                int threads) {
    const auto stream = as_span(tokens);
    std::vector<Count> counts;
    Index n_classes = 0;
    {
        const py::gil_scoped_release release;
        const LabelledSegments segments(documents, across, by);
        n_classes = segments.n_labels();
        counts = count_tokens_by_class(stream, vocab_size, segments, threads);
    }
    return to_array(std::move(counts), {n_classes, vocab_size});
}

template <class Token>
py::tuple multiply_by_class(const Array<Token>& tokens, Index vocab_size, Index lag, Index n_kinds,
                            const Array<double>& u, const Array<double>& v,
                            const Documents& documents, bool across, PairLabel by, int threads) {
    const PairsAtLag<Token> pairs{as_span(tokens), vocab_size, lag};
    const auto left = as_span(u);
    const auto right = as_span(v);
    ClassProducts products;
    Index n_classes = 0;
    {
        const py::gil_scoped_release release;
        const LabelledSegments segments(documents, across, by);
        n_classes = segments.n_labels();
        products = multiply_pairs_by_class(pairs, n_kinds, left, right, segments, threads);
    }
    const std::vector<py::ssize_t> shape{n_kinds, n_classes, vocab_size};
    return py::make_tuple(to_array(std::move(products.left), shape),
                          to_array(std::move(products.right), shape),
                          to_array(std::move(products.counts.left), shape),
                          to_array(std::move(products.counts.right), shape));
}

template <class Token>
py::array_t<double> bilinear_by_class(const Array<Token>& tokens, Index vocab_size, Index lag,
                                      Index n_kinds, const Array<float>& a,
                                      const Array<std::int16_t>& b, const Documents& documents,
                                      bool across, PairLabel by, int threads) {
    const PairsAtLag<Token> pairs{as_span(tokens), vocab_size, lag};
    const auto left = as_span(a);
    const auto right = as_span(b);
    std::vector<double> forms;
    Index n_classes = 0;
    {
        const py::gil_scoped_release release;
        const LabelledSegments segments(documents, across, by);
        n_classes = segments.n_labels();
        forms = bilinear_forms_by_class(pairs, n_kinds, left, right, segments, threads);
    }
    const py::ssize_t block = kBlockSize;
    return to_array(std::move(forms), {n_kinds, n_classes, block, block});
}

template <class Token>
py::array_t<double> multiply(const Array<Token>& tokens, Index vocab_size, Index lag,
                             const Array<double>& x, const Array<double>& class_weights,
                             const Documents& documents, bool across, PairLabel by, bool transposed,
                             int threads) {
    const PairsAtLag<Token> pairs{as_span(tokens), vocab_size, lag};
    const auto vectors = as_span(x);
    const auto weights = as_span(class_weights);
    py::array_t<double> out({vocab_size, kBlockSize});
    const std::span<double> target(out.mutable_data(), static_cast<std::size_t>(out.size()));
    {
        const py::gil_scoped_release release;
        const LabelledSegments segments(documents, across, by);
        multiply_pairs(pairs, vectors, weights, segments, transposed, target, threads);
    }
    return out;
}

template <class Token>
void bind_for(py::module_& m) {
    m.def("sum_pairs_by_document", &sum_by_document<Token>, py::arg("tokens").noconvert(),
          py::arg("vocab_size"), py::arg("lag"), py::arg("u").noconvert(), py::arg("v").noconvert(),
          py::arg("documents"), py::arg("across"), py::arg("threads"));
    m.def("count_pairs_by_class", &count_by_class<Token>, py::arg("tokens").noconvert(),
          py::arg("vocab_size"), py::arg("lag"), py::arg("documents"), py::arg("across"),
          py::arg("by"), py::arg("tokens_by_class").noconvert(), py::arg("threads"));
    m.def("count_tokens_by_class", &count_tokens<Token>, py::arg("tokens").noconvert(),
          py::arg("vocab_size"), py::arg("documents"), py::arg("across"), py::arg("by"),
          py::arg("threads"));
    m.def("multiply_pairs_by_class", &multiply_by_class<Token>, py::arg("tokens").noconvert(),
          py::arg("vocab_size"), py::arg("lag"), py::arg("n_kinds"), py::arg("u").noconvert(),
          py::arg("v").noconvert(), py::arg("documents"), py::arg("across"), py::arg("by"),
          py::arg("threads"));
    m.def("bilinear_forms_by_class", &bilinear_by_class<Token>, py::arg("tokens").noconvert(),
          py::arg("vocab_size"), py::arg("lag"), py::arg("n_kinds"), py::arg("a").noconvert(),
          py::arg("b").noconvert(), py::arg("documents"), py::arg("across"), py::arg("by"),
          py::arg("threads"));
    m.def("multiply_pairs", &multiply<Token>, py::arg("tokens").noconvert(), py::arg("vocab_size"),
          py::arg("lag"), py::arg("x").noconvert(), py::arg("class_weights").noconvert(),
          py::arg("documents"), py::arg("across"), py::arg("by"), py::arg("transposed"),
          py::arg("threads"));
}

}  // namespace

void bind_pair_products(py::module_& m) {
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
