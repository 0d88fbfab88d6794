#include <memory>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/ngrams/counted_ngrams.hpp"
#include "ngramstat/ngrams/ngram_buckets.hpp"
#include "ngramstat/ngrams/sorted_runs.hpp"

namespace ngramstat::bindings {

namespace {

template <class Token>
void bind_for(py::class_<NgramBuckets>& buckets, py::class_<CountedNgrams>& counted) {
    buckets.def(py::init([](const Array<Token>& tokens, const NgramPacking& packing,
                            const Documents& documents, bool across, std::pair<Index, Index> range,
                            std::tuple<int, int, Index> layout) {
                    const auto [bucket_bits, entry_bytes, chunk] = layout;
                    return make_ngram_buckets(as_span(tokens), packing, documents, across,
                                              PositionRange{range.first, range.second},
                                              BucketLayout{bucket_bits, entry_bytes, chunk});
                }),
                py::arg("tokens").noconvert(), py::arg("packing"), py::arg("documents"),
                py::arg("across"), py::arg("range"), py::arg("layout"), py::keep_alive<1, 2>(),
                py::keep_alive<1, 4>());
    counted.def(
        "unpack",
        [](const CountedNgrams& ngrams, const NgramPacking& packing, KeyOrder order,
           py::array_t<Token, py::array::c_style> out, Index first, int threads) {
            if (out.ndim() != 2) throw std::invalid_argument("out must have two dimensions");
            const std::span<Token> tokens(out.mutable_data(), static_cast<std::size_t>(out.size()));
            const Index last = first + out.shape(0);
            const py::gil_scoped_release release;
            unpack_tokens(ngrams, packing, order, first, last, tokens, threads);
        },
        py::arg("packing"), py::arg("order"), py::arg("out").noconvert(), py::arg("first"),
        py::arg("threads"));
}

std::unique_ptr<RunMerger> make_merger(const std::vector<Array<std::uint8_t>>& runs, int key_bits) {
    std::vector<std::span<const std::uint8_t>> spans;
    for (const auto& run : runs) spans.push_back(as_span(run));
    return make_run_merger(std::move(spans), key_bits);
}

}  // namespace

void bind_ngram_hashing(py::module_& m) {
    py::native_enum<KeyOrder>(m, "KeyOrder", "enum.Enum")
        .value("hashed", KeyOrder::hashed)
        .value("lexicographic", KeyOrder::lexicographic)
        .finalize();
    py::class_<NgramPacking>(m, "NgramPacking")
        .def(py::init<Index, Index>(), py::arg("vocab_size"), py::arg("n"))
        .def_property_readonly("n", &NgramPacking::n)
        .def_property_readonly("key_bits", &NgramPacking::key_bits);
    py::class_<CountedNgrams> counted(m, "CountedNgrams");
    counted.def(py::init<>())
        .def(py::init<const CountedNgrams&>(), py::arg("other"))
        .def("__len__", &size_of)
        .def(
            "counts",
            [](const CountedNgrams& ngrams, Index first, Index last) {
                const auto& counts = counts_of(ngrams);
                if (first < 0 || last < first || last > static_cast<Index>(counts.size())) {
                    throw std::invalid_argument("a range of n-grams exceeds them");
                }
                return py::array_t<Count>(last - first, counts.data() + first);
            },
            py::arg("first"), py::arg("last"));
    py::class_<NgramBuckets> buckets(m, "NgramBuckets");
    bind_for<std::uint16_t>(buckets, counted);
    bind_for<std::uint32_t>(buckets, counted);
    using Release = py::call_guard<py::gil_scoped_release>;
    buckets.def_property_readonly("n_chunks", &NgramBuckets::n_chunks)
        .def("measure", &NgramBuckets::measure, py::arg("first_chunk"), py::arg("last_chunk"),
             py::arg("threads"), Release())
        .def("bucket_sizes", [](const NgramBuckets& b) { return to_array(b.bucket_sizes()); })
        .def("start", &NgramBuckets::start, py::arg("first_bucket"), py::arg("last_bucket"),
             Release())
        .def("fill", &NgramBuckets::fill, py::arg("first_chunk"), py::arg("last_chunk"),
             py::arg("threads"), Release())
        .def("count", &NgramBuckets::count, py::arg("first_bucket"), py::arg("last_bucket"),
             py::arg("min_count"), py::arg("threads"), py::arg("counted"), Release());
    m.def(
        "sort_ngrams",
        [](const std::vector<CountedNgrams*>& parts, const NgramPacking& packing, int threads) {
            return sort_lexicographically(parts, packing, threads);
        },
        py::arg("parts"), py::arg("packing"), py::arg("threads"), Release());
    py::class_<RunEncoder>(m, "RunEncoder")
        .def(py::init<int>(), py::arg("key_bits"))
        .def(
            "encode",
            [](RunEncoder& encoder, const CountedNgrams& ngrams, Index first, Index last) {
                std::vector<std::uint8_t> bytes;
                {
                    const py::gil_scoped_release release;
                    bytes = encoder.encode(ngrams, first, last);
                }
                return to_array(std::move(bytes));
            },
            py::arg("ngrams"), py::arg("first"), py::arg("last"));
    m.def("run_bytes", &run_bytes, py::arg("key_bits"), py::arg("n_ngrams"));
    py::class_<RunMerger>(m, "RunMerger")
        .def(py::init(&make_merger), py::arg("runs"), py::arg("key_bits"), py::keep_alive<1, 2>())
        .def("next", &RunMerger::next, py::arg("most"), py::arg("min_count"), Release());
}

}  // namespace ngramstat::bindings
