// Between NumPy arrays and spans, without copies.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "pybind.hpp"

namespace ngramstat::bindings {

// Arguments of these types are declared .noconvert(): the caster then requires the exact dtype and
// contiguity, where it would otherwise copy a memory map.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
std::span<const T> as_span(const Array<T>& array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

// The memory of an array that is written to.
template <class T, int kFlags>
std::span<T> as_target(py::array_t<T, kFlags>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

// A NumPy array that owns the vector's memory.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape = {}) {
    if (shape.empty()) shape = {static_cast<py::ssize_t>(values.size())};
    auto owner = std::make_unique<std::vector<T>>(std::move(values));
    T* data = owner->data();
    const py::capsule base(owner.release(),
                           [](void* p) { delete static_cast<std::vector<T>*>(p); });
    return py::array_t<T>(shape, data, base);
}

}  // namespace ngramstat::bindings
