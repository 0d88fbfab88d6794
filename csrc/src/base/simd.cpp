#include "ngramstat/base/simd.hpp"

#include <cstdlib>
#include <stdexcept>

#ifdef NGRAMSTAT_X86
#include <cpuid.h>
#endif

namespace ngramstat {

namespace {

#ifdef NGRAMSTAT_X86
// Registers whose contents the system keeps when it switches threads: bits of XCR0.
unsigned kept_registers() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_OSXSAVE) == 0) return 0;
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

// Asked of the processor itself, and once, as a virtual machine takes microseconds to answer:
// __builtin_cpu_supports says no to everything where the compiler's
// library has nothing behind it, as in the package ziglang.
SimdLevel level_of_processor() {
#ifdef NGRAMSTAT_X86
    constexpr unsigned kYmm = 0x06, kZmm = 0xe6;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return SimdLevel::scalar;
    const unsigned kept = kept_registers();
    if ((ebx & bit_AVX512F) != 0 && (kept & kZmm) == kZmm) return SimdLevel::avx512;
    if ((ebx & bit_AVX2) != 0 && (kept & kYmm) == kYmm) return SimdLevel::avx2;
#endif
    return SimdLevel::scalar;
}

SimdLevel best_level() {
    static const SimdLevel level = level_of_processor();
    return level;
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
    // Nothing here changes the environment. NOLINTNEXTLINE(concurrency-mt-unsafe)
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
