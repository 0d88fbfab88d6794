#include "ngramstat/index/overlap.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/index/common_prefix.hpp"
#include "ngramstat/index/search.hpp"

namespace ngramstat {

namespace {

// Searches that wait for memory together.
constexpr int kLanes = 32;
// Consecutive queries of one lane, which profit from each other's long matches.
constexpr Index kRun = 512;
// Queries of one task.
constexpr Index kTask = kLanes * kRun;

void require_within(const MatchRange& range, std::size_t size) {
    require(range.first >= 0 && range.first <= range.last && range.last <= static_cast<Index>(size),
            "a range of the text lies outside of it");
}

// Comparisons of one query that went far. At the next position the same suffixes, one token
// further, agree at least one token less far, which need not be compared again.
class LongComparisons {
  public:
    static constexpr Index kLong = 48;

    void next_query(bool is_consecutive) {
        n_before_ = is_consecutive ? n_now_ : 0;
        std::copy_n(now_.begin(), n_before_, before_.begin());
        n_now_ = 0;
    }
    Index known(Index place) const {
        Index most = 0;
        for (std::size_t i = 0; i < n_before_; ++i) {
            if (before_[i].place + 1 == place) most = std::max(most, before_[i].length - 1);
        }
        return most;
    }
    void add(Index place, Index length) {
        if (length < kLong) return;
        for (std::size_t i = 0; i < n_now_; ++i) {
            if (now_[i].place == place) {
                now_[i].length = std::max(now_[i].length, length);
                return;
            }
        }
        if (n_now_ < kMost) now_[n_now_++] = {place, length};
    }

  private:
    static constexpr std::size_t kMost = 24;
    struct Comparison {
        Index place, length;
    };
    std::array<Comparison, kMost> before_, now_;
    std::size_t n_before_ = 0, n_now_ = 0;
};

// One query after the other, in steps of one comparison each.
//
// The sequence is looked for by bisection between the suffixes `low` and `high`, which sort before
// it and not before it. The longest match is with one of the two that are left; all suffixes with
// the same match are around it, and their bounds are found by steps that double.
template <class Token>
class Lane {
  public:
    Lane(const SuffixIndex<Token>& index, const MatchQueries<Token>& queries,
         const Matches& matches)
        : index_(&index),
          queries_(&queries),
          matches_(&matches),
          depth_(index.depth > 0 ? index.depth : std::numeric_limits<Index>::max()) {}

    // Makes [first, last) the next queries. False if none of them needs a comparison.
    bool take(Index first, Index last) {
        query_ = first - 1;
        last_query_ = last;
        long_.next_query(false);
        return next_query(false);
    }
    // Reads the position of the suffix to compare.
    void load() {
        place_ = static_cast<Index>(index_->suffixes[static_cast<std::size_t>(probe_)]);
        if (place_ >= static_cast<Index>(index_->tokens.size())) throw_damaged();
        prefetch(index_->tokens.data() + place_ + known_);
    }
    // Compares. False when the queries are done.
    bool step() {
        const Index length = compare();
        switch (stage_) {
            case Stage::bisect:
                return bisect(length);
            case Stage::beside:
                high_length_ = length;
                return choose();
            default:
                return widen(length);
        }
    }

  private:
    // bisect: for the sequence. beside: the suffix after the query's own. left, right: for the
    // bounds of the matches.
    enum class Stage { bisect, beside, left, right };

    [[noreturn]] static void throw_damaged() {
        throw std::invalid_argument("the index is damaged: a suffix begins outside its text");
    }

    bool next_query(bool was_compared) {
        const Index before = was_compared ? at_ : -1;
        while (++query_ < last_query_) {
            const MatchRange range = queries_->ranges[static_cast<std::size_t>(query_)];
            require_within(range, queries_->text.size());
            at_ = range.first;
            limit_ = std::min(range.last - at_, depth_);
            if (limit_ > 0 && begin_query()) {
                long_.next_query(at_ == before + 1);
                return true;
            }
            answer(0, 0, -1);
        }
        return false;
    }

