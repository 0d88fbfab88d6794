// Entries of 4, 8 or 16 bytes appended to many streams at once: a cache line at a time, and
// bypassing the cache, as they are not read again soon.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/simd.hpp"
#include "ngramstat/base/types.hpp"

#ifdef NGRAMSTAT_X86
#include <emmintrin.h>
#endif

namespace ngramstat {

// Aligned to a cache line, as every stream must be.
template <class Entry>
using BufferOf = std::vector<Entry, HugePageAllocator<Entry>>;
using EntryBuffer = BufferOf<std::uint64_t>;

template <class Entry>
class StreamsOf {
  public:
    static constexpr std::size_t kLine = 64 / sizeof(Entry);  // entries of a cache line

    // The first entry of a stream that follows one ending at `end`.
    static std::size_t begin_after(std::size_t end) { return (end + kLine - 1) / kLine * kLine; }

    // Stream s starts at buffer[begin[s]], the first entry of a cache line.
    StreamsOf(Entry* buffer, std::vector<std::size_t> begin)
        : buffer_(buffer), next_(std::move(begin)), lines_(next_.size()) {}

    void put(std::size_t stream, Entry entry) {
        const std::size_t at = next_[stream]++;
        auto& line = lines_[stream].entries;
        line[at % kLine] = entry;
        if (at % kLine == kLine - 1) store_line(buffer_ + at - (kLine - 1), line.data());
    }

    // Where the next entry of each stream goes.
    const std::vector<std::size_t>& next() const { return next_; }

    // Writes the incomplete last lines. Must be called once, after the last entry.
    void finish() {
        for (std::size_t s = 0; s < next_.size(); ++s) {
            const std::size_t rest = next_[s] % kLine;
            std::copy_n(lines_[s].entries.begin(), rest, buffer_ + next_[s] - rest);
        }
#ifdef NGRAMSTAT_X86
        _mm_sfence();
#endif
    }

  private:
    struct alignas(64) Line {
        std::array<Entry, kLine> entries;
    };

    static void store_line(Entry* target, const Entry* line) {
#ifdef NGRAMSTAT_X86
        for (int k = 0; k < 4; ++k) {
            _mm_stream_si128(reinterpret_cast<__m128i*>(target) + k,
                             _mm_load_si128(reinterpret_cast<const __m128i*>(line) + k));
        }
#else
        std::memcpy(target, line, 64);
#endif
    }

    Entry* buffer_;
    std::vector<std::size_t> next_;
    std::vector<Line> lines_;
};

using EntryStreams = StreamsOf<std::uint64_t>;

}  // namespace ngramstat
