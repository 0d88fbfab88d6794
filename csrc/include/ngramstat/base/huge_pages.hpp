// Memory of tables that are read at random or written in many places: in huge pages where the
// system has them, so that an access does not also wait for the address translation. It begins with
// a cache line, and is not cleared: what a vector grows by holds anything until it is written.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace ngramstat {

// Large memory (from 2 MB on). The last large piece that was freed is kept for the next one that it
// fits: memory that the system has not handed out before costs more than what is done with it.
void* allocate_large(std::size_t bytes);
void free_large(void* memory, std::size_t bytes);
// Gives up what is kept.
void free_kept_memory();
// Gives that and what else was freed back to the system, where the allocator can.
void trim_heap();

inline constexpr std::size_t kHugePage = std::size_t{1} << 21;

template <class T>
struct HugePageAllocator {
    using value_type = T;

    HugePageAllocator() = default;
    template <class Other>
    HugePageAllocator(const HugePageAllocator<Other>&) {}

    T* allocate(std::size_t n) {
        if (is_large(n)) return static_cast<T*>(allocate_large(n * sizeof(T)));
        return static_cast<T*>(::operator new(n * sizeof(T), kLine));
    }
    void deallocate(T* memory, std::size_t n) {
        if (is_large(n)) return free_large(memory, n * sizeof(T));
        ::operator delete(memory, kLine);
    }
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
    static constexpr std::align_val_t kLine{64};
    static bool is_large(std::size_t n) { return n >= kHugePage / sizeof(T); }
};

}  // namespace ngramstat