    bool begin_query() {
        const Index token = static_cast<Index>(queries_->text[static_cast<std::size_t>(at_)]);
        require(token <= index_->vocab_size, "a token of the text is not below vocab_size");
        range_ = suffixes_of_token(*index_, token);
        if (range_.empty()) return false;
        low_ = range_.first - 1;
        high_ = range_.last;
        low_length_ = high_length_ = 1;
        stage_ = Stage::bisect;
        probe(low_ + (high_ - low_) / 2, 1);
        return true;
    }

    void probe(Index rank, Index known) {
        probe_ = rank;
        known_ = known;
        prefetch(index_->suffixes.data() + rank);
    }

    Index compare() {
        const Index most = std::min(limit_, static_cast<Index>(index_->tokens.size()) - place_);
        if (queries_->is_own && place_ == at_) return most;
        const Index known = std::min(std::max(known_, long_.known(place_)), most);
        const Index length =
            common_prefix(queries_->text.data() + at_, index_->tokens.data() + place_, known, most);
        long_.add(place_, length);
        return length;
    }

    bool sorts_before_sequence(Index length) const {
        if (length == limit_) return false;
        const Index next = place_ + length;
        return next >= static_cast<Index>(index_->tokens.size()) ||
               index_->tokens[static_cast<std::size_t>(next)] <
                   queries_->text[static_cast<std::size_t>(at_ + length)];
    }

    bool bisect(Index length) {
        if (sorts_before_sequence(length)) {
            low_ = probe_;
            low_length_ = length;
        } else {
            high_ = probe_;
            high_length_ = length;
        }
        if (high_ - low_ > 1) {
            probe(low_ + (high_ - low_) / 2, std::min(low_length_, high_length_));
            return true;
        }
        if (low_ < range_.first) low_length_ = 0;
        if (high_ == range_.last) high_length_ = 0;
        const bool is_own_suffix =
            queries_->is_own && high_ < range_.last && position_of(high_) == at_;
        if (is_own_suffix && ++high_ < range_.last) {
            stage_ = Stage::beside;
            probe(high_, 1);
            return true;
        }
        if (is_own_suffix) high_length_ = 0;
        return choose();
    }

    Index position_of(Index rank) const {
        return static_cast<Index>(index_->suffixes[static_cast<std::size_t>(rank)]);
    }

    // The longest match is known: that of the suffix `low` or `high`, or of both.
    bool choose() {
        limit_ = std::max(low_length_, high_length_);
        if (limit_ == 0) {
            answer(0, 0, -1);
            return next_query(true);
        }
        match_ = position_of(low_length_ == limit_ ? low_ : high_);
        stage_ = Stage::left;
        inside_ = low_ + 1;
        outside_ = low_;
        if (low_length_ == limit_) {
            inside_ = low_;
            outside_ = range_.first - 1;
        }
        return look_for_bound(true);
    }

    bool look_for_bound(bool is_new_side) {
        if (is_new_side) {
            stride_ = 1;
            is_bracketed_ = false;
        }
        const Index gap = stage_ == Stage::left ? inside_ - outside_ : outside_ - inside_;
        if (gap > 1) {
            const Index distance = is_bracketed_ ? gap / 2 : std::min(stride_, gap - 1);
            probe(stage_ == Stage::left ? inside_ - distance : inside_ + distance, 1);
            return true;
        }
        if (stage_ == Stage::left) {
            first_match_ = inside_;
            stage_ = Stage::right;
            inside_ = high_ - 1;
            outside_ = high_;
            if (high_length_ == limit_) {
                inside_ = high_;
                outside_ = range_.last;
            }
            return look_for_bound(true);
        }
        answer(limit_, outside_ - first_match_ - (queries_->is_own ? 1 : 0), match_);
        return next_query(true);
    }

    bool widen(Index length) {
        if (length == limit_) {
            inside_ = probe_;
            stride_ *= 2;
        } else {
            outside_ = probe_;
            is_bracketed_ = true;
        }
        return look_for_bound(false);
    }

    void answer(Index length, Index occurrences, Index place) const {
        const auto q = static_cast<std::size_t>(query_);
        matches_->lengths[q] = length;
        matches_->occurrences[q] = occurrences;
        matches_->places[q] = place;
    }

