#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/pairs/pair_products.hpp"

namespace ngramstat::bindings {

namespace {

template <class Token>
void bind_for(py::module_& m) {
    m.def(
        "sum_pairs_by_document",
        [](const Array<Token>& tokens, Index vocab_size, Index lag, const Array<double>& u,
           const Array<double>& v, const Array<Index>& starts, const Array<Index>& ends,
           const Array<Index>& right_limits, int threads) {
            const auto stream = as_span(tokens);
            const auto left = as_span(u);
            const auto right = as_span(v);
            const auto first = as_span(starts);
            const auto last = as_span(ends);
            const auto limits = as_span(right_limits);
            PairSums sums;
            {
                const py::gil_scoped_release release;
                sums = sum_pairs_by_document(stream, vocab_size, lag, left, right, first, last,
                                             limits, threads);
            }
            return py::make_tuple(to_array(std::move(sums.pairs)),
                                  to_array(std::move(sums.product)), to_array(std::move(sums.left)),
                                  to_array(std::move(sums.right)));
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("lag"),
        py::arg("u").noconvert(), py::arg("v").noconvert(), py::arg("starts").noconvert(),
        py::arg("ends").noconvert(), py::arg("right_limits").noconvert(), py::arg("threads"));
    m.def(
        "multiply_pairs_by_class",
        [](const Array<Token>& tokens, Index vocab_size, Index lag, const Array<double>& u,
           const Array<double>& v, const Array<Index>& starts, const Array<Index>& ends,
           const Array<Index>& right_limits, const Array<std::uint8_t>& classes, Index n_classes,
           int threads) {
            const auto stream = as_span(tokens);
            const auto left = as_span(u);
            const auto right = as_span(v);
            const ClassedDocuments documents{as_span(starts), as_span(ends), as_span(right_limits),
                                             as_span(classes), n_classes};
            ClassProducts found;
            {
                const py::gil_scoped_release release;
                found = multiply_pairs_by_class(stream, vocab_size, lag, left, right, documents,
                                                threads);
            }
            const std::vector<py::ssize_t> shape{n_classes, vocab_size};
            return py::make_tuple(to_array(std::move(found.left), shape),
                                  to_array(std::move(found.right), shape),
                                  to_array(std::move(found.left_count), shape),
                                  to_array(std::move(found.right_count), shape));
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("lag"),
        py::arg("u").noconvert(), py::arg("v").noconvert(), py::arg("starts").noconvert(),
        py::arg("ends").noconvert(), py::arg("right_limits").noconvert(),
        py::arg("classes").noconvert(), py::arg("n_classes"), py::arg("threads"));
    m.def(
        "bilinear_sums_by_class",
        [](const Array<Token>& tokens, Index vocab_size, Index lag, const Array<float>& a,
           const Array<float>& b, const Array<Index>& starts, const Array<Index>& ends,
           const Array<Index>& right_limits, const Array<std::uint8_t>& classes, Index n_classes,
           int threads) {
            const auto stream = as_span(tokens);
            const auto left = as_span(a);
            const auto right = as_span(b);
            const ClassedDocuments documents{as_span(starts), as_span(ends), as_span(right_limits),
                                             as_span(classes), n_classes};
            std::vector<double> found;
            {
                const py::gil_scoped_release release;
                found = bilinear_sums_by_class(stream, vocab_size, lag, left, right, documents,
                                               threads);
            }
            return to_array(std::move(found),
                            {n_classes, kBilinearSums, static_cast<py::ssize_t>(kBlockSize)});
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("lag"),
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("starts").noconvert(),
        py::arg("ends").noconvert(), py::arg("right_limits").noconvert(),
        py::arg("classes").noconvert(), py::arg("n_classes"), py::arg("threads"));
    m.def(
        "multiply_pairs",
        [](const Array<Token>& tokens, Index vocab_size, Index lag, const Array<double>& x,
           const Array<double>& class_weights, const Array<Index>& starts, const Array<Index>& ends,
           const Array<Index>& right_limits, const Array<std::uint8_t>& classes, Index n_classes,
           bool transposed, int threads) {
            const auto stream = as_span(tokens);
            const auto vectors = as_span(x);
            const auto weights = as_span(class_weights);
            const ClassedDocuments documents{as_span(starts), as_span(ends), as_span(right_limits),
                                             as_span(classes), n_classes};
            py::array_t<double> out({vocab_size, kBlockSize});
            const std::span<double> target(out.mutable_data(),
                                           static_cast<std::size_t>(out.size()));
            {
                const py::gil_scoped_release release;
                multiply_pairs(stream, vocab_size, lag, vectors, weights, documents, transposed,
                               target, threads);
            }
            return out;
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("lag"),
        py::arg("x").noconvert(), py::arg("class_weights").noconvert(),
        py::arg("starts").noconvert(), py::arg("ends").noconvert(),
        py::arg("right_limits").noconvert(), py::arg("classes").noconvert(), py::arg("n_classes"),
        py::arg("transposed"), py::arg("threads"));
}

}  // namespace

void bind_pair_products(py::module_& m) {
    bind_for<std::uint16_t>(m);
    bind_for<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
