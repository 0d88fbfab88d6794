// Index of the extension module ngramstat._core.
#include "bind.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/base/simd.hpp"

namespace ngramstat::bindings {

namespace {

py::dict build_info() {
    py::dict info;
    info["version"] = NGRAMSTAT_VERSION;
    info["commit"] = NGRAMSTAT_COMMIT;
    info["compiler"] = NGRAMSTAT_COMPILER;
#ifdef NDEBUG
    info["assertions"] = false;
#else
    info["assertions"] = true;
#endif
#ifdef NGRAMSTAT_WITH_CUDA
    info["cuda"] = true;
#else
    info["cuda"] = false;
#endif
    return info;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "Counting and sorting kernels of ngramstat.";
    const auto device_error =
        py::register_exception<DeviceError>(m, "DeviceError", PyExc_RuntimeError);
    py::register_exception<DeviceMemoryError>(m, "DeviceMemoryError", device_error.ptr());
    m.def("build_info", &build_info, "Version, compiler and options of this build.");
    m.def(
        "simd_level", [] { return simd_name(simd_level()); },
        "Instruction set that the next kernel call uses: scalar, avx2 or avx512.");
    bind_checksum(m);
    bind_documents(m);
    bind_pair_counts(m);
    bind_pair_products(m);
    bind_window_counts(m);
    bind_suffix_sort(m);
    bind_full_order(m);
    bind_index_queries(m);
    bind_ngram_table(m);
    bind_ngram_hashing(m);
    bind_kneser_ney(m);
    bind_mixture(m);
    bind_arpa(m);
    bind_ngram_models(m);
    bind_page_cache(m);
    bind_samplers(m);
    bind_index_overlap(m);
    bind_gpu(m);
}

}  // namespace ngramstat::bindings
