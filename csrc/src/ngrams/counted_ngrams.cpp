#include "ngramstat/ngrams/counted_ngrams.hpp"

#include <algorithm>
#include <bit>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"

namespace ngramstat {

namespace {

constexpr Index kTask = Index{1} << 16;
// Keys are first divided by so many of their highest bits.
constexpr int kGroupBits = 14;

Index n_tasks(std::size_t n) { return (static_cast<Index>(n) + kTask - 1) / kTask; }

// Replaces hashes by n-grams, in any order.
template <class Key>
void unhash(CountedKeys<Key>& part, const KeyHash<Key>& hash, int threads) {
    parallel_for(n_tasks(part.size()), threads, [&](Index task) {
        const auto first = static_cast<std::size_t>(task * kTask);
        const std::size_t last = std::min(part.size(), first + kTask);
        for (std::size_t k = first; k < last; ++k) part.keys[k] = hash.inverse(part.keys[k]);
    });
}

template <class Key>
CountedKeys<Key> sort_keys(std::span<CountedNgrams* const> variants, int key_bits, int threads) {
    struct Item {
        Key key;
        Count count;
    };
    std::vector<CountedKeys<Key>*> parts;
    for (CountedNgrams* part : variants) {
        parts.push_back(std::get_if<CountedKeys<Key>>(&part->keys));
        require(parts.back() != nullptr, "n-grams of different orders cannot be put together");
    }
    const KeyHash<Key> hash(key_bits);
    const int shift = std::max(key_bits - kGroupBits, 0);
    std::vector<std::size_t> begin((std::size_t{1} << kGroupBits) + 1);
    for (CountedKeys<Key>* part : parts) {
        unhash(*part, hash, threads);
        for (const Key key : part->keys) ++begin[static_cast<std::size_t>(key >> shift) + 1];
    }
    for (std::size_t g = 1; g < begin.size(); ++g) begin[g] += begin[g - 1];
    std::vector<Item> items(begin.back());
    std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
    for (CountedKeys<Key>* part : parts) {
        for (std::size_t k = 0; k < part->size(); ++k) {
            const Key key = part->keys[k];
            items[next[static_cast<std::size_t>(key >> shift)]++] = {key, part->counts[k]};
        }
        *part = {};
    }
    CountedKeys<Key> sorted{std::vector<Key>(items.size()), std::vector<Count>(items.size())};
    parallel_for(Index{1} << kGroupBits, threads, [&](Index group) {
        const std::size_t first = begin[static_cast<std::size_t>(group)];
        const std::size_t last = begin[static_cast<std::size_t>(group) + 1];
        const auto at = items.begin();
        std::sort(at + static_cast<std::ptrdiff_t>(first), at + static_cast<std::ptrdiff_t>(last),
                  [](const Item& a, const Item& b) { return a.key < b.key; });
        for (std::size_t k = first; k < last; ++k) {
            sorted.keys[k] = items[k].key;
            sorted.counts[k] = items[k].count;
        }
    });
    return sorted;
}

}  // namespace

std::size_t size_of(const CountedNgrams& counted) { return counts_of(counted).size(); }

const std::vector<Count>& counts_of(const CountedNgrams& counted) {
    return std::visit([](const auto& keys) -> const std::vector<Count>& { return keys.counts; },
                      counted.keys);
}

template <class Token>
void unpack_tokens(const CountedNgrams& counted, const NgramPacking& packing, KeyOrder order,
                   Index first, Index last, std::span<Token> out, int threads) {
    require(0 <= first && first <= last && last <= static_cast<Index>(size_of(counted)),
            "a range of n-grams exceeds them");
    const auto n = static_cast<std::size_t>(packing.n());
    require(out.size() == static_cast<std::size_t>(last - first) * n,
            "the tokens have another size than the n-grams");
    std::visit(
        [&]<class Key>(const CountedKeys<Key>& numbers) {
            const KeyHash<Key> hash(packing.key_bits());
            const int bits = packing.token_bits();
            const Key mask = low_bits<Key>(bits);
            parallel_for(n_tasks(static_cast<std::size_t>(last - first)), threads, [&](Index task) {
                const Index begin = first + task * kTask;
                const Index end = std::min(begin + kTask, last);
                Token* to = out.data() + static_cast<std::size_t>(begin - first) * n;
                for (Index k = begin; k < end; ++k, to += n) {
                    Key key = numbers.keys[static_cast<std::size_t>(k)];
                    if (order == KeyOrder::hashed) key = hash.inverse(key);
                    for (std::size_t j = n; j-- > 0; key >>= bits) {
                        to[j] = static_cast<Token>(key & mask);
                    }
                }
            });
        },
        counted.keys);
}

CountedNgrams sort_lexicographically(std::span<CountedNgrams* const> parts,
                                     const NgramPacking& packing, int threads) {
    const int bits = packing.key_bits();
    return with_key_type(
        bits, [&]<class Key>() -> CountedNgrams { return {sort_keys<Key>(parts, bits, threads)}; });
}

template void unpack_tokens(const CountedNgrams&, const NgramPacking&, KeyOrder, Index, Index,
                            std::span<std::uint16_t>, int);
template void unpack_tokens(const CountedNgrams&, const NgramPacking&, KeyOrder, Index, Index,
                            std::span<std::uint32_t>, int);

}  // namespace ngramstat
