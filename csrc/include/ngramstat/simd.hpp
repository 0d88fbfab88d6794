// Choice of the vector instruction set at run time.
#pragma once

#include <string>

namespace ngramstat {

enum class SimdLevel { scalar, avx2, avx512 };

// The best level of this processor, or the one that the environment variable NGRAMSTAT_SIMD
// (scalar, avx2, avx512) asks for. Throws std::invalid_argument for another word and for a level
// that the processor lacks: a forced choice never falls back. Read anew at every call.
SimdLevel simd_level();

std::string simd_name(SimdLevel level);

}  // namespace ngramstat
