#include <algorithm>
#include <utility>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/index/interleaved_search.hpp"
#include "ngramstat/index/queries.hpp"

namespace ngramstat {

namespace {

// Consecutive tokens of one text, each with what stands before it.
struct Run {
    Index floor;   // where the contexts begin at the earliest, up to the next stop token
    Index first;   // the first of these tokens
    Index last;    // the last, plus 1
    Index result;  // where the results of the first one stand
};

// What all walks read.
template <class Token>
struct Walked {
    Shards<Token> shards;
    std::span<const std::uint32_t> text;
    Index stop_token;
    Index max_context;  // 0: any
    Index all_tokens;   // occurrences of the empty context
    const SuffixCounts& results;
};

// Walks along the tokens of a run. The longest known suffix before a token is mostly the one before
// the previous token, longer by that token or shorter by a few; the suffixes of the index that
// begin with it are known, so that the longer one is looked for among these.
template <class Token>
class SuffixWalk {
  public:
    void start(const Walked<Token>& walked, const Run& run) {
        walked_ = &walked;
        run_ = run;
        at_ = run.first;
        floor_ = run.floor;
        growing_ = true;
        look_between(0, limit() + 1);
    }

    // One step; true when the run is at its end.
    bool step() {
        if (shard_ < walked_->shards.size()) {
            if (!search_.step()) return false;
            trial_[shard_] = search_.range();
            trial_count_ += trial_[shard_].size();
            if (++shard_ < walked_->shards.size()) {
                begin_search();
                return false;
            }
        }
        if (extending_) return extended();
        tested();
        return false;
    }

  private:
    // Tokens that a context may have at most.
    Index limit() const {
        const Index available = at_ - floor_;
        return walked_->max_context > 0 ? std::min(available, walked_->max_context) : available;
    }

    // The longest suffix has at least `known` tokens, which occur, and fewer than `absent`.
    void look_between(Index known, Index absent) {
        known_ = known;
        absent_ = absent;
        tries_ = 0;
        next_length();
    }

    void next_length() {
        if (absent_ - known_ <= 1) return extend();
        if (growing_) {
            length_ = std::min(std::max<Index>(1, 2 * known_), absent_ - 1);
        } else if (tries_ < 2) {
            length_ = absent_ - 1;  // mostly it is not much shorter than before
        } else {
            length_ = known_ + (absent_ - known_) / 2;
        }
        ++tries_;
        extending_ = false;
        begin_trial();
    }

    void tested() {
        if (trial_count_ > 0) {
            known_ = length_;
            std::swap(ranges_, trial_);
            count_ = trial_count_;
        } else {
            absent_ = length_;
            if (growing_) {
                growing_ = false;
                tries_ = 2;
            }
        }
        next_length();
    }

    // The longest suffix is known; looks for it with the token after it.
    void extend() {
        growing_ = false;
        if (known_ == 0) count_ = walked_->all_tokens;
        const auto result = static_cast<std::size_t>(run_.result + at_ - run_.first);
        walked_->results.lengths[result] = known_;
        walked_->results.contexts[result] = count_;
        extending_ = true;
        begin_trial();
    }

    // True at the end of the run.
    bool extended() {
        const auto result = static_cast<std::size_t>(run_.result + at_ - run_.first);
        walked_->results.ngrams[result] = trial_count_;
        const auto token = static_cast<Index>(walked_->text[static_cast<std::size_t>(at_)]);
        if (++at_ == run_.last) return true;
        if (token == walked_->stop_token) {
            floor_ = at_;
            look_between(0, 1);
        } else if (trial_count_ != 0 && known_ < limit()) {
            std::swap(ranges_, trial_);
            count_ = trial_count_;
            look_between(known_ + 1, known_ + 2);
        } else {
            // Nothing goes on with the token, or it is as long as it may be: the first token goes.
            look_between(0, known_ + 1);
        }
        return false;
    }

    // Looks for the suffix of length_ tokens, or for the longest one with the token after it.
    void begin_trial() {
        trial_.resize(walked_->shards.size());
        ranges_.resize(walked_->shards.size());
        trial_count_ = 0;
        shard_ = 0;
        if (!walked_->shards.empty()) begin_search();
    }

