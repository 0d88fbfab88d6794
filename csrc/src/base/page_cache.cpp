#include "ngramstat/base/page_cache.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#endif

namespace ngramstat {

namespace {

using Clock = std::chrono::steady_clock;

// Between two looks at the RSS, which take some microseconds. Where the system maps 2 MB of a file
// at a touch, a worker that touches the file here and there gets 100 MB of it in a millisecond:
// near the limit the RSS is looked at more often.
constexpr auto kInterval = std::chrono::microseconds(500);
constexpr auto kIntervalNear = std::chrono::microseconds(100);
constexpr std::size_t kNear = std::size_t{64} << 20;

std::mutex mutex;
std::vector<MappedFile> releasable;
std::size_t max_rss = 0;
std::atomic<bool> has_releasable{false};
std::atomic<Clock::rep> next_check{0};

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
    // The pages of the address space, then those in memory; 0 where there is no number.
    char* rest = nullptr;
    std::strtoull(text, &rest, 10);
    return static_cast<std::size_t>(std::strtoull(rest, nullptr, 10)) *
           static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#else
    return 0;
#endif
}

namespace {

// Releases all pages if `added` more bytes would exceed the limit. Returns whether the RSS was near
// the limit.
bool release_beyond([[maybe_unused]] std::size_t added) {
#ifdef __linux__
    const std::lock_guard<std::mutex> lock(mutex);
    const std::size_t rss = rss_bytes() + added;
    if (rss <= max_rss) return rss + kNear > max_rss;
    const std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (const MappedFile& mapping : releasable) {
        // Whole pages only: the first and the last may hold bytes of something else.
        const auto begin = reinterpret_cast<std::uintptr_t>(mapping.begin);
        const std::uintptr_t first = (begin + page - 1) / page * page;
        const std::uintptr_t last = (begin + mapping.bytes) / page * page;
        // If the system refuses, the pages stay resident; nothing is lost.
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
    }
    return true;
#else
    return false;
#endif
}

}  // namespace

void set_releasable_mappings(std::vector<MappedFile> mappings, std::size_t threshold) {
    const std::lock_guard<std::mutex> lock(mutex);
    releasable = std::move(mappings);
    max_rss = threshold;
    has_releasable.store(!releasable.empty());
}

void release_pages_if_needed() {
#ifdef __linux__
    if (!has_releasable.load(std::memory_order_relaxed)) return;
    const Clock::rep now = Clock::now().time_since_epoch().count();
    Clock::rep due = next_check.load();
    if (now < due) return;
    // One worker checks, the others continue.
    const auto after = [&](std::chrono::microseconds interval) {
        return now + std::chrono::duration_cast<Clock::duration>(interval).count();
    };
    if (!next_check.compare_exchange_strong(due, after(kInterval))) return;
    if (release_beyond(0)) next_check.store(after(kIntervalNear));
#endif
}

void release_pages_before(std::size_t bytes) {
    if (has_releasable.load(std::memory_order_relaxed)) release_beyond(bytes);
}

}  // namespace ngramstat
