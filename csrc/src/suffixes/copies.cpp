#include "ngramstat/suffixes/copies.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/key_table.hpp"
#include "ngramstat/base/parallel.hpp"

namespace ngramstat {

namespace {

// The hash of a window that moves along a stream: a polynomial in an odd base, modulo 2^64.
template <class Token>
class RollingHash {
  public:
    explicit RollingHash(int length) {
        for (int i = 1; i < length; ++i) leading_ *= kBase;
    }
    void append(Token token) { value_ = value_ * kBase + token + 1; }
    void drop(Token token) { value_ -= (std::uint64_t{token} + 1) * leading_; }
    // The one key that a table cannot hold shares a hash with another; contents are compared
    // anyway.
    std::uint64_t key() const { return value_ == KeyTable::kNoKey ? 0 : value_; }

  private:
    static constexpr std::uint64_t kBase = 0x9e3779b97f4a7c15ULL;
    std::uint64_t leading_ = 1;
    std::uint64_t value_ = 0;
};

// Calls visit(start, key) for every window of `length` tokens in tokens[begin, end).
template <class Token, class Visit>
void for_each_window(std::span<const Token> tokens, Index begin, Index end, int length,
                     Visit&& visit) {
    RollingHash<Token> hash(length);
    for (Index i = begin; i < end; ++i) {
        if (i - begin >= length) hash.drop(tokens[static_cast<std::size_t>(i - length)]);
        hash.append(tokens[static_cast<std::size_t>(i)]);
        if (i - begin + 1 >= length) visit(i - length + 1, hash.key());
    }
}

// A bit for each of many buckets of keys: most windows of the training stream are in none, which
// one read finds out.
class KeyFilter {
  public:
    explicit KeyFilter(std::size_t n_keys) {
        while ((std::size_t{1} << bits_) < 16 * n_keys) ++bits_;
        words_.resize((std::size_t{1} << bits_) / 64);
    }
    void insert(std::uint64_t key) { words_[bucket(key) >> 6] |= bit(key); }
    bool may_contain(std::uint64_t key) const { return (words_[bucket(key) >> 6] & bit(key)) != 0; }

  private:
    std::size_t bucket(std::uint64_t key) const {
        return static_cast<std::size_t>(mix_bits(key) >> (64 - bits_));
    }
    std::uint64_t bit(std::uint64_t key) const { return std::uint64_t{1} << (bucket(key) & 63); }

    int bits_ = 12;
    std::vector<std::uint64_t> words_;
};

// The distinct windows of the scored stream. Windows with one key and different content follow each
// other in a list.
template <class Token>
class DistinctWindows {
  public:
    DistinctWindows(std::span<const Token> scored, const Documents& documents, int length)
        : scored_(scored),
          length_(length),
          filter_(scored.size()),
          window_of_(scored.size(), kNone) {
        for (Index d = 0; d < documents.size(); ++d) {
            for_each_window(scored, documents.starts()[d], documents.ends()[d], length,
                            [&](Index start, std::uint64_t key) { add(start, key); });
        }
        found_ = std::vector<std::atomic<std::uint8_t>>(windows_.size());
    }

    // Notes that the window at `start` of the training stream, with this key, occurs there.
    void match(std::span<const Token> training, Index start, std::uint64_t key) {
        if (!filter_.may_contain(key)) return;
        const std::uint32_t number = first_.find(key);
        if (number == KeyTable::kAbsent) return;
        for (std::uint32_t w = heads_[number]; w != kNone; w = windows_[w].next) {
            if (found_[w].load(std::memory_order_relaxed) == 0 &&
                same(training, start, windows_[w].start)) {
                found_[w].store(1, std::memory_order_relaxed);
            }
        }
    }

    void mark(std::span<std::uint8_t> marks) const {
        std::fill(marks.begin(), marks.end(), std::uint8_t{0});
        std::size_t marked = 0;  // everything before it is decided
        for (std::size_t i = 0; i < window_of_.size(); ++i) {
            const std::uint32_t w = window_of_[i];
            if (w == kNone || found_[w].load(std::memory_order_relaxed) == 0) continue;
            const std::size_t end = i + static_cast<std::size_t>(length_);
            for (std::size_t j = std::max(i, marked); j < end; ++j) marks[j] = 1;
            marked = end;
        }
    }

  private:
    static constexpr std::uint32_t kNone = 0xffffffffu;
    struct Window {
        Index start;
        std::uint32_t next;
    };

    void add(Index start, std::uint64_t key) {
        filter_.insert(key);
        const std::uint32_t number = first_.insert(key);
        if (number == heads_.size()) heads_.push_back(kNone);
        std::uint32_t w = heads_[number];
        while (w != kNone && !same(scored_, start, windows_[w].start)) w = windows_[w].next;
        if (w == kNone) {
            w = static_cast<std::uint32_t>(windows_.size());
            windows_.push_back({start, heads_[number]});
            heads_[number] = w;
        }
        window_of_[static_cast<std::size_t>(start)] = w;
    }

    bool same(std::span<const Token> stream, Index start, Index scored_start) const {
        return std::equal(stream.begin() + start, stream.begin() + start + length_,
                          scored_.begin() + scored_start);
    }

    std::span<const Token> scored_;
    int length_;
    KeyFilter filter_;
    KeyTable first_;
    std::vector<std::uint32_t> heads_;
    std::vector<Window> windows_;
    std::vector<std::uint32_t> window_of_;  // by the token it begins at
    std::vector<std::atomic<std::uint8_t>> found_;
};

}  // namespace

template <class Token>
void mark_copies(std::span<const Token> scored, const Documents& documents,
                 std::span<const Token> training, int length, std::span<std::uint8_t> marks,
                 int threads) {
    require(length >= 1, "the length of a passage must be at least 1");
    require(marks.size() == scored.size(), "there must be one mark per token");
    documents.require_length(static_cast<Index>(scored.size()));
    DistinctWindows<Token> windows(scored, documents, length);
    const Index n = static_cast<Index>(training.size());
    const std::vector<Index> bounds = chunk_bounds(n, Index{64} * threads);
    const Index n_chunks = static_cast<Index>(bounds.size()) - 1;
    parallel_for(n_chunks, threads, [&](Index chunk) {
        const auto c = static_cast<std::size_t>(chunk);
        // Windows that begin in the chunk may end in the next one.
        const Index end = std::min(bounds[c + 1] + length - 1, n);
        for_each_window(training, bounds[c], end, length, [&](Index start, std::uint64_t key) {
            windows.match(training, start, key);
        });
    });
    windows.mark(marks);
}

template void mark_copies(std::span<const std::uint16_t>, const Documents&,
                          std::span<const std::uint16_t>, int, std::span<std::uint8_t>, int);
template void mark_copies(std::span<const std::uint32_t>, const Documents&,
                          std::span<const std::uint32_t>, int, std::span<std::uint8_t>, int);

}  // namespace ngramstat
