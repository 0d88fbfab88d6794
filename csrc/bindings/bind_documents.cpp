#include <memory>
#include <optional>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/base/documents.hpp"
#include "ngramstat/pairs/labelled_segments.hpp"

namespace ngramstat::bindings {

namespace {

template <class T>
using Optional = std::optional<Array<T>>;

template <class T>
std::vector<T> to_vector(const Array<T>& array) {
    if (array.ndim() != 1) throw std::invalid_argument("arrays of documents have one dimension");
    const auto values = as_span(array);
    return {values.begin(), values.end()};
}

// The labels, or 0 for every document.
template <class T>
std::vector<T> labels_or_zeros(const Optional<T>& labels, py::ssize_t n) {
    return labels ? to_vector(*labels) : std::vector<T>(static_cast<std::size_t>(n));
}

Documents make_documents(const Array<Index>& ends, const Optional<Index>& content_starts,
                         const Optional<Index>& content_ends, const Optional<std::uint8_t>& folds,
                         Index n_folds, const Optional<std::uint32_t>& clusters, Index n_clusters) {
    const std::vector<Index> bounds = to_vector(ends);
    std::vector<Index> starts(bounds.size());
    for (std::size_t d = 1; d < bounds.size(); ++d) starts[d] = bounds[d - 1];
    return Documents(bounds,
                     {content_starts ? to_vector(*content_starts) : starts,
                      content_ends ? to_vector(*content_ends) : bounds},
                     {labels_or_zeros(folds, ends.size()), n_folds},
                     {labels_or_zeros(clusters, ends.size()), n_clusters});
}

// A property that shows an array of the documents, read-only and without a copy.
template <class T>
void def_array(py::class_<Documents, std::shared_ptr<Documents>>& cls, const char* name,
               std::span<const T> (Documents::*get)() const, const char* doc) {
    cls.def_property_readonly(
        name,
        [get](const py::object& self) {
            const std::span<const T> values = (self.cast<const Documents&>().*get)();
            py::array_t<T> array(static_cast<py::ssize_t>(values.size()), values.data(), self);
            array.attr("setflags")(py::arg("write") = false);
            return array;
        },
        doc);
}

}  // namespace

void bind_documents(py::module_& m) {
    m.attr("N_POSITION_BINS") = kPositionBins;
    py::native_enum<PairLabel>(m, "PairLabel", "enum.Enum")
        .value("half", PairLabel::half)
        .value("fold", PairLabel::fold)
        .value("half_and_position", PairLabel::half_and_position)
        .finalize();
    py::class_<Documents, std::shared_ptr<Documents>> documents(m, "Documents");
    documents
        .def(py::init(&make_documents), py::arg("ends"), py::kw_only(),
             py::arg("content_starts") = py::none(), py::arg("content_ends") = py::none(),
             py::arg("folds") = py::none(), py::arg("n_folds") = 2,
             py::arg("clusters") = py::none(), py::arg("n_clusters") = 1)
        .def_static("single", &Documents::single, py::arg("n_tokens"),
                    "The whole stream as one document.")
        .def(
            "with_clusters",
            [](const Documents& d, const Array<std::uint32_t>& clusters, Index n_clusters) {
                return d.with_clusters({to_vector(clusters), n_clusters});
            },
            py::arg("clusters"), py::arg("n_clusters"), "The same documents in other clusters.")
        .def("__len__", &Documents::size)
        .def_property_readonly("n_tokens", &Documents::n_tokens)
        .def_property_readonly("n_folds", &Documents::n_folds)
        .def_property_readonly("n_clusters", &Documents::n_clusters);
    def_array(documents, "starts", &Documents::starts, "Inclusive starts in the stream.");
    def_array(documents, "ends", &Documents::ends, "Exclusive ends in the stream.");
    def_array(documents, "content_starts", &Documents::content_starts,
              "Starts without separators.");
    def_array(documents, "content_ends", &Documents::content_ends, "Ends without separators.");
    def_array(documents, "folds", &Documents::folds, "The fold of each document.");
    def_array(documents, "halves", &Documents::halves, "0 or 1: fold >= n_folds / 2.");
    def_array(documents, "clusters", &Documents::clusters,
              "The cluster that each document is resampled with.");
}

}  // namespace ngramstat::bindings
