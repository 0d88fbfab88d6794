// Counts of all n-grams of one order by hashing, some of the hashes at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/ngrams/counted_ngrams.hpp"
#include "ngramstat/ngrams/ngram_keys.hpp"

namespace ngramstat {

// How hashes are stored. A bucket is all hashes with the same highest `bucket_bits` bits; an entry,
// of 4, 8 or 16 bytes, holds the remaining ones.
struct BucketLayout {
    int bucket_bits;  // 0 .. 20
    int entry_bytes;
    Index chunk;  // positions of the stream that one thread goes through at a time, below 2^31
};

// Positions [first, last) of the stream.
struct PositionRange {
    Index first, last;
};

// Counts the n-grams whose first token lies in a range of positions:
//   1. measure() counts the entries of each bucket, in every chunk of the range;
//   2. start() makes room for some buckets, and fill() writes their entries, bucket by bucket, a
//      cache line at a time;
//   3. count() counts them, one bucket after the other, in an open-addressing table that fits the
//      second-level cache.
// Steps 2 and 3 are repeated until all buckets are counted.
//
// The hash is a bijection (KeyHash) and entries are compared in full, so that counts are exact. The
// place of an entry in the table is given by its highest bits: n-grams come out in the order of
// their hashes for nearly nothing, the same for any layout and number of threads.
//
//   Memory: entry_bytes per position whose hash is in the started buckets; 8 bytes per bucket and
//   chunk; for each thread 64 bytes per started bucket, and a table of some 48 bytes (72 for
//   entries of 16) per distinct n-gram of the largest bucket.
class NgramBuckets {
  public:
    NgramBuckets() = default;
    NgramBuckets(const NgramBuckets&) = delete;
    NgramBuckets& operator=(const NgramBuckets&) = delete;
    virtual ~NgramBuckets() = default;

    virtual Index n_chunks() const = 0;
    // Chunks [first, last), each of them once. Throws std::out_of_range for a token >= vocab_size.
    virtual void measure(Index first, Index last, int threads) = 0;
    // Entries of each bucket in the chunks that were measured.
    virtual std::vector<Index> bucket_sizes() const = 0;
    virtual void start(Index first_bucket, Index last_bucket) = 0;
    // Chunks [first, last), each of them once after start().
    virtual void fill(Index first, Index last, int threads) = 0;
    // Replaces `counted` by the n-grams of some of the started buckets that occur at least
    // min_count times, with their hashes for keys. Its memory is used again.
    virtual void count(Index first_bucket, Index last_bucket, Count min_count, int threads,
                       CountedNgrams& counted) = 0;
};

// The tokens and documents must outlive it. `across`: n-grams run across the whole stream;
// otherwise they stay inside documents, separators included. Throws std::invalid_argument unless
// the documents cover the stream, the range lies in it, and the layout can hold the hashes.
template <class Token>
std::unique_ptr<NgramBuckets> make_ngram_buckets(std::span<const Token> tokens,
                                                 const NgramPacking& packing,
                                                 const Documents& documents, bool across,
                                                 PositionRange range, BucketLayout layout);

}  // namespace ngramstat
