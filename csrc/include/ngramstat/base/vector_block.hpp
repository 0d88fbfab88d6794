// One row of a block of eight vectors: what all products with blocks of vectors work on.
#pragma once

#include <algorithm>

#include "ngramstat/base/simd.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Vectors of a block, the same everywhere: eight doubles are one cache line and one AVX-512
// register, so that a product with eight vectors costs little more than with one.
inline constexpr Index kBlockSize = 8;

#if defined(__GNUC__) || defined(__clang__)
// Specialisations, because GCC accepts no template parameter as a vector size.
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

// kBytes is the width of the registers that a function is built for: GCC splits wider vectors and
// joins them again in memory. Each of the eight sums runs in the same order whatever the width.
template <int kBytes>
struct VectorBlock {
    using Register = typename VectorOfDoubles<kBytes>::Aligned;
    using Unaligned = typename VectorOfDoubles<kBytes>::Unaligned;
    static constexpr int kRegisters = int{kBlockSize} * int{sizeof(double)} / kBytes;
    Register registers[kRegisters];

    void load(const double* from) {
        const auto* source = reinterpret_cast<const Unaligned*>(from);
        for (int p = 0; p < kRegisters; ++p) registers[p] = source[p];
    }
    void load(const float* from) {
        double wide[kBlockSize];
        for (Index k = 0; k < kBlockSize; ++k) wide[k] = from[k];
        load(wide);
    }
    void store(double* to) const {
        auto* target = reinterpret_cast<Unaligned*>(to);
        for (int p = 0; p < kRegisters; ++p) target[p] = registers[p];
    }
    // By reference: functions built for different levels pass vectors by value in different ways.
    void add_product(const VectorBlock& x, const VectorBlock& y) {
        for (int p = 0; p < kRegisters; ++p) registers[p] += x.registers[p] * y.registers[p];
    }
    void add_product(double x, const VectorBlock& y) {
        for (int p = 0; p < kRegisters; ++p) registers[p] += x * y.registers[p];
    }
};
#else
template <int>
struct VectorBlock {
    double values[kBlockSize];

    template <class Float>
    void load(const Float* from) {
        std::copy_n(from, kBlockSize, values);
    }
    void store(double* to) const { std::copy_n(values, kBlockSize, to); }
    void add_product(const VectorBlock& x, const VectorBlock& y) {
        for (Index k = 0; k < kBlockSize; ++k) values[k] += x.values[k] * y.values[k];
    }
    void add_product(double x, const VectorBlock& y) {
        for (Index k = 0; k < kBlockSize; ++k) values[k] += x * y.values[k];
    }
};
#endif

}  // namespace ngramstat
