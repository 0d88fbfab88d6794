// Keeping resident memory below a limit. Pages of mapped files count as memory of the process while
// they are mapped, though the system can read them again at any time: they are let go of whenever
// there are too many.
#pragma once

#include <cstddef>
#include <vector>

namespace ngramstat {

// A mapping of a file, or part of one.
struct MappedFile {
    const void* begin;
    std::size_t bytes;
};

// From now on, workers let go of all pages of these mappings when more than `threshold` bytes of
// this process are resident. They must be mappings of files, shared or never written: pages of
// anything else would be lost. An empty list ends it. Waits for nobody: a mapping must not be
// unmapped before it is taken off the list.
void set_releasable_mappings(std::vector<MappedFile> mappings, std::size_t threshold);

// What workers call between tasks. Costs next to nothing, most of the time.
void release_pages_if_needed();

// The same before so many bytes are added at once.
void release_pages_before(std::size_t bytes);

// Resident bytes of this process now; 0 where the system does not tell.
std::size_t rss_bytes();

}  // namespace ngramstat
