#include "ngramstat/base/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ngramstat {

namespace {

constexpr std::uint64_t kPrime1 = 0x9e3779b185ebca87ULL;
constexpr std::uint64_t kPrime2 = 0xc2b2ae3d27d4eb4fULL;
constexpr std::uint64_t kPrime3 = 0x165667b19e3779f9ULL;
constexpr std::uint64_t kPrime4 = 0x85ebca77c2b2ae63ULL;
constexpr std::uint64_t kPrime5 = 0x27d4eb2f165667c5ULL;

static_assert(std::endian::native == std::endian::little, "words are read in little-endian order");

template <class Word>
std::uint64_t read(const std::byte* bytes) {
    Word word;
    std::memcpy(&word, bytes, sizeof(word));
    return word;
}

std::uint64_t mixed(std::uint64_t lane, std::uint64_t word) {
    return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

}  // namespace

void Checksum::add_stripe(const std::byte* stripe) {
    for (std::size_t k = 0; k < lanes_.size(); ++k) {
        lanes_[k] = mixed(lanes_[k], read<std::uint64_t>(stripe + 8 * k));
    }
}

void Checksum::update(std::span<const std::byte> bytes) {
    const std::size_t waiting = size_ % kStripe;
    size_ += bytes.size();
    if (waiting > 0) {
        const std::size_t n = std::min(bytes.size(), kStripe - waiting);
        std::copy_n(bytes.begin(), n, rest_.begin() + static_cast<std::ptrdiff_t>(waiting));
        bytes = bytes.subspan(n);
        if (waiting + n < kStripe) return;
        add_stripe(rest_.data());
    }
    for (; bytes.size() >= kStripe; bytes = bytes.subspan(kStripe)) add_stripe(bytes.data());
    std::copy(bytes.begin(), bytes.end(), rest_.begin());
}

std::uint64_t Checksum::value() const {
    std::uint64_t hash = kPrime5;
    if (size_ >= kStripe) {
        hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
               std::rotl(lanes_[3], 18);
        for (const std::uint64_t lane : lanes_) {
            hash = (hash ^ mixed(0, lane)) * kPrime1 + kPrime4;
        }
    }
    hash += size_;
    const std::byte* at = rest_.data();
    const std::byte* end = at + size_ % kStripe;
    for (; at + 8 <= end; at += 8) {
        hash = std::rotl(hash ^ mixed(0, read<std::uint64_t>(at)), 27) * kPrime1 + kPrime4;
    }
    for (; at + 4 <= end; at += 4) {
        hash = std::rotl(hash ^ read<std::uint32_t>(at) * kPrime1, 23) * kPrime2 + kPrime3;
    }
    for (; at < end; ++at) {
        hash = std::rotl(hash ^ read<std::uint8_t>(at) * kPrime5, 11) * kPrime1;
    }
    hash = (hash ^ hash >> 33) * kPrime2;
    hash = (hash ^ hash >> 29) * kPrime3;
    return hash ^ hash >> 32;
}

}  // namespace ngramstat
