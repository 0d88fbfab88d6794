// NgramBuckets, sorting and merging against plain counting.
#include <algorithm>
#include <map>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/ngrams/ngram_buckets.hpp"
#include "ngramstat/ngrams/sorted_runs.hpp"

namespace {

using namespace ngramstat;

using Ngram = std::vector<Index>;
using Counts = std::map<Ngram, Count>;

template <class Token>
Counts plain_counts(const check::Stream<Token>& stream, Index n, bool across, PositionRange range) {
    Counts counts;
    std::vector<Index> ends = stream.ends;
    if (across) ends = {stream.size()};
    Index start = 0;
    for (const Index end : ends) {
        for (Index i = std::max(start, range.first); i < range.last && i + n <= end; ++i) {
            const auto first = stream.tokens.begin() + i;
            ++counts[Ngram(first, first + n)];
        }
        start = end;
    }
    return counts;
}

template <class Token>
Counts unpacked(const CountedNgrams& counted, const NgramPacking& packing, KeyOrder order) {
    const auto n = static_cast<std::size_t>(packing.n());
    std::vector<Token> tokens(size_of(counted) * n);
    unpack_tokens<Token>(counted, packing, order, 0, static_cast<Index>(size_of(counted)), tokens,
                         2);
    Counts counts;
    for (std::size_t k = 0; k < size_of(counted); ++k) {
        const Ngram ngram(tokens.begin() + static_cast<std::ptrdiff_t>(k * n),
                          tokens.begin() + static_cast<std::ptrdiff_t>((k + 1) * n));
        counts[ngram] += counts_of(counted)[k];
    }
    CHECK(counts.size() == size_of(counted));  // no n-gram twice
    return counts;
}

// Counts in two rounds of buckets and several groups.
template <class Token>
std::vector<CountedNgrams> count_all(NgramBuckets& buckets, Count min_count, int threads) {
    std::vector<CountedNgrams> parts;
    buckets.measure(0, buckets.n_chunks(), threads);
    const auto sizes = buckets.bucket_sizes();
    const auto end = static_cast<Index>(sizes.size());
    const Index middle = end / 3;
    for (const auto& [first, last] : {std::pair(Index{0}, middle), std::pair(middle, end)}) {
        buckets.start(first, last);
        const Index half = buckets.n_chunks() / 2;
        buckets.fill(0, half, threads);
        buckets.fill(half, buckets.n_chunks(), threads);
        for (Index b = first; b < last; b += 7) {
            buckets.count(b, std::min(b + 7, last), min_count, threads, parts.emplace_back());
        }
    }
    return parts;
}

template <class Token>
void check_buckets(const check::Stream<Token>& stream, const NgramPacking& packing, bool across,
                   BucketLayout layout) {
    const Documents documents = stream.documents();
    const PositionRange range{stream.size() / 5, stream.size()};
    const Counts all = plain_counts(stream, packing.n(), across, range);
    for (const Count min_count : {1, 2}) {
        Counts expected;
        for (const auto& [ngram, count] : all) {
            if (count >= min_count) expected[ngram] = count;
        }
        for (const int threads : check::kThreads) {
            const auto buckets =
                make_ngram_buckets<Token>(stream.span(), packing, documents, across, range, layout);
            auto parts = count_all<Token>(*buckets, min_count, threads);
            Counts counts;
            std::vector<CountedNgrams*> pointers;
            for (auto& part : parts) {
                for (const auto& [ngram, count] :
                     unpacked<Token>(part, packing, KeyOrder::hashed)) {
                    CHECK(counts.emplace(ngram, count).second);
                }
                pointers.push_back(&part);
            }
            CHECK(counts == expected);
            // Parts are runs, too, whose keys ascend from one to the next.
            RunEncoder encoder(packing.key_bits());
            std::vector<std::uint8_t> bytes;
            for (const auto& part : parts) {
                const auto more = encoder.encode(part, 0, static_cast<Index>(size_of(part)));
                bytes.insert(bytes.end(), more.begin(), more.end());
            }
            const auto merger = make_run_merger({bytes, {}, bytes}, packing.key_bits());
            Counts merged;
            while (true) {
                const auto part = merger->next(5, 3);
                if (size_of(part) == 0) break;
                merged.merge(unpacked<Token>(part, packing, KeyOrder::hashed));
            }
            std::erase_if(counts, [](const auto& item) { return 2 * item.second < 3; });
            for (auto& [ngram, count] : counts) count *= 2;
            CHECK(merged == counts);
            const CountedNgrams sorted = sort_lexicographically(pointers, packing, threads);
            CHECK(unpacked<Token>(sorted, packing, KeyOrder::lexicographic) == expected);
            std::visit(
                [](const auto& part) { CHECK(std::is_sorted(part.keys.begin(), part.keys.end())); },
                sorted.keys);
        }
    }
}

void test_counts() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            for (const Index n : {1, 2, 3, 5, 8}) {
                const Index bits =
                    std::bit_width(static_cast<std::uint64_t>(stream.vocab_size - 1));
                if (bits * n > NgramPacking::kMaxBits) continue;
                const NgramPacking packing(stream.vocab_size, n);
                for (const int bucket_bits : {0, 1, 6}) {
                    for (const int entry_bytes : {4, 8, 16}) {
                        if (bucket_bits > packing.key_bits() ||
                            packing.key_bits() - bucket_bits > 8 * entry_bytes ||
                            (packing.key_bits() > 64 ? entry_bytes < 8 : entry_bytes > 8)) {
                            continue;
                        }
                        check::in_case(stream.name + ", n " + std::to_string(n) + ", bits " +
                                       std::to_string(bucket_bits) + ", bytes " +
                                       std::to_string(entry_bytes));
                        check_buckets(stream, packing, n % 2 == 0, {bucket_bits, entry_bytes, 171});
                    }
                }
            }
        }
    });
}