    void begin_search() {
        const auto& index = walked_->shards[shard_];
        if (!extending_) {
            search_.start(index, slice(at_ - length_, at_));
        } else if (known_ == 0) {
            search_.start(index, slice(at_, at_ + 1));
        } else {
            search_.start_within(index, ranges_[shard_], slice(at_ - known_, at_ + 1));
        }
    }

    std::span<const std::uint32_t> slice(Index first, Index last) const {
        return walked_->text.subspan(static_cast<std::size_t>(first),
                                     static_cast<std::size_t>(last - first));
    }

    const Walked<Token>* walked_ = nullptr;
    Run run_{};
    Index at_ = 0;     // the token whose context is looked at
    Index floor_ = 0;  // where that context begins at the earliest
    Index known_ = 0, absent_ = 0, length_ = 0, tries_ = 0;
    Index count_ = 0, trial_count_ = 0;
    std::size_t shard_ = 0;
    bool growing_ = false, extending_ = false;
    RangeSearch<Token> search_;
    // Suffixes of each shard that begin with the longest suffix, and with what is looked for.
    std::vector<SuffixRange> ranges_, trial_;
};

// The runs of all texts. Their length does not matter for the results.
std::vector<Run> cut_into_runs(const TokenSlices& texts, bool every_token, Index stop_token,
                               Index run_length) {
    std::vector<Run> runs;
    Index result = 0;
    const auto is_stop = [&](Index at) {
        return static_cast<Index>(texts.tokens[static_cast<std::size_t>(at)]) == stop_token;
    };
    for (Index i = 0; i < texts.size(); ++i) {
        const Index begin = texts.begins[static_cast<std::size_t>(i)];
        const Index end = texts.ends[static_cast<std::size_t>(i)];
        if (!every_token) {
            Index floor = end - 1;
            while (floor > begin && (stop_token < 0 || !is_stop(floor - 1))) --floor;
            runs.push_back({stop_token < 0 ? begin : floor, end - 1, end, result++});
            continue;
        }
        Index floor = begin;
        for (Index first = begin; first < end; first += run_length) {
            const Index last = std::min(first + run_length, end);
            runs.push_back({floor, first, last, result});
            result += last - first;
            for (Index at = last; at > first && stop_token >= 0; --at) {
                if (is_stop(at - 1)) {
                    floor = at;
                    break;
                }
            }
        }
    }
    return runs;
}

}  // namespace

template <class Token>
void longest_suffixes(Shards<Token> shards, const TokenSlices& texts, bool every_token,
                      Index max_context, const SuffixCounts& results, int threads) {
    Index targets = 0, all_tokens = 0;
    for (Index i = 0; i < texts.size(); ++i) {
        const Index length = static_cast<Index>(texts[i].size());
        require(every_token || length > 0, "a text without a token has no last one");
        targets += every_token ? length : 1;
    }
    for (const auto& index : shards) {
        all_tokens += static_cast<Index>(index.suffixes.size()) -
                      suffixes_of_token(index, index.vocab_size).size();
    }
    const auto size = static_cast<std::size_t>(targets);
    require(results.lengths.size() == size && results.contexts.size() == size &&
                results.ngrams.size() == size,
            "there has to be one result per token");
    const Index stop_token = shards.empty() ? -1 : shards[0].stop_token;
    const Walked<Token> walked{shards, texts.tokens, stop_token, max_context, all_tokens, results};
    constexpr Index kSlots = static_cast<Index>(kInFlight);
    const Index run_length = std::clamp<Index>(targets / (kSlots * threads), 16, 256);
    const std::vector<Run> runs = cut_into_runs(texts, every_token, stop_token, run_length);
    const Index n_runs = static_cast<Index>(runs.size());
    const Index per_task = every_token ? 2 * kSlots : 32 * kSlots;
    parallel_for((n_runs + per_task - 1) / per_task, threads, [&](Index task) {
        const Index first = task * per_task;
        interleave<SuffixWalk<Token>>(
            std::min(per_task, n_runs - first),
            [&](SuffixWalk<Token>& walk, Index i) {
                walk.start(walked, runs[static_cast<std::size_t>(first + i)]);
            },
            [](SuffixWalk<Token>& walk, Index) { return walk.step(); });
    });
}

#define NGRAMSTAT_INSTANTIATE(Token)                                               \
    template void longest_suffixes(Shards<Token>, const TokenSlices&, bool, Index, \
                                   const SuffixCounts&, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
