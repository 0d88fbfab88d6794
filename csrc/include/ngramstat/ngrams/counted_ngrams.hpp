// N-grams with their counts, as integers.
#pragma once

#include <span>
#include <variant>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "ngramstat/ngrams/ngram_keys.hpp"

namespace ngramstat {

// What the integers of n-grams are, and the order that they ascend in: hashes (KeyHash) or the
// tokens side by side (NgramPacking).
enum class KeyOrder { hashed, lexicographic };

// Distinct and ascending keys, each with its count.
template <class Key>
struct CountedKeys {
    std::vector<Key> keys;
    std::vector<Count> counts;

    std::size_t size() const { return keys.size(); }
};

// With keys of 64 bits where the n-grams fit them.
struct CountedNgrams {
    std::variant<CountedKeys<std::uint64_t>, CountedKeys<WideKey>> keys;
};

// Calls body.operator()<Key>() with the type of key that n-grams of so many bits have.
template <class Body>
decltype(auto) with_key_type(int key_bits, Body&& body) {
    if (key_bits <= 64) return body.template operator()<std::uint64_t>();
    return body.template operator()<WideKey>();
}

std::size_t size_of(const CountedNgrams& counted);
const std::vector<Count>& counts_of(const CountedNgrams& counted);

// The tokens of n-grams [first, last): out[k * n + j] is token j of n-gram first + k.
template <class Token>
void unpack_tokens(const CountedNgrams& counted, const NgramPacking& packing, KeyOrder order,
                   Index first, Index last, std::span<Token> out, int threads);

// Parts in order of their hashes put together and into lexicographic order. No n-gram may be in
// two parts. Memory: 24 bytes per n-gram, or 48 beyond 64 bits; the parts are emptied.
CountedNgrams sort_lexicographically(std::span<CountedNgrams* const> parts,
                                     const NgramPacking& packing, int threads);

}  // namespace ngramstat
