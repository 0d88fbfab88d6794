// Choice of the vector instruction set at run time.
#pragma once

#include <algorithm>
#include <string>

// Compilers that can build single functions for AVX2 and AVX-512.
#if defined(__x86_64__) && defined(__GNUC__)
#define NGRAMSTAT_X86 1
// Without the second part, compilers use registers of half the size.
#ifdef __clang__
#define NGRAMSTAT_AVX512 target("avx512f"), min_vector_width(512)
#else
#define NGRAMSTAT_AVX512 target("avx512f,prefer-vector-width=512")
#endif
#endif

// Declares `name`, a vector of `bytes` bytes that may lie wherever its elements may. For members of
// classes: Clang leaves a lesser alignment out of `using`, and GCC out of a typedef where a
// template takes the name from another one.
#if defined(__clang__)
#define NGRAMSTAT_UNALIGNED_VECTOR(name, Element, bytes) \
    typedef Element name __attribute__((vector_size(bytes), aligned(alignof(Element)), may_alias))
#elif defined(__GNUC__)
#define NGRAMSTAT_UNALIGNED_VECTOR(name, Element, bytes) \
    using name = Element __attribute__((vector_size(bytes), aligned(alignof(Element)), may_alias))
#endif

namespace ngramstat {

enum class SimdLevel { scalar, avx2, avx512 };

// The best level of this processor, or the one that the environment variable NGRAMSTAT_SIMD
// (scalar, avx2, avx512) asks for. Throws std::invalid_argument for another word and for a level
// that the processor lacks: a forced choice never falls back. Read anew at every call.
SimdLevel simd_level();

std::string simd_name(SimdLevel level);

// The static function Loop::run<vector bytes> with all that it calls, built for each level.
template <class Loop, class Function = decltype(&Loop::template run<16>)>
struct BuiltFor;

template <class Loop, class... Args>
struct BuiltFor<Loop, void (*)(Args...)> {
    using Function = void (*)(Args...);

    static void scalar(Args... args) { Loop::template run<16>(args...); }
#ifdef NGRAMSTAT_X86
    __attribute__((flatten, target("avx2"))) static void avx2(Args... args) {
        Loop::template run<32>(args...);
    }
    __attribute__((flatten, NGRAMSTAT_AVX512)) static void avx512(Args... args) {
        Loop::template run<64>(args...);
    }
#endif
};

// A loop as built for simd_level(), or for `most` where that is less: short vectors gain nothing
// from longer registers. All are built without contraction to fused operations
// (-ffp-contract=off); a loop that keeps the order of its sums has the same bits at every level.
template <class Loop>
typename BuiltFor<Loop>::Function built_for_level(SimdLevel most = SimdLevel::avx512) {
    const SimdLevel level = std::min(simd_level(), most);
#ifdef NGRAMSTAT_X86
    if (level == SimdLevel::avx512) return BuiltFor<Loop>::avx512;
    if (level == SimdLevel::avx2) return BuiltFor<Loop>::avx2;
#else
    static_cast<void>(level);  // a level that this machine lacks was refused
#endif
    return BuiltFor<Loop>::scalar;
}

}  // namespace ngramstat
