// Memory of tables that are read at random: in huge pages where the system has them, so that a
// lookup does not also wait for the address translation.
#pragma once

#include <cstddef>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace ngramstat {

template <class T>
struct HugePageAllocator {
    using value_type = T;

    HugePageAllocator() = default;
    template <class Other>
    HugePageAllocator(const HugePageAllocator<Other>&) {}

    T* allocate(std::size_t n) {
        if (!is_large(n)) return static_cast<T*>(::operator new(n * sizeof(T)));
        void* memory = ::operator new(n * sizeof(T), std::align_val_t{kHugePage});
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        // Whole pages only: what lies behind the end may be others'. Nothing is lost on a refusal.
        madvise(memory, n * sizeof(T) / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t n) {
        if (!is_large(n)) return ::operator delete(memory);
        ::operator delete(memory, std::align_val_t{kHugePage});
    }
    bool operator==(const HugePageAllocator&) const { return true; }

  private:
    static constexpr std::size_t kHugePage = std::size_t{1} << 21;
    static bool is_large(std::size_t n) { return n >= kHugePage / sizeof(T); }
};

}  // namespace ngramstat
