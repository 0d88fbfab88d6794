// Keeps the resident memory (RSS) of the process below a limit. Pages of mapped files count as its
// memory once they are read, although the system can read them from the file again at any time;
// they are released whenever the RSS is too large.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// A mapping of a file, or part of one.
struct MappedFile {
    const void* begin;
    std::size_t bytes;
};

// From now on, workers release all pages of these mappings when the RSS exceeds `threshold` bytes.
// They must be mappings of files, shared or never written to: the contents of other pages would be
// lost. An empty list stops this. A mapping must be removed from the list before it is unmapped.
void set_releasable_mappings(std::vector<MappedFile> mappings, std::size_t threshold);

// Releases the pages if the RSS exceeds the threshold. Workers call it between tasks, and within
// those that read much of a file: near the threshold it looks at the RSS every tenth of a
// millisecond, far from it more seldom, and otherwise costs next to nothing.
void release_pages_if_needed();

// Calls body(begin, end) for pieces of [first, last), and looks at the RSS after each. Tokens that
// are read in order take less than the time between two looks in a piece of the default length.
template <class Body>
void in_pieces(Index first, Index last, Body&& body, Index length = Index{1} << 16) {
    for (Index begin = first; begin < last; begin += length) {
        body(begin, std::min(begin + length, last));
        release_pages_if_needed();
    }
}

// The same before an allocation, if the RSS and `bytes` together exceed the threshold.
void release_pages_before(std::size_t bytes);

// The RSS of this process in bytes; 0 where the system does not report it.
std::size_t rss_bytes();

}  // namespace ngramstat
