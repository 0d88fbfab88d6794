#include "ngramstat/index/duplicates.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/index/common_prefix.hpp"

namespace ngramstat {

namespace {

// Suffixes of one task.
constexpr Index kTask = Index{1} << 18;
// The tokens of a suffix are asked for so many suffixes ahead.
constexpr Index kAhead = 24;

// Where a suffix begins.
struct Place {
    std::size_t shard;
    Index position;
    auto operator<=>(const Place&) const = default;
};

// Windows at places of several shards.
template <class Token>
class Windows {
  public:
    Windows(std::span<const SuffixIndex<Token>> shards, Index length)
        : shards_(shards), length_(length) {
        const SuffixIndex<Token>& any = shards.front();
        stop_ = any.stop_token;
        // A stop token of the vocabulary may be the last token of a window.
        unstopped_ = stop_ == any.vocab_size ? length : length - 1;
    }

    std::size_t n_shards() const { return shards_.size(); }
    const SuffixIndex<Token>& shard(std::size_t number) const { return shards_[number]; }

    Place place(std::size_t shard, Index rank) const {
        const SuffixIndex<Token>& index = shards_[shard];
        const auto at = static_cast<Index>(index.suffixes[static_cast<std::size_t>(rank)]);
        if (at >= static_cast<Index>(std::min(index.tokens.size(), index.suffixes.size()))) {
            throw std::invalid_argument("the index is damaged: a suffix begins outside its text");
        }
        return {shard, at};
    }
    void ask_for(std::size_t shard, Index rank) const {
        const SuffixIndex<Token>& index = shards_[shard];
        const std::size_t at = index.suffixes[static_cast<std::size_t>(rank)];
        if (at < index.tokens.size()) prefetch(index.tokens.data() + at);
    }

    // Whether there is a window, and the same, at both places.
    bool same(const Place& a, const Place& b) const {
        return room(a) >= length_ && room(b) >= length_ && shared(a, b) == length_ &&
               !holds_stop(a, unstopped_);
    }
    // Whether the sequence at a sorts before that at b by its first `length` symbols.
    bool less(const Place& a, const Place& b) const {
        const Index common = shared(a, b);
        if (common == length_ || holds_stop(a, common)) return false;
        if (room(b) == common) return false;
        return room(a) == common || tokens(a)[common] < tokens(b)[common];
    }
    // The first rank in a range whose sequence does not sort before that of a place.
    Index lower_bound(std::size_t shard, SuffixRange range, const Place& bound) const {
        while (range.first < range.last) {
            const Index middle = range.first + range.size() / 2;
            if (less(place(shard, middle), bound)) {
                range.first = middle + 1;
            } else {
                range.last = middle;
            }
        }
        return range.first;
    }

  private:
    const Token* tokens(const Place& a) const {
        return shards_[a.shard].tokens.data() + a.position;
    }
    Index room(const Place& a) const {
        return static_cast<Index>(shards_[a.shard].tokens.size()) - a.position;
    }
    Index shared(const Place& a, const Place& b) const {
        return common_prefix(tokens(a), tokens(b), 0, std::min({length_, room(a), room(b)}));
    }
    bool holds_stop(const Place& a, Index size) const {
        if (stop_ < 0) return false;
        const Token* first = tokens(a);
        return std::find(first, first + size, static_cast<Token>(stop_)) != first + size;
    }

    std::span<const SuffixIndex<Token>> shards_;
    Index length_;
    Index stop_;
    Index unstopped_;  // leading tokens of a window among which no stop may be
};

// The suffixes of all shards in one order, by their first symbols.
template <class Token>
class Merged {
  public:
    Merged(const Windows<Token>& windows, const ShardRanks& ranks) : windows_(&windows) {
        for (std::size_t s = 0; s < ranks.size(); ++s) {
            if (ranks[s].empty()) continue;
            heads_.push_back({windows.place(s, ranks[s].first), ranks[s].first, ranks[s].last});
            settle(heads_.size() - 1);
        }
    }
    bool empty() const { return heads_.empty(); }
    Place take() {
        Head& head = heads_.back();
        const Place taken = head.place;
        if (++head.rank == head.last) {
            heads_.pop_back();
            return taken;
        }
        if (head.rank + kAhead < head.last) windows_->ask_for(taken.shard, head.rank + kAhead);
        head.place = windows_->place(taken.shard, head.rank);
        settle(heads_.size() - 1);
        return taken;
    }