// Every hash is one of a single integer.
void test_hash() {
    check::in_case("hash");
    for (int bits = 0; bits <= 12; ++bits) {
        const KeyHash<std::uint64_t> hash(bits);
        std::vector<bool> seen(std::size_t{1} << bits);
        for (std::uint64_t key = 0; key < seen.size(); ++key) {
            const std::uint64_t hashed = hash(key);
            CHECK(hashed < seen.size() && !seen[hashed]);
            seen[hashed] = true;
            CHECK(hash.inverse(hashed) == key);
        }
    }
    check::Random random(7);
    auto word = [&] {
        return static_cast<std::uint64_t>(random.below(Index{1} << 32)) << 32 |
               static_cast<std::uint64_t>(random.below(Index{1} << 32));
    };
    for (int bits = 13; bits <= 128; ++bits) {
        for (int k = 0; k < 50; ++k) {
            if (bits <= 64) {
                const KeyHash<std::uint64_t> hash(bits);
                const std::uint64_t key = word() & low_bits<std::uint64_t>(bits);
                CHECK(hash(key) <= low_bits<std::uint64_t>(bits) && hash.inverse(hash(key)) == key);
            } else {
                const KeyHash<WideKey> hash(bits);
                const WideKey key = (WideKey{word()} << 64 | word()) & low_bits<WideKey>(bits);
                CHECK(hash(key) <= low_bits<WideKey>(bits) && hash.inverse(hash(key)) == key);
            }
        }
    }
}

// N-grams whose hashes agree in their highest 50 bits: no table can separate them.
void test_crowded_bucket() {
    check::in_case("crowded bucket");
    const int bits = 64;
    const NgramPacking packing(1 << 16, 4);
    const KeyHash<std::uint64_t> hash(bits);
    std::vector<std::uint16_t> tokens;
    Counts expected;
    std::vector<Index> ends;
    for (std::uint64_t k = 0; k < 3000; ++k) {
        const std::uint64_t key = hash.inverse(0x123456789abc0000ULL | (k * k % 2000));
        Ngram ngram;
        for (int j = 3; j >= 0; --j) {
            tokens.push_back(static_cast<std::uint16_t>(key >> 16 * j));
            ngram.push_back(tokens.back());
        }
        ends.push_back(static_cast<Index>(tokens.size()));
        ++expected[ngram];
    }
    const Documents documents(ends);
    for (const int threads : check::kThreads) {
        const auto buckets = make_ngram_buckets<std::uint16_t>(
            tokens, packing, documents, false, {0, static_cast<Index>(tokens.size())}, {3, 8, 999});
        Counts counts;
        for (const auto& part : count_all<std::uint16_t>(*buckets, 1, threads)) {
            counts.merge(unpacked<std::uint16_t>(part, packing, KeyOrder::hashed));
        }
        CHECK(counts == expected);
    }
}

void test_refusals() {
    check::in_case("refusals");
    CHECK_THROWS(std::invalid_argument, NgramPacking(0, 1));
    CHECK_THROWS(std::invalid_argument, NgramPacking((Index{1} << 32) + 1, 1));
    CHECK_THROWS(std::invalid_argument, NgramPacking(5, 0));
    CHECK_THROWS(std::invalid_argument, NgramPacking(1 << 16, 9));
    CHECK(NgramPacking(1, Index{1} << 40).key_bits() == 0);
    const std::vector<std::uint16_t> tokens{1, 2, 3, 4, 5};
    const Documents documents = Documents::single(5);
    const NgramPacking packing(5, 2);
    auto make = [&](PositionRange range, BucketLayout layout) {
        return make_ngram_buckets<std::uint16_t>(tokens, packing, documents, true, range, layout);
    };
    CHECK_THROWS(std::invalid_argument, make({0, 6}, {0, 4, 10}));
    CHECK_THROWS(std::invalid_argument, make({-1, 5}, {0, 4, 10}));
    CHECK_THROWS(std::invalid_argument, make({0, 5}, {7, 4, 10}));
    CHECK_THROWS(std::invalid_argument, make({0, 5}, {-1, 4, 10}));
    CHECK_THROWS(std::invalid_argument, make({0, 5}, {0, 2, 10}));
    CHECK_THROWS(std::invalid_argument, make({0, 5}, {0, 16, 10}));
    CHECK_THROWS(std::invalid_argument, make({0, 5}, {0, 4, 0}));
    const auto buckets = make({0, 5}, {0, 4, 10});
    CountedNgrams counted;
    CHECK_THROWS(std::out_of_range, buckets->measure(0, 1, 1));  // token 5
    CHECK_THROWS(std::invalid_argument, buckets->measure(0, 2, 1));
    CHECK_THROWS(std::invalid_argument, buckets->start(0, 2));
    CHECK_THROWS(std::invalid_argument, buckets->count(0, 1, 1, 1, counted));
    // Runs that are none.
    for (const std::vector<std::uint8_t>& bytes :
         {std::vector<std::uint8_t>{0x29}, {0x3f}, {0x02, 1, 2, 0, 0}, {0x21, 1, 0x21}}) {
        CHECK_THROWS(std::invalid_argument, {
            const auto merger = make_run_merger({bytes}, 40);
            while (size_of(merger->next(10, 1)) > 0) {
            }
        });
    }
}

}  // namespace

int main() {
    test_hash();
    test_counts();
    test_crowded_bucket();
    test_refusals();
}
