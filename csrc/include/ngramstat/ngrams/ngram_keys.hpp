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

// The keys of an n-gram after the other: a token enters where the first one leaves.
template <class Key>
class RollingKey;

template <>
class RollingKey<std::uint64_t> {
  public:
    explicit RollingKey(const NgramPacking& packing)
        : bits_(packing.token_bits()), mask_(low_bits<std::uint64_t>(packing.key_bits())) {}
    void push(std::uint64_t token) { key_ = (key_ << bits_ | token) & mask_; }
    std::uint64_t key() const { return key_; }

  private:
    int bits_;
    std::uint64_t mask_, key_ = 0;
};

// More than 64 bits, in two words that need no shift by a variable number of words.
template <>
class RollingKey<WideKey> {
  public:
    explicit RollingKey(const NgramPacking& packing)
        : bits_(packing.token_bits()), mask_(low_bits<std::uint64_t>(packing.key_bits() - 64)) {}
    void push(std::uint64_t token) {
        high_ = (high_ << bits_ | low_ >> (64 - bits_)) & mask_;
        low_ = low_ << bits_ | token;
    }
    WideKey key() const { return WideKey{high_} << 64 | low_; }

  private:
    int bits_;  // 1 .. 32
    std::uint64_t mask_, high_ = 0, low_ = 0;
};

// A hash in two parts: its highest bits, the bucket, and an entry with the others.
template <class Entry>
struct SplitHash {
    std::uint32_t bucket;
    Entry entry;
};

// A bijection of the integers of `bits` bits onto themselves whose highest bits look random.
//   split<Entry>(key, n)  the hash, its highest n bits apart (0 .. 32, at most `bits`); the others
//                         must fit an entry
template <class Key>
class KeyHash;

// Up to 64 bits: products modulo 2^bits, in which every bit depends on those below it, with the
// upper half folded onto the lower one between them.
template <>
class KeyHash<std::uint64_t> {
  public:
    explicit KeyHash(int bits)
        : bits_(bits), mask_(low_bits<std::uint64_t>(bits)), fold_(bits < 2 ? 1 : (bits + 1) / 2) {}

    std::uint64_t operator()(std::uint64_t key) const {
        std::uint64_t hashed = key * kFirst & mask_;
        hashed ^= hashed >> fold_;
        return hashed * kSecond & mask_;
    }
    template <class Entry>
    SplitHash<Entry> split(std::uint64_t key, int n) const {
        const std::uint64_t hashed = (*this)(key);
        // In two steps, as no shift may be by all bits.
        const std::uint64_t high = n == 0 ? 0 : hashed >> (bits_ - n);
        return {static_cast<std::uint32_t>(high),
                static_cast<Entry>(hashed & low_bits<std::uint64_t>(bits_ - n))};
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

    int bits_;
    std::uint64_t mask_;
    int fold_;
};

// 65 .. 128 bits: the lower 64 take in the others and are mixed; they become the highest.
template <>
class KeyHash<WideKey> {
  public:
    explicit KeyHash(int bits) : rest_bits_(bits - 64), mix_(64) {}

    WideKey operator()(WideKey key) const {
        return WideKey{mixed(key)} << rest_bits_ | static_cast<std::uint64_t>(key >> 64);
    }
    template <class Entry>
    SplitHash<Entry> split(WideKey key, int n) const {
        const std::uint64_t high = mixed(key);
        const auto rest = static_cast<std::uint64_t>(key >> 64);
        const std::uint64_t below = high & low_bits<std::uint64_t>(64 - n);
        return {static_cast<std::uint32_t>(n == 0 ? 0 : high >> (64 - n)),
                static_cast<Entry>(static_cast<Entry>(below) << rest_bits_ | rest)};
    }
    WideKey inverse(WideKey hashed) const {
        const auto rest = static_cast<std::uint64_t>(hashed) & low_bits<std::uint64_t>(rest_bits_);
        const std::uint64_t low =
            fold(mix_.inverse(static_cast<std::uint64_t>(hashed >> rest_bits_)));
        return WideKey{rest} << 64 | (low ^ rest * kRest);
    }

  private:
    static constexpr std::uint64_t kRest = 0x9e3779b97f4a7c15ULL;
    static std::uint64_t fold(std::uint64_t x) { return x ^ x >> 32; }  // its own inverse
    std::uint64_t mixed(WideKey key) const {
        const auto rest = static_cast<std::uint64_t>(key >> 64);
        return mix_(fold(static_cast<std::uint64_t>(key) ^ rest * kRest));
    }

    int rest_bits_;
    KeyHash<std::uint64_t> mix_;
};

}  // namespace ngramstat
