// Choice of the vector instruction set at run time.
#pragma once

#include <string>

// Compilers that can build single functions for AVX2 and AVX-512.
#if defined(__x86_64__) && defined(__GNUC__)
#define NGRAMSTAT_X86 1
#endif

namespace ngramstat {

enum class SimdLevel { scalar, avx2, avx512 };

// The best level of this processor, or the one that the environment variable NGRAMSTAT_SIMD
// (scalar, avx2, avx512) asks for. Throws std::invalid_argument for another word and for a level
// that the processor lacks: a forced choice never falls back. Read anew at every call.
SimdLevel simd_level();

std::string simd_name(SimdLevel level);

}  // namespace ngramstat
