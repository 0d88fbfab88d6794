// Memory of tables that are read at random or written in many places: in huge pages where the
// system has them, so that an access does not also wait for the address translation. It begins with
// a cache line, and is not cleared: what a vector grows by holds anything until it is written.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

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
        void* memory = ::operator new(n * sizeof(T), alignment(n));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        // Whole pages only: what lies behind the end may be others'. Nothing is lost on a refusal.
        if (is_large(n)) madvise(memory, n * sizeof(T) / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t n) { ::operator delete(memory, alignment(n)); }
    template <class U>
    void construct(U* at) {
        ::new (static_cast<void*>(at)) U;
    }
    template <class U, class... Arguments>
    void construct(U* at, Arguments&&... arguments) {
        ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
    }
    bool operator==(const HugePageAllocator&) const { return true; }

  private:
    static constexpr std::size_t kHugePage = std::size_t{1} << 21;
    static bool is_large(std::size_t n) { return n >= kHugePage / sizeof(T); }
    static std::align_val_t alignment(std::size_t n) {
        return std::align_val_t{is_large(n) ? kHugePage : 64};
    }
};

}  // namespace ngramstat
