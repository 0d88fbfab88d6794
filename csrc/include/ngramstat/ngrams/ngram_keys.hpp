// N-grams of one order as integers of up to 128 bits, and a hash of these integers that loses
// nothing: the n-gram can be read from it again, so that no other key has to be kept.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

using WideKey = unsigned __int128;

// The tokens of an n-gram side by side, the first one highest: keys ascend as n-grams do in
// lexicographic order.
class NgramPacking {
  public:
    static constexpr int kMaxBits = 128;

    // Throws std::invalid_argument for n < 1, a vocab_size outside 1 .. 2^32, and n-grams that do
    // not fit, ceil(log2(vocab_size)) * n > 128.
    NgramPacking(Index vocab_size, Index n);

    Index vocab_size() const { return vocab_size_; }
    Index n() const { return n_; }
    int token_bits() const { return token_bits_; }
    int key_bits() const { return static_cast<int>(n_) * token_bits_; }  // 0 .. 128

  private:
    Index vocab_size_;
    Index n_;
    int token_bits_;
};

// The lowest `bits` bits, 0 .. all of them.
template <class Key>
constexpr Key low_bits(int bits) {
    return bits == 0 ? Key{0} : static_cast<Key>(~Key{0}) >> (int{sizeof(Key)} * 8 - bits);
}

// The number whose product with an odd number is 1 modulo 2^64.
constexpr std::uint64_t odd_inverse(std::uint64_t odd) {
    std::uint64_t x = odd;  // right in three bits; each step doubles their number
    for (int k = 0; k < 5; ++k) x *= 2 - odd * x;
    return x;
}

// A bijection of the integers of `bits` bits onto themselves whose highest bits look random.
template <class Key>
class KeyHash;

// Up to 64 bits: products modulo 2^bits, in which every bit depends on those below it, with the
// upper half folded onto the lower one between them.
template <>
class KeyHash<std::uint64_t> {
  public:
    explicit KeyHash(int bits)
        : mask_(low_bits<std::uint64_t>(bits)), fold_(bits < 2 ? 1 : (bits + 1) / 2) {}

    std::uint64_t operator()(std::uint64_t key) const {
        std::uint64_t hashed = key * kFirst & mask_;
        hashed ^= hashed >> fold_;
        return hashed * kSecond & mask_;
    }
    std::uint64_t inverse(std::uint64_t hashed) const {
        std::uint64_t key = hashed * kSecondInverse & mask_;
        key ^= key >> fold_;
        return key * kFirstInverse & mask_;
    }

  private:
    static constexpr std::uint64_t kFirst = 0xff51afd7ed558ccdULL;
    static constexpr std::uint64_t kSecond = 0xc4ceb9fe1a85ec53ULL;
    static constexpr std::uint64_t kFirstInverse = odd_inverse(kFirst);
    static constexpr std::uint64_t kSecondInverse = odd_inverse(kSecond);

    std::uint64_t mask_;
    int fold_;
};

// 65 .. 128 bits: the lower 64 take in the others and are mixed; they become the highest.
template <>
class KeyHash<WideKey> {
  public:
    explicit KeyHash(int bits) : rest_bits_(bits - 64), mix_(64) {}

    WideKey operator()(WideKey key) const {
        const auto rest = static_cast<std::uint64_t>(key >> 64);
        const std::uint64_t mixed = mix_(fold(static_cast<std::uint64_t>(key) ^ rest * kRest));
        return WideKey{mixed} << rest_bits_ | rest;
    }
    WideKey inverse(WideKey hashed) const {
        const auto rest = static_cast<std::uint64_t>(hashed) & low_bits<std::uint64_t>(rest_bits_);
        const std::uint64_t mixed =
            fold(mix_.inverse(static_cast<std::uint64_t>(hashed >> rest_bits_)));
        return WideKey{rest} << 64 | (mixed ^ rest * kRest);
    }

  private:
    static constexpr std::uint64_t kRest = 0x9e3779b97f4a7c15ULL;
    static std::uint64_t fold(std::uint64_t x) { return x ^ x >> 32; }  // its own inverse

    int rest_bits_;
    KeyHash<std::uint64_t> mix_;
};

}  // namespace ngramstat
