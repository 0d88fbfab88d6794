// Sorted runs of counted n-grams as bytes, for temporary files, and how many of them become one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "ngramstat/ngrams/counted_ngrams.hpp"

namespace ngramstat {

// A run is a sequence of n-grams with ascending keys, each as
//   1 byte      bits 0 .. 4: length of the difference; bits 5 .. 7: the count, or 0 if it follows
//   0 .. 16     the key minus that of the n-gram before, or the first key; lowest byte first
//   8 bytes     the count, where it exceeds 7
// so that an n-gram of order 5 takes six or seven bytes. Runs exist as long as the process, and
// are never read by another.
class RunEncoder {
  public:
    explicit RunEncoder(int key_bits) : key_bits_(key_bits) {}
    // The bytes that n-grams [first, last) add to the run, which they continue.
    std::vector<std::uint8_t> encode(const CountedNgrams& counted, Index first, Index last);

  private:
    int key_bits_;
    WideKey previous_ = 0;
};

// Bytes that an n-gram of a run takes at most, on average, if the run has so many.
double run_bytes(int key_bits, double n_ngrams);

// Merges sorted runs into one; counts of equal keys are added. The runs must outlive it.
class RunMerger {
  public:
    virtual ~RunMerger() = default;
    // The next n-grams whose counts add up to at least min_count, at most `most` of them; none at
    // the end. Throws std::invalid_argument for bytes that are no run.
    virtual CountedNgrams next(Index most, Count min_count) = 0;
};

std::unique_ptr<RunMerger> make_run_merger(std::vector<std::span<const std::uint8_t>> runs,
                                           int key_bits);

}  // namespace ngramstat
