#include "ngramstat/base/huge_pages.hpp"

#include <mutex>

#include "ngramstat/base/page_cache.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace ngramstat {

namespace {

constexpr std::align_val_t kAlignment{kHugePage};
// Smaller allocations are not worth keeping.
constexpr std::size_t kMinKept = std::size_t{64} << 20;
// Larger ones do not stand beside memory that is kept.
constexpr std::size_t kMaxBesideKept = std::size_t{8} << 20;

std::mutex mutex;
void* kept = nullptr;
std::size_t kept_bytes = 0;

void* reuse_kept(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    // An allocation more than twice as large is left for another use.
    if (kept == nullptr || kept_bytes < bytes || kept_bytes / 2 > bytes) return nullptr;
    return std::exchange(kept, nullptr);
}

}  // namespace

void* allocate_large(std::size_t bytes) {
    if (void* memory = reuse_kept(bytes)) return memory;
    // Never hold the kept allocation and another large one at the same time.
    if (bytes > kMaxBesideKept) free_kept_memory();
    release_pages_before(bytes);
    void* memory = ::operator new(bytes, kAlignment);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Whole pages only: memory after the end may belong to others. If the system refuses, the
    // memory is still usable.
    madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    return memory;
}

void free_large(void* memory, std::size_t bytes) {
    if (bytes >= kMinKept) {
        const std::lock_guard<std::mutex> lock(mutex);
        std::swap(memory, kept);
        kept_bytes = bytes;
    }
    if (memory != nullptr) ::operator delete(memory, kAlignment);
}

void free_kept_memory() {
    const std::lock_guard<std::mutex> lock(mutex);
    if (kept != nullptr) ::operator delete(std::exchange(kept, nullptr), kAlignment);
}

void trim_heap() {
    free_kept_memory();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace ngramstat
