// Converts counts of n-grams to Python.
#pragma once

#include "arrays.hpp"
#include "ngramstat/suffixes/ngram_counts.hpp"

namespace ngramstat::bindings {

// (k, 2) array of (count, number of n-grams with that count).
inline py::array_t<Count> to_table(const CountsOfCounts& counts) {
    std::vector<Count> flat;
    flat.reserve(2 * counts.size());
    for (const auto& [count, number] : counts) {
        flat.push_back(count);
        flat.push_back(number);
    }
    const py::ssize_t rows = static_cast<py::ssize_t>(counts.size());
    return to_array(std::move(flat), {rows, 2});
}

// (subsets of (ngrams, contexts, targets), losses, targets by cluster).
inline py::tuple to_tuple(NgramCounts&& counts, Index n_clusters, int max_context) {
    py::list subsets;
    for (int s = 0; s < kSubsets; ++s) {
        py::list ngrams;
        py::list contexts;
        for (const auto& table : counts.ngrams[s]) ngrams.append(to_table(table));
        for (const auto& table : counts.contexts[s]) contexts.append(to_table(table));
        subsets.append(py::make_tuple(ngrams, contexts, counts.targets[s]));
    }
    return py::make_tuple(subsets,
                          to_array(std::move(counts.losses), {n_clusters, max_context + 1}),
                          to_array(std::move(counts.group_targets)));
}

}  // namespace ngramstat::bindings
