// The contexts of some targets, by their hash, and which targets each context has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Contexts are numbered in the order of their hashes. A bucket holds those whose hashes begin with
// the same bits, three on average; within it, the rest of each hash is compared.
class ContextIndex {
  public:
    static constexpr std::uint32_t kAbsent = 0xffffffffu;

    ContextIndex() = default;
    // hashes      of the targets' contexts, used up
    // targets     the number of each of those targets, ascending
    // hash_bits   the lower bits of the hashes are zero
    ContextIndex(std::vector<std::uint64_t> hashes, std::vector<std::uint32_t> targets,
                 int hash_bits, int threads);

    std::size_t size() const { return size_; }
    // The hash of a context.
    std::uint64_t hash(std::size_t context) const;
    // The hashes of all contexts, ascending.
    std::vector<std::uint64_t> hashes() const;
    // Targets in the order of their contexts, ascending within each, and where those of each
    // context begin; size() + 1.
    std::span<const Index> targets() const { return targets_; }
    std::span<const Index> target_begins() const { return target_begins_; }

    // Contexts with the hashes at some places of an array, or kAbsent.
    void find(const std::uint64_t* hashes, std::span<const std::uint32_t> places,
              std::uint32_t* contexts) const;

  private:
    template <class Rest>
    struct FindLoop;
    struct FindArguments {
        const ContextIndex& index;
        const std::uint64_t* hashes;
        std::span<const std::uint32_t> places;
        std::uint32_t* contexts;
    };
    template <class Rest>
    Rest rest_of(std::uint64_t hash) const {
        return static_cast<Rest>(hash << bucket_bits_ >> (64 - 8 * sizeof(Rest)));
    }
    std::uint64_t hash_in(std::uint64_t bucket, std::size_t context) const;
    std::size_t bucket_of(std::uint64_t hash) const {
        return bucket_bits_ == 0 ? 0 : hash >> (64 - bucket_bits_);
    }

    static constexpr std::size_t kWindowBytes = 32;

    std::size_t size_ = 0;
    int bucket_bits_ = 0;
    bool direct_ = false;  // a bucket holds one context at most: the rest of its hash is empty
    bool wide_ = false;    // the rest of a hash takes more than 32 bits
    std::vector<std::uint32_t> begins_;  // by bucket: its first context; and the end
    std::vector<std::uint32_t> rests_;   // by context, and some more
    std::vector<std::uint64_t> wide_rests_;
    void (*find_)(const FindArguments&) = nullptr;
    std::vector<Index> targets_, target_begins_;
};

}  // namespace ngramstat
