// One row of a block of eight vectors, or of sixteen in single precision: what all products with
// blocks of vectors work on.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ngramstat/base/simd.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Vectors of a block, the same everywhere: eight doubles are one cache line and one AVX-512
// register, so that a product with eight vectors costs little more than with one.
inline constexpr Index kBlockSize = 8;
// The same line and register in single precision.
inline constexpr Index kSingleBlockSize = 16;

#if defined(__GNUC__) || defined(__clang__)
// Specialisations, because GCC accepts no template parameter as a vector size. A type takes no
// parentheses. NOLINTBEGIN(bugprone-macro-parentheses)
template <class Real, int kBytes>
struct VectorOf;
#define NGRAMSTAT_VECTOR_OF(Real, bytes)                          \
    template <>                                                   \
    struct VectorOf<Real, bytes> {                                \
        using Aligned = Real __attribute__((vector_size(bytes))); \
        NGRAMSTAT_UNALIGNED_VECTOR(Unaligned, Real, bytes);       \
    };
NGRAMSTAT_VECTOR_OF(double, 16)
NGRAMSTAT_VECTOR_OF(double, 32)
NGRAMSTAT_VECTOR_OF(double, 64)
NGRAMSTAT_VECTOR_OF(float, 8)
NGRAMSTAT_VECTOR_OF(float, 16)
NGRAMSTAT_VECTOR_OF(float, 32)
NGRAMSTAT_VECTOR_OF(float, 64)
NGRAMSTAT_VECTOR_OF(std::int32_t, 16)
NGRAMSTAT_VECTOR_OF(std::int32_t, 32)
NGRAMSTAT_VECTOR_OF(std::int32_t, 64)
NGRAMSTAT_VECTOR_OF(std::int16_t, 8)
NGRAMSTAT_VECTOR_OF(std::int16_t, 16)
NGRAMSTAT_VECTOR_OF(std::int16_t, 32)
#undef NGRAMSTAT_VECTOR_OF
// NOLINTEND(bugprone-macro-parentheses)

// kBytes is the width of the registers that a function is built for: GCC splits wider vectors and
// joins them again in memory. Each of the sums runs in the same order whatever the width.
template <int kBytes, class Real = double>
struct VectorBlock {
    using Register = typename VectorOf<Real, kBytes>::Aligned;
    using Unaligned = typename VectorOf<Real, kBytes>::Unaligned;
    static constexpr int kRegisters = int{kBlockSize} * int{sizeof(double)} / kBytes;
    Register registers[kRegisters];

    void load(const Real* from) {
        const auto* source = reinterpret_cast<const Unaligned*>(from);
        for (int p = 0; p < kRegisters; ++p) registers[p] = source[p];
    }
    void store(Real* to) const {
        auto* target = reinterpret_cast<Unaligned*>(to);
        for (int p = 0; p < kRegisters; ++p) target[p] = registers[p];
    }
    // By reference: functions built for different levels pass vectors by value in different ways.
    void add_product(const VectorBlock& x, const VectorBlock& y) {
        for (int p = 0; p < kRegisters; ++p) registers[p] += x.registers[p] * y.registers[p];
    }
    void add_product(Real x, const VectorBlock& y) {
        for (int p = 0; p < kRegisters; ++p) registers[p] += x * y.registers[p];
    }
    void add(const VectorBlock& x) {
        for (int p = 0; p < kRegisters; ++p) registers[p] += x.registers[p];
    }
    void multiply_by(const VectorBlock& x) {
        for (int p = 0; p < kRegisters; ++p) registers[p] *= x.registers[p];
    }
};
#else
template <int, class Real = double>
struct VectorBlock {
    static constexpr Index kSize = kBlockSize * Index{sizeof(double)} / Index{sizeof(Real)};
    Real values[kSize];

    void load(const Real* from) { std::copy_n(from, kSize, values); }
    void store(Real* to) const { std::copy_n(values, kSize, to); }
    void add_product(const VectorBlock& x, const VectorBlock& y) {
        for (Index k = 0; k < kSize; ++k) values[k] += x.values[k] * y.values[k];
    }
    void add_product(Real x, const VectorBlock& y) {
        for (Index k = 0; k < kSize; ++k) values[k] += x * y.values[k];
    }
    void add(const VectorBlock& x) {
        for (Index k = 0; k < kSize; ++k) values[k] += x.values[k];
    }
    void multiply_by(const VectorBlock& x) {
        for (Index k = 0; k < kSize; ++k) values[k] *= x.values[k];
    }
};
#endif

}  // namespace ngramstat
