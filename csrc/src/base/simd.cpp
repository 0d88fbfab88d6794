#include "ngramstat/base/simd.hpp"

#include <cstdlib>
#include <stdexcept>

namespace ngramstat {

namespace {

SimdLevel best_level() {
#ifdef NGRAMSTAT_X86
    if (__builtin_cpu_supports("avx512f")) return SimdLevel::avx512;
    if (__builtin_cpu_supports("avx2")) return SimdLevel::avx2;
#endif
    return SimdLevel::scalar;
}

}  // namespace

std::string simd_name(SimdLevel level) {
    switch (level) {
        case SimdLevel::avx512:
            return "avx512";
        case SimdLevel::avx2:
            return "avx2";
        case SimdLevel::scalar:
            break;
    }
    return "scalar";
}

SimdLevel simd_level() {
    const SimdLevel best = best_level();
    const char* asked = std::getenv("NGRAMSTAT_SIMD");
    if (asked == nullptr || *asked == '\0') return best;
    for (const SimdLevel level : {SimdLevel::scalar, SimdLevel::avx2, SimdLevel::avx512}) {
        if (simd_name(level) != asked) continue;
        if (level > best) {
            throw std::invalid_argument("NGRAMSTAT_SIMD=" + std::string(asked) +
                                        ": this processor does not have it; the best here is " +
                                        simd_name(best));
        }
        return level;
    }
    throw std::invalid_argument("NGRAMSTAT_SIMD=" + std::string(asked) +
                                ": expected scalar, avx2 or avx512");
}

}  // namespace ngramstat
