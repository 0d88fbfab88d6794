#include "ngramstat/base/page_cache.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#endif

namespace ngramstat {

namespace {

using Clock = std::chrono::steady_clock;

// A worker may read some 10 MB in this time.
constexpr auto kInterval = std::chrono::milliseconds(2);

std::mutex mutex;
std::vector<MappedFile> releasable;
std::size_t most_resident = 0;
std::atomic<bool> watching{false};
std::atomic<Clock::rep> next_look{0};

}  // namespace

std::size_t rss_bytes() {
#ifdef __linux__
    const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[128];
    const ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    text[length] = '\0';
    unsigned long long total = 0, resident = 0;
    if (std::sscanf(text, "%llu %llu", &total, &resident) != 2) return 0;
    return static_cast<std::size_t>(resident) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#else
    return 0;
#endif
}

namespace {

// Lets all pages go if so many more bytes would be too many.
void release_beyond([[maybe_unused]] std::size_t added) {
#ifdef __linux__
    const std::lock_guard<std::mutex> lock(mutex);
    if (rss_bytes() + added <= most_resident) return;
    const std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (const MappedFile& mapping : releasable) {
        // Whole pages only: what else lies on the first and the last is not known here.
        const auto begin = reinterpret_cast<std::uintptr_t>(mapping.begin);
        const std::uintptr_t first = (begin + page - 1) / page * page;
        const std::uintptr_t last = (begin + mapping.bytes) / page * page;
        // A refusal leaves the pages where they are.
        if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
    }
#endif
}

}  // namespace

void set_releasable_mappings(std::vector<MappedFile> mappings, std::size_t threshold) {
    const std::lock_guard<std::mutex> lock(mutex);
    releasable = std::move(mappings);
    most_resident = threshold;
    watching.store(!releasable.empty());
}

void release_pages_if_needed() {
#ifdef __linux__
    if (!watching.load(std::memory_order_relaxed)) return;
    const Clock::rep now = Clock::now().time_since_epoch().count();
    Clock::rep due = next_look.load();
    if (now < due) return;
    // One worker looks, the others go on.
    const Clock::rep then = now + std::chrono::duration_cast<Clock::duration>(kInterval).count();
    if (!next_look.compare_exchange_strong(due, then)) return;
    release_beyond(0);
#endif
}

void release_pages_before(std::size_t bytes) {
    if (watching.load(std::memory_order_relaxed)) release_beyond(bytes);
}

}  // namespace ngramstat