  private:
    struct Head {
        Place place;
        Index rank, last;
    };
    bool precedes(const Head& a, const Head& b) const {
        if (windows_->less(a.place, b.place)) return true;
        return a.place.shard < b.place.shard && !windows_->less(b.place, a.place);
    }
    // The last head is the first in order.
    void settle(std::size_t i) {
        for (; i > 0 && precedes(heads_[i - 1], heads_[i]); --i)
            std::swap(heads_[i - 1], heads_[i]);
    }

    const Windows<Token>* windows_;
    std::vector<Head> heads_;
};

void set_bit(PositionBits marks, Index position) {
    const auto byte = static_cast<std::size_t>(position) / 8;
    const auto bit = static_cast<std::uint8_t>(1u << (position % 8));
    std::atomic_ref<std::uint8_t>(marks[byte]).fetch_or(bit, std::memory_order_relaxed);
}

template <class Token>
void mark_piece(const Windows<Token>& windows, const ShardRanks& ranks, bool later_only,
                std::span<const PositionBits> marks) {
    Merged<Token> merged(windows, ranks);
    if (merged.empty()) return;
    const auto mark = [&](const Place& place) { set_bit(marks[place.shard], place.position); };
    Place before = merged.take();
    Place first = before;  // occurrence of the window
    while (!merged.empty()) {
        const Place place = merged.take();
        if (!windows.same(before, place)) {
            first = place;
        } else if (later_only) {
            mark(std::max(first, place));
            first = std::min(first, place);
        } else {
            mark(before);
            mark(place);
        }
        before = place;
    }
}

// Cuts the ranks into pieces of about kTask suffixes, between different windows.
template <class Token>
std::vector<ShardRanks> pieces_of(const Windows<Token>& windows, const ShardRanks& ranks) {
    Index total = 0;
    std::size_t largest = 0;
    for (std::size_t s = 0; s < ranks.size(); ++s) {
        total += ranks[s].size();
        if (ranks[s].size() > ranks[largest].size()) largest = s;
    }
    const Index n = std::max<Index>(1, total / kTask);
    std::vector<ShardRanks> pieces;
    ShardRanks rest = ranks;
    for (Index i = 1; i < n; ++i) {
        const Index rank = ranks[largest].first + ranks[largest].size() / n * i;
        const Place bound = windows.place(largest, rank);
        ShardRanks piece = rest;
        for (std::size_t s = 0; s < ranks.size(); ++s) {
            rest[s].first = piece[s].last = windows.lower_bound(s, rest[s], bound);
        }
        pieces.push_back(std::move(piece));
    }
    pieces.push_back(std::move(rest));
    return pieces;
}

template <class Token>
void check(std::span<const SuffixIndex<Token>> shards, const ShardRanks& ranks, Index length,
           std::span<const PositionBits> marks) {
    require(ranks.size() == shards.size() && marks.size() == shards.size(),
            "there must be one range of ranks and one array of marks per shard");
    for (std::size_t s = 0; s < shards.size(); ++s) {
        const SuffixIndex<Token>& index = shards[s];
        require(length >= 1 && (index.depth <= 0 || length <= index.depth),
                "the length of windows must be at least 1 and at most the depth");
        require(marks[s].size() == (index.suffixes.size() + 7) / 8,
                "there must be one bit of marks per suffix");
        require(ranks[s].first >= 0 && ranks[s].first <= ranks[s].last &&
                    ranks[s].last <= static_cast<Index>(index.suffixes.size()),
                "the index is damaged: its token_starts are not ranks");
    }
}

}  // namespace

template <class Token>
void mark_duplicates(std::span<const SuffixIndex<Token>> shards, const ShardRanks& ranks,
                     Index length, bool later_only, std::span<const PositionBits> marks,
                     int threads) {
    check(shards, ranks, length, marks);
    if (shards.empty()) return;
    const Windows<Token> windows(shards, length);
    const std::vector<ShardRanks> pieces = pieces_of(windows, ranks);
    parallel_for(static_cast<Index>(pieces.size()), threads, [&](Index number) {
        mark_piece(windows, pieces[static_cast<std::size_t>(number)], later_only, marks);
    });
}

template void mark_duplicates(std::span<const SuffixIndex<std::uint16_t>>, const ShardRanks&, Index,
                              bool, std::span<const PositionBits>, int);
template void mark_duplicates(std::span<const SuffixIndex<std::uint32_t>>, const ShardRanks&, Index,
                              bool, std::span<const PositionBits>, int);

}  // namespace ngramstat
