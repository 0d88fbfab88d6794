// Large allocations that are kept and reused, and pages of mapped files that are released.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "check.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/page_cache.hpp"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

using namespace ngramstat;

constexpr std::size_t kMega = std::size_t{1} << 20;
using Bytes = std::vector<unsigned char, HugePageAllocator<unsigned char>>;

void reuses_what_fits() {
    check::in_case("kept memory");
    free_kept_memory();
    const void* first = nullptr;
    {
        Bytes bytes(100 * kMega);
        std::memset(bytes.data(), 7, bytes.size());
        first = bytes.data();
    }
    {
        Bytes smaller(80 * kMega);
        CHECK(smaller.data() == first);
        Bytes another(90 * kMega);  // nothing is kept now
        CHECK(another.data() != first);
    }
    free_kept_memory();
    {
        const Bytes bytes(300 * kMega);
        first = bytes.data();
    }
    {
        // Far smaller than the kept allocation, and then larger.
        const Bytes few(70 * kMega), more(310 * kMega);
        CHECK(few.data() != first);
    }
    Bytes grown;
    for (std::size_t n = 1; n <= 200 * kMega; n *= 3) {
        grown.resize(n);
        grown[n - 1] = static_cast<unsigned char>(n);
    }
    for (std::size_t n = 1; n <= 200 * kMega; n *= 3) {
        CHECK(grown[n - 1] == static_cast<unsigned char>(n));
    }
    free_kept_memory();
    free_kept_memory();
}

void scratch_is_used_again() {
    check::in_case("scratch");
    free_kept_memory();
    const Index small = 1000, large = 3 * Index{kMega};
    const unsigned char* first = nullptr;
    {
        ScratchTables<unsigned char> tables(2, large);
        CHECK(tables[1] - tables[0] == large);
        CHECK(reinterpret_cast<std::uintptr_t>(tables[0]) % kHugePage == 0);
        std::fill_n(tables[0], 2 * large, static_cast<unsigned char>(7));
        // Others beside it do not touch it, whether they are small or are kept in its place.
        ScratchTables<unsigned char> other(1, small), kept(1, large);
        std::fill_n(other[0], small, static_cast<unsigned char>(8));
        std::fill_n(kept[0], large, static_cast<unsigned char>(9));
        CHECK(std::all_of(tables[0], tables[0] + 2 * large, [](auto x) { return x == 7; }));
        first = tables[0];
    }
    {
        // Of what was freed the larger one is there, but not for much less.
        ScratchTables<unsigned char> much_less(1, large / 2), again(2, large);
        CHECK(again[0] == first && much_less[0] != first);
    }
    const std::size_t before = rss_bytes();
    free_kept_memory();
    CHECK(rss_bytes() + static_cast<std::size_t>(large) < before);
}

void is_safe_for_many_threads() {
    check::in_case("kept memory, threads");
    std::vector<std::thread> pool;
    for (int t = 0; t < 4; ++t) {
        pool.emplace_back([t] {
            for (int round = 0; round < 20; ++round) {
                Bytes bytes(static_cast<std::size_t>(65 + t + round) * kMega);
                bytes.front() = bytes.back() = static_cast<unsigned char>(t);
                ScratchTables<int> tables(1 + t, 50'000 * (1 + round % 3));
                tables[0][0] = t;
                tables[t][49'999] = t;
                CHECK(tables[0][0] == t && tables[t][49'999] == t);
                CHECK(bytes.front() == t && bytes.back() == t);
            }
        });
    }
    for (auto& thread : pool) thread.join();
    trim_heap();
}

#ifdef __linux__
void lets_pages_of_files_go() {
    check::in_case("pages of a file");
    constexpr std::size_t size = 64 * kMega;
    std::FILE* file = std::tmpfile();
    CHECK(file != nullptr && ftruncate(fileno(file), size) == 0);
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    CHECK(memory != MAP_FAILED);
    std::memset(memory, 5, size);
    const std::size_t full = rss_bytes();
    CHECK(full > size);
    release_pages_if_needed();  // no mappings are set yet
    CHECK(rss_bytes() + size / 4 > full);
    // A mapping that does not start at a page boundary: its incomplete pages stay resident.
    set_releasable_mappings({{static_cast<char*>(memory) + 100, size - 200}}, full + 16 * kMega);
    release_pages_if_needed();
    CHECK(rss_bytes() + size / 4 > full);
    set_releasable_mappings({{static_cast<char*>(memory) + 100, size - 200}}, full - kMega);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    release_pages_if_needed();
    CHECK(rss_bytes() < full - size / 2);
    const auto* bytes = static_cast<const unsigned char*>(memory);
    for (std::size_t i = 0; i < size; i += 4096) CHECK(bytes[i] == 5);
    set_releasable_mappings({}, 0);
    munmap(memory, size);
    std::fclose(file);
}
#endif

}  // namespace

int main() {
    reuses_what_fits();
    scratch_is_used_again();
    is_safe_for_many_threads();
#ifdef __linux__
    lets_pages_of_files_go();
#endif
}
