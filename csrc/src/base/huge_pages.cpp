#include "ngramstat/base/huge_pages.hpp"

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "ngramstat/base/page_cache.hpp"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace ngramstat {

namespace {

#ifdef __linux__
std::size_t mapped_bytes(std::size_t bytes) {
    static const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) / page * page;
}
#else
constexpr std::align_val_t kAlignment{kHugePage};
#endif

// Smaller allocations are not worth keeping.
constexpr std::size_t kMinKept = std::size_t{64} << 20;
// Larger ones do not stand beside memory that is kept.
constexpr std::size_t kMaxBesideKept = std::size_t{8} << 20;
// Scratch of less is not worth a huge page, and of more is not kept.
constexpr std::size_t kMinScratch = std::size_t{128} << 10, kMaxScratchKept = std::size_t{64} << 20;
// Of smaller scratch, which the heap provides.
constexpr std::align_val_t kLine{64};

// Mapped by themselves, so that freed memory goes back to the system: between the allocations of a
// heap it would stay resident, as much again as what is in use. nullptr if there is none.
void* map_pages(std::size_t bytes) {
#ifdef __linux__
    constexpr int kProtection = PROT_READ | PROT_WRITE, kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
    const std::size_t size = mapped_bytes(bytes);
    void* mapped = mmap(nullptr, size + kHugePage, kProtection, kFlags, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    // What lies before the first boundary of a huge page, and behind the end.
    const auto begin = reinterpret_cast<std::uintptr_t>(mapped);
    const std::size_t before = (kHugePage - begin % kHugePage) % kHugePage;
    auto* memory = static_cast<std::byte*>(mapped) + before;
    if (before > 0) munmap(mapped, before);
    munmap(memory + size, kHugePage - before);
    return memory;
#else
    return ::operator new(bytes, kAlignment, std::nothrow);
#endif
}

void unmap_pages(void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
    munmap(memory, mapped_bytes(bytes));
#else
    ::operator delete(memory, kAlignment);
#endif
}

std::mutex mutex;
void* kept = nullptr;
std::size_t kept_bytes = 0;
void* kept_scratch = nullptr;
std::size_t kept_scratch_bytes = 0;

// Bytes of every allocation in use: memory that was kept may be larger than what reuses it. Never
// destroyed, as memory may be freed after the end of `main`.
std::unordered_map<void*, std::size_t>& sizes() {
    static auto* const map = new std::unordered_map<void*, std::size_t>;
    return *map;
}

void* reuse_kept(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    // An allocation more than twice as large is left for another use.
    if (kept == nullptr || kept_bytes < bytes || kept_bytes / 2 > bytes) return nullptr;
    sizes()[kept] = kept_bytes;
    return std::exchange(kept, nullptr);
}

void* reuse_scratch(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    // One much larger is left for another use.
    if (kept_scratch_bytes < bytes || kept_scratch_bytes / 2 > bytes) return nullptr;
    sizes()[kept_scratch] = std::exchange(kept_scratch_bytes, 0);
    return std::exchange(kept_scratch, nullptr);
}

}  // namespace

void* allocate_large(std::size_t bytes) {
    if (void* memory = reuse_kept(bytes)) return memory;
    // Never hold the kept allocation and another large one at the same time.
    if (bytes > kMaxBesideKept) free_kept_memory();
    release_pages_before(bytes);
    void* memory = map_pages(bytes);
    if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Whole pages only. If the system refuses, the memory is still usable.
    madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    const std::lock_guard<std::mutex> lock(mutex);
    sizes()[memory] = bytes;
    return memory;
}

void free_large(void* memory) {
    std::size_t bytes = 0;
    {
        const std::lock_guard<std::mutex> lock(mutex);
        const auto entry = sizes().find(memory);
        bytes = entry->second;
        sizes().erase(entry);
        if (bytes >= kMinKept) {
            std::swap(memory, kept);
            std::swap(bytes, kept_bytes);
        }
    }
    if (memory != nullptr) unmap_pages(memory, bytes);
}

void* allocate_scratch(std::size_t bytes) {
    if (bytes < kMinScratch) return ::operator new(bytes, kLine);
    const std::size_t pages = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* kept_before = reuse_scratch(pages);
    return kept_before != nullptr ? kept_before : allocate_large(pages);
}

void free_scratch(void* memory) {
    std::size_t bytes = 0;
    {
        const std::lock_guard<std::mutex> lock(mutex);
        const auto entry = sizes().find(memory);
        if (entry == sizes().end()) {
            ::operator delete(memory, kLine);
            return;
        }
        bytes = entry->second;
        sizes().erase(entry);
        if (bytes <= kMaxScratchKept && bytes > kept_scratch_bytes) {
            std::swap(memory, kept_scratch);
            std::swap(bytes, kept_scratch_bytes);
        }
    }
    if (memory != nullptr) unmap_pages(memory, bytes);
}

void free_kept_memory() {
    const std::lock_guard<std::mutex> lock(mutex);
    if (kept != nullptr) unmap_pages(std::exchange(kept, nullptr), kept_bytes);
    if (kept_scratch != nullptr) {
        unmap_pages(std::exchange(kept_scratch, nullptr), std::exchange(kept_scratch_bytes, 0));
    }
}

void trim_heap() {
    free_kept_memory();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace ngramstat
