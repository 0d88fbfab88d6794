// One function per family of kernels; module.cpp calls them.
#pragma once

#include "pybind.hpp"

namespace ngramstat::bindings {

void bind_checksum(py::module_& m);
void bind_arpa(py::module_& m);
void bind_documents(py::module_& m);
void bind_pair_counts(py::module_& m);
void bind_pair_products(py::module_& m);
void bind_window_counts(py::module_& m);
void bind_suffix_sort(py::module_& m);
void bind_full_order(py::module_& m);
void bind_index_queries(py::module_& m);
void bind_ngram_table(py::module_& m);
void bind_ngram_hashing(py::module_& m);
void bind_kneser_ney(py::module_& m);
void bind_mixture(py::module_& m);
void bind_ngram_models(py::module_& m);
void bind_page_cache(py::module_& m);
void bind_samplers(py::module_& m);
void bind_index_overlap(py::module_& m);
void bind_gpu(py::module_& m);

}  // namespace ngramstat::bindings
