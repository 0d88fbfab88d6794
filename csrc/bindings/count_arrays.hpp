// Shared by the bindings of counts in host memory and on GPUs.
#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "ngramstat/base/vector_block.hpp"

namespace ngramstat::bindings {

// Vectors of both channels as the rows of one array, (2, n).
template <class T>
py::array_t<T> two_channels(std::array<std::vector<T>, 2>&& both) {
    const py::ssize_t n = static_cast<py::ssize_t>(both[0].size());
    both[0].insert(both[0].end(), both[1].begin(), both[1].end());
    return to_array(std::move(both[0]), {2, n});
}

// Throws std::invalid_argument unless x is (rows, kBlockSize).
inline void require_block(const Array<double>& x, Index rows) {
    if (x.ndim() != 2 || x.shape(0) != rows || x.shape(1) != kBlockSize) {
        throw std::invalid_argument("a block of vectors must have shape (" + std::to_string(rows) +
                                    ", " + std::to_string(kBlockSize) + ")");
    }
}

// A block of `rows` rows, uninitialised.
inline Array<double> new_block(Index rows) {
    return Array<double>({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(kBlockSize)});
}

}  // namespace ngramstat::bindings
