// Asks for a cache line ahead of its use, where the compiler can.
#pragma once

namespace ngramstat {

inline void prefetch(const void* address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
    // GCC takes a function that does nothing but this for one without effect, and drops its calls.
    asm volatile("");
#else
    static_cast<void>(address);
#endif
}

}  // namespace ngramstat
