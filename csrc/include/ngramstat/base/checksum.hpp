// XXH64 of bytes that arrive in pieces: recognises damage, at the speed of memory.
// https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ngramstat {

class Checksum {
  public:
    void update(std::span<const std::byte> bytes);
    // Of all bytes so far; more may follow.
    std::uint64_t value() const;

  private:
    static constexpr std::size_t kStripe = 32;
    void add_stripe(const std::byte* stripe);

    std::array<std::uint64_t, 4> lanes_{0x60ea27eeadc0b5d6ULL, 0xc2b2ae3d27d4eb4fULL, 0,
                                        0x61c8864e7a143579ULL};
    std::array<std::byte, kStripe> rest_{};  // the first size_ % kStripe are waiting
    std::uint64_t size_ = 0;
};

}  // namespace ngramstat