    const SuffixIndex<Token>* index_;
    const MatchQueries<Token>* queries_;
    const Matches* matches_;
    Index depth_;
    LongComparisons long_;
    Stage stage_ = Stage::bisect;
    Index query_ = 0, last_query_ = 0;
    Index at_ = 0, limit_ = 0;  // where the sequence begins, and the symbols compared
    SuffixRange range_;         // of its first token
    Index low_ = 0, high_ = 0;  // ranks
    Index low_length_ = 0, high_length_ = 0;
    Index probe_ = 0, place_ = 0, known_ = 0;
    Index inside_ = 0, outside_ = 0, stride_ = 1, first_match_ = 0, match_ = 0;
    bool is_bracketed_ = false;
};

template <class Token>
void find_matches(const SuffixIndex<Token>& index, const MatchQueries<Token>& queries,
                  const Matches& matches, Index first, Index last) {
    const Index run = std::clamp((last - first) / kLanes, Index{16}, kRun);
    std::vector<Lane<Token>> lanes;
    Index next = first;
    const auto take_run = [&](Lane<Token>& lane) {
        while (next < last) {
            const Index begin = next;
            next = std::min(next + run, last);
            if (lane.take(begin, next)) return true;
        }
        return false;
    };
    for (int i = 0; i < kLanes; ++i) {
        lanes.emplace_back(index, queries, matches);
        if (!take_run(lanes.back())) {
            lanes.pop_back();
            break;
        }
    }
    while (!lanes.empty()) {
        for (auto& lane : lanes) lane.load();
        for (std::size_t i = lanes.size(); i-- > 0;) {
            if (lanes[i].step() || take_run(lanes[i])) continue;
            lanes[i] = lanes.back();
            lanes.pop_back();
        }
    }
}

}  // namespace

template <class Token>
void longest_matches(const SuffixIndex<Token>& index, const MatchQueries<Token>& queries,
                     const Matches& matches, int threads) {
    const std::size_t n = queries.ranges.size();
    require(matches.lengths.size() == n && matches.occurrences.size() == n &&
                matches.places.size() == n,
            "there must be one length, number and place per range");
    require(static_cast<Index>(index.token_starts.size()) == index.vocab_size + 2,
            "token_starts must have vocab_size + 2 entries");
    const Index n_queries = static_cast<Index>(n);
    // Small numbers of queries are divided among the threads, too.
    const Index task =
        std::clamp((n_queries + threads - 1) / std::max(threads, 1), Index{1}, kTask);
    parallel_for((n_queries + task - 1) / task, threads, [&](Index number) {
        find_matches(index, queries, matches, number * task,
                     std::min((number + 1) * task, n_queries));
    });
}

template <class Token>
void common_lengths(std::span<const Token> indexed, const MatchQueries<Token>& queries,
                    std::span<const Index> places, std::span<Index> lengths) {
    const std::size_t n = queries.ranges.size();
    require(places.size() == n && lengths.size() == n,
            "there must be one place and length per range");
    const Index size = static_cast<Index>(indexed.size());
    for (std::size_t i = 0; i < n; ++i) {
        const auto [at, end] = queries.ranges[i];
        require_within(queries.ranges[i], queries.text.size());
        const Index place = places[i];
        require(place >= -1 && place <= size, "the place of a match lies outside the index");
        lengths[i] = 0;
        if (place < 0) continue;
        const Index most = std::min(end - at, size - place);
        const bool continues = i > 0 && at == queries.ranges[i - 1].first + 1 &&
                               place == places[i - 1] + 1 && lengths[i - 1] > 0;
        const Index known = continues ? std::min(lengths[i - 1] - 1, most) : 0;
        lengths[i] = common_prefix(queries.text.data() + at, indexed.data() + place, known, most);
    }
}

template void longest_matches(const SuffixIndex<std::uint16_t>&, const MatchQueries<std::uint16_t>&,
                              const Matches&, int);
template void longest_matches(const SuffixIndex<std::uint32_t>&, const MatchQueries<std::uint32_t>&,
                              const Matches&, int);
template void common_lengths(std::span<const std::uint16_t>, const MatchQueries<std::uint16_t>&,
                             std::span<const Index>, std::span<Index>);
template void common_lengths(std::span<const std::uint32_t>, const MatchQueries<std::uint32_t>&,
                             std::span<const Index>, std::span<Index>);

}  // namespace ngramstat
