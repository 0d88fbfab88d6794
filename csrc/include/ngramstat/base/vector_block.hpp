// Eight doubles side by side: what all products with blocks of vectors work on.
#pragma once

#include <algorithm>

#include "ngramstat/base/simd.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Vectors per product. One width for all: eight doubles are one cache line and one AVX-512
// register, so eight products cost little more than one.
inline constexpr Index kBlockSize = 8;

#if defined(__GNUC__) || defined(__clang__)
// Specialisations, as GCC does not take a template's parameter for a vector's size.
template <int kBytes>
struct VectorOfDoubles;
template <>
struct VectorOfDoubles<16> {
    using Aligned = double __attribute__((vector_size(16)));
    using Unaligned = double __attribute__((vector_size(16), aligned(8), may_alias));
};
template <>
struct VectorOfDoubles<32> {
    using Aligned = double __attribute__((vector_size(32)));
    using Unaligned = double __attribute__((vector_size(32), aligned(8), may_alias));
};
template <>
struct VectorOfDoubles<64> {
    using Aligned = double __attribute__((vector_size(64)));
    using Unaligned = double __attribute__((vector_size(64), aligned(8), may_alias));
};

// In vectors of kBytes, those of the level that a function is built for: GCC takes wider ones apart
// and puts them together in memory. The order of every lane's sum is the same whatever the width.
template <int kBytes>
struct Lanes {
    using Part = typename VectorOfDoubles<kBytes>::Aligned;
    using Unaligned = typename VectorOfDoubles<kBytes>::Unaligned;
    static constexpr int kParts = int{kBlockSize} * int{sizeof(double)} / kBytes;
    Part part[kParts];

    void load(const double* from) {
        const auto* parts = reinterpret_cast<const Unaligned*>(from);
        for (int p = 0; p < kParts; ++p) part[p] = parts[p];
    }
    void load(const float* from) {
        double wide[kBlockSize];
        for (Index k = 0; k < kBlockSize; ++k) wide[k] = from[k];
        load(wide);
    }
    void store(double* to) const {
        auto* parts = reinterpret_cast<Unaligned*>(to);
        for (int p = 0; p < kParts; ++p) parts[p] = part[p];
    }
    // References, not values: functions for different levels hand vectors over in different ways.
    void add_product(const Lanes& x, const Lanes& y) {
        for (int p = 0; p < kParts; ++p) part[p] += x.part[p] * y.part[p];
    }
    void add_product(double x, const Lanes& y) {
        for (int p = 0; p < kParts; ++p) part[p] += x * y.part[p];
    }
};
#else
template <int>
struct Lanes {
    double lane[kBlockSize];

    template <class Float>
    void load(const Float* from) {
        std::copy_n(from, kBlockSize, lane);
    }
    void store(double* to) const { std::copy_n(lane, kBlockSize, to); }
    void add_product(const Lanes& x, const Lanes& y) {
        for (Index k = 0; k < kBlockSize; ++k) lane[k] += x.lane[k] * y.lane[k];
    }
    void add_product(double x, const Lanes& y) {
        for (Index k = 0; k < kBlockSize; ++k) lane[k] += x * y.lane[k];
    }
};
#endif

}  // namespace ngramstat
