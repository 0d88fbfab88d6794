// Memory for tables that are accessed at random: in huge pages where the system has them, so that
// an access does not also wait for the address translation. It is aligned to a cache line and not
// cleared: new elements of a vector are uninitialised until they are written.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Allocations of 2 MB and more. The last one that was freed is kept and reused for the next one
// that it fits: page faults in fresh memory would cost more than the work done with it.
void* allocate_large(std::size_t bytes);
void free_large(void* memory);
// Memory for the time of one call, of any size: from 128 KB on in whole huge pages. The largest
// that was freed is kept, up to 64 MB, for the next calls.
void* allocate_scratch(std::size_t bytes);
void free_scratch(void* memory);
// Frees the allocations that are kept.
void free_kept_memory();
// Returns them and all other freed memory to the system, where the allocator supports that.
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
        if (is_large(n)) return free_large(memory);
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

// Tables of equal size for the time of one call, uninitialised, one after the other: together they
// are often large enough for huge pages where none of them is. From 128 KB on they fill whole ones.
template <class T>
class ScratchTables {
  public:
    ScratchTables(Index n_tables, Index size) : size_(size) {
        const std::size_t bytes = static_cast<std::size_t>(n_tables * size) * sizeof(T);
        memory_.reset(static_cast<T*>(allocate_scratch(bytes)));
    }

    T* operator[](Index table) { return memory_.get() + table * size_; }
    const T* operator[](Index table) const { return memory_.get() + table * size_; }

  private:
    static_assert(std::is_trivially_destructible_v<T>);
    struct Free {
        void operator()(T* memory) const { free_scratch(memory); }
    };
    Index size_;
    std::unique_ptr<T, Free> memory_;
};

}  // namespace ngramstat
