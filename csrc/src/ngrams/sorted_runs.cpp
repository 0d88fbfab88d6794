#include "ngramstat/ngrams/sorted_runs.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "ngramstat/base/error.hpp"

namespace ngramstat {

namespace {

constexpr int kCountShift = 5;
constexpr Count kMaxShortCount = 7;
constexpr std::size_t kMaxBytes = 1 + sizeof(WideKey) + sizeof(Count);

int byte_length(std::uint64_t x) { return (bit_width(x) + 7) / 8; }
int byte_length(WideKey x) {
    const auto high = static_cast<std::uint64_t>(x >> 64);
    return high != 0 ? 8 + byte_length(high) : byte_length(static_cast<std::uint64_t>(x));
}

template <class Integer>
void put_bytes(Integer x, int length, std::uint8_t* to) {
    for (int k = 0; k < length; ++k, x >>= 8) to[k] = static_cast<std::uint8_t>(x);
}

template <class Integer>
Integer get_bytes(const std::uint8_t* from, int length) {
    Integer x = 0;
    for (int k = length; k-- > 0;) x = x << 8 | from[k];
    return x;
}

template <class Key>
std::vector<std::uint8_t> encode_keys(std::span<const Key> keys, std::span<const Count> counts,
                                      Key previous) {
    std::vector<std::uint8_t> bytes(keys.size() * kMaxBytes);
    std::uint8_t* at = bytes.data();
    for (std::size_t k = 0; k < keys.size(); ++k) {
        const Key difference = keys[k] - previous;
        previous = keys[k];
        const int length = byte_length(difference);
        const Count in_byte = counts[k] <= kMaxShortCount ? counts[k] : 0;
        *at++ = static_cast<std::uint8_t>(static_cast<Count>(length) | in_byte << kCountShift);
        put_bytes(difference, length, at);
        at += length;
        if (in_byte == 0) {
            put_bytes(counts[k], sizeof(Count), at);
            at += sizeof(Count);
        }
    }
    bytes.resize(static_cast<std::size_t>(at - bytes.data()));
    return bytes;
}

// Reads one run from its start to its end.
template <class Key>
class RunReader {
  public:
    explicit RunReader(std::span<const std::uint8_t> run) : rest_(run) {}

    // The next n-gram; false at the end.
    bool advance() {
        if (rest_.empty()) return false;
        const int length = rest_[0] & ((1 << kCountShift) - 1);
        count = rest_[0] >> kCountShift;
        const std::size_t size =
            1 + static_cast<std::size_t>(length) + (count == 0 ? sizeof(Count) : 0);
        require(length <= int{sizeof(Key)} && size <= rest_.size(), "a sorted run is damaged");
        key += get_bytes<Key>(rest_.data() + 1, length);
        if (count == 0)
            count = get_bytes<Count>(rest_.data() + size - sizeof(Count), sizeof(Count));
        rest_ = rest_.subspan(size);
        return true;
    }

    Key key = 0;
    Count count = 0;

  private:
    std::span<const std::uint8_t> rest_;
};

// A tournament of the runs: each inner node holds the run that lost there, so that the next n-gram
// costs one comparison per level.
template <class Key>
class Merger final : public RunMerger {
  public:
    explicit Merger(std::vector<std::span<const std::uint8_t>> runs) {
        size_ = std::bit_ceil(std::max<std::size_t>(runs.size(), 1));
        runs.resize(size_);
        for (const auto& run : runs) readers_.emplace_back(run);
        ended_.resize(size_);
        for (std::size_t r = 0; r < size_; ++r) ended_[r] = !readers_[r].advance();
        losers_.resize(size_);
        winner_ = play(1);
    }

    CountedNgrams next(Index most, Count min_count) override {
        CountedKeys<Key> merged;
        while (static_cast<Index>(merged.size()) < most && !ended_[winner_]) {
            const Key key = readers_[winner_].key;
            Count count = 0;
            do {
                count += readers_[winner_].count;
                replay();
            } while (!ended_[winner_] && readers_[winner_].key == key);
            if (count < min_count) continue;
            merged.keys.push_back(key);
            merged.counts.push_back(count);
        }
        return {std::move(merged)};
    }

  private:
    bool before(std::size_t a, std::size_t b) const {
        return !ended_[a] && (ended_[b] || readers_[a].key < readers_[b].key);
    }

    std::size_t play(std::size_t node) {
        if (node >= size_) return node - size_;
        const std::size_t a = play(2 * node), b = play(2 * node + 1);
        const bool first = before(a, b);
        losers_[node] = first ? b : a;
        return first ? a : b;
    }

    // Goes on in the winner's run and finds the next winner.
    void replay() {
        ended_[winner_] = !readers_[winner_].advance();
        for (std::size_t node = (winner_ + size_) / 2; node >= 1; node /= 2) {
            if (before(losers_[node], winner_)) std::swap(losers_[node], winner_);
        }
    }

    std::size_t size_;  // a power of two; runs beyond those there are have ended
    std::vector<RunReader<Key>> readers_;
    std::vector<std::uint8_t> ended_;
    std::vector<std::size_t> losers_;
    std::size_t winner_ = 0;
};

}  // namespace

std::vector<std::uint8_t> RunEncoder::encode(const CountedNgrams& counted, Index first,
                                             Index last) {
    require(0 <= first && first <= last && last <= static_cast<Index>(size_of(counted)),
            "a range of n-grams exceeds them");
    if (first == last) return {};
    return std::visit(
        [&]<class Key>(const CountedKeys<Key>& part) {
            require((sizeof(Key) == sizeof(WideKey)) == (key_bits_ > 64),
                    "a run holds n-grams of one order");
            const auto begin = static_cast<std::size_t>(first);
            const std::size_t size = static_cast<std::size_t>(last) - begin;
            const auto keys = std::span(part.keys).subspan(begin, size);
            auto bytes = encode_keys<Key>(keys, std::span(part.counts).subspan(begin, size),
                                          static_cast<Key>(previous_));
            previous_ = keys.back();
            return bytes;
        },
        counted.keys);
}

double run_bytes(int key_bits, double n_ngrams) {
    // The lengths of the differences are concave in them, so that they are longest if all are the
    // same; the bits of one are rounded up to bytes.
    const double bits = std::max(key_bits - std::log2(std::max(n_ngrams, 1.0)), 0.0);
    return 1 + std::min((bits + 8) / 8, std::ceil(key_bits / 8.0));
}

std::unique_ptr<RunMerger> make_run_merger(std::vector<std::span<const std::uint8_t>> runs,
                                           int key_bits) {
    return with_key_type(key_bits, [&]<class Key>() -> std::unique_ptr<RunMerger> {
        return std::make_unique<Merger<Key>>(std::move(runs));
    });
}

}  // namespace ngramstat
