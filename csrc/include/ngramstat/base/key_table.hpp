// Open-addressing hash table from a 64-bit key to its number in order of insertion. It stores full
// keys, not fingerprints, so that a match is never false.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

inline std::uint64_t mix_bits(std::uint64_t key) {  // finaliser of MurmurHash3
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 33;
    key *= 0xc4ceb9fe1a85ec53ULL;
    return key ^ key >> 33;
}

class KeyTable {
  public:
    static constexpr std::uint32_t kAbsent = 0xffffffffu;
    static constexpr std::uint64_t kNoKey = ~std::uint64_t{0};  // the one key that cannot be stored

    KeyTable();
    std::uint32_t find(std::uint64_t key) const {
        for (std::size_t i = mix_bits(key) & mask_;; i = (i + 1) & mask_) {
            if (slots_[i].key == key) return slots_[i].number;
            if (slots_[i].key == kNoKey) return kAbsent;
        }
    }
    // The number of the key, which is added if it is new. Throws std::overflow_error beyond 2^32 -
    // 2 keys.
    std::uint32_t insert(std::uint64_t key);
    void prefetch(std::uint64_t key) const { ngramstat::prefetch(&slots_[mix_bits(key) & mask_]); }
    std::size_t size() const { return size_; }

  private:
    void grow();

    struct Slot {
        std::uint64_t key;
        std::uint32_t number;
    };
    std::vector<Slot, HugePageAllocator<Slot>> slots_;
    std::size_t mask_ = 0;
    std::size_t size_ = 0;
};

}  // namespace ngramstat
