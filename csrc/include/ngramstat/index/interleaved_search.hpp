// Searches for many n-grams at a time. A search waits for memory at almost every step; it therefore
// asks for the memory of its next step and gives way to another one meanwhile.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/index/search.hpp"

namespace ngramstat {

// Searches that take turns: enough to hide the latency of memory (some 100 ns) behind steps of some
// 5 ns, few enough for their state to stay in the first-level cache.
inline constexpr std::size_t kInFlight = 24;

// The range of suffixes that begin with an n-gram, found step by step: `start`, then `step` until
// it returns true, then `range`.
//
// The samples, if there are any, show between which multiples of kSampleStride the range begins and
// ends; where the n-gram is no longer than a sample, only the 31 suffixes between two samples are
// left to compare at each end, and otherwise those whose samples are equal to that of the n-gram.
template <class Token>
class RangeSearch {
  public:
    RangeSearch() = default;

    // Looks among all suffixes. The n-gram has 1 .. depth tokens and stays valid.
    void start(const SuffixIndex<Token>& index, std::span<const std::uint32_t> ngram) {
        set(index, ngram);
        stage_ = Stage::kFirstToken;
        for (std::size_t k = 0; k + 1 < ngram.size(); ++k) {
            if (static_cast<Index>(ngram[k]) == index.stop_token) stage_ = Stage::kNowhere;
        }
        if (stage_ == Stage::kFirstToken && ngram[0] <= index.vocab_size) {
            prefetch(index.token_starts.data() + ngram[0]);
        }
    }

    // Looks among suffixes of ranks within `range`, which share all symbols of the n-gram but the
    // last; none of these is the stop token.
    void start_within(const SuffixIndex<Token>& index, SuffixRange range,
                      std::span<const std::uint32_t> ngram) {
        set(index, ngram);
        range_ = range;
        shared_low_ = shared_high_ = shared_outside_ = static_cast<Index>(ngram.size()) - 1;
        compare_between(range.first, range.last, -1, range.last);
    }

    // One step; true if the search is at its end.
    bool step() {
        switch (stage_) {
            case Stage::kNowhere:
                range_ = {};
                return true;
            case Stage::kFirstToken:
                return first_token();
            case Stage::kSampleLow:
                return sample_low();
            case Stage::kSampleHigh:
                return sample_high();
            case Stage::kPosition:
                return read_position();
            case Stage::kTokens:
                return compare_tokens();
            case Stage::kDone:
                break;
        }
        return true;
    }

    SuffixRange range() const { return range_; }

  private:
    enum class Stage : std::uint8_t {
        kNowhere,
        kFirstToken,
        kSampleLow,
        kSampleHigh,
        kPosition,
        kTokens,
        kDone
    };

    void set(const SuffixIndex<Token>& index, std::span<const std::uint32_t> ngram) {
        index_ = &index;
        ngram_ = ngram.data();
        length_ = static_cast<Index>(ngram.size());
    }

    bool first_token() {
        range_ = suffixes_of_token(*index_, static_cast<Index>(ngram_[0]));
        if (range_.empty()) range_ = {};
        if (length_ == 1 || range_.empty()) return finish();
        shared_low_ = shared_high_ = shared_outside_ = 1;
        const Index first = n_samples(range_.first), last = n_samples(range_.last);
        if (index_->samples.empty() || last - first < 2) {
            return compare_between(range_.first, range_.last, -1, range_.last);
        }
        const SamplePacking packing(index_->vocab_size, index_->depth);
        packed_ = static_cast<int>(std::min<Index>(length_ - 1, packing.symbols));
        lowest_ = highest_ = 0;
        for (int k = 1; k <= packed_; ++k) {
            lowest_ |= (std::uint64_t{ngram_[k]} + 1) << packing.shift(k);
        }
        highest_ = lowest_ | ((std::uint64_t{1} << packing.shift(packed_)) - 1);
        low_ = first;
        high_ = end_ = last;
        return next_sample(Stage::kSampleLow);
    }

    // The first sample that is not below the n-gram, in low_ .. high_.
    bool sample_low() {
        if (index_->samples[static_cast<std::size_t>(middle_)] < lowest_) {
            low_ = middle_ + 1;
        } else {
            high_ = middle_;
        }
        if (low_ < high_) return next_sample(Stage::kSampleLow);
        first_sample_ = low_;
        // The first one that is above it: mostly close by.
        high_ = end_;
        stride_ = 1;
        if (low_ == high_) return from_samples();
        middle_ = low_;
        stage_ = Stage::kSampleHigh;
        return false;
    }

    bool sample_high() {
        if (index_->samples[static_cast<std::size_t>(middle_)] <= highest_) {
            low_ = middle_ + 1;
        } else {
            high_ = middle_;
            stride_ = 0;  // an upper end is known: halve from now on
        }
        if (low_ >= high_) return from_samples();
        if (stride_ == 0) return next_sample(Stage::kSampleHigh);
        middle_ = std::min(low_ + stride_, high_) - 1;
        stride_ *= 4;
        prefetch(index_->samples.data() + middle_);
        return false;
    }

    // Samples before first_sample_ are below the n-gram, those from low_ on above it.
    bool from_samples() {
        const Index from = std::max(range_.first, (first_sample_ - 1) * kSampleStride + 1);
        const Index to = std::min(range_.last, low_ * kSampleStride);
        if (packed_ == length_ - 1 && low_ > first_sample_) {
            return compare_between(from, first_sample_ * kSampleStride, (low_ - 1) * kSampleStride,
                                   to);
        }
        return compare_between(from, to, -1, to);
    }

    // The range begins in low .. high and ends at most at `outside`; the suffix of rank `inside`,
    // unless that is -1, belongs to it.
    bool compare_between(Index low, Index high, Index inside, Index outside) {
        low_ = low;
        high_ = high;
        inside_ = inside;
        outside_ = outside;
        looks_for_end_ = false;
        return next_position();
    }

    bool next_sample(Stage stage) {
        middle_ = low_ + (high_ - low_) / 2;
        prefetch(index_->samples.data() + middle_);
        stage_ = stage;
        return false;
    }

    bool next_position() {
        if (!looks_for_end_ && low_ >= high_) {
            // The range begins at low_, if it is not empty; it ends beyond inside_.
            range_ = {low_, low_};
            if (inside_ < 0) return finish();
            looks_for_end_ = true;
        }
        if (looks_for_end_) {
            if (outside_ - inside_ <= 1) {
                range_ = {range_.first, outside_};
                return finish();
            }
            middle_ = inside_ + (outside_ - inside_) / 2;
        } else {
            middle_ = low_ + (high_ - low_) / 2;
        }
        const std::uint32_t* entry = index_->suffixes.data() + middle_;
        prefetch(entry);
        stage_ = Stage::kPosition;
        return false;
    }

    bool read_position() {
        position_ = static_cast<Index>(index_->suffixes[static_cast<std::size_t>(middle_)]);
        const Index last = static_cast<Index>(index_->tokens.size()) - 1;
        prefetch(index_->tokens.data() + std::min(position_ + shared(), last));
        stage_ = Stage::kTokens;
        return false;
    }

    // Symbols that all suffixes between the bounds share with the n-gram.
    Index shared() const {
        return looks_for_end_ ? shared_outside_ : std::min(shared_low_, shared_high_);
    }

    bool compare_tokens() {
        const Index size = static_cast<Index>(index_->tokens.size());
        const Index available = std::min(length_, std::max<Index>(0, size - position_));
        const Token* suffix = index_->tokens.data() + position_;
        Index k = std::min(shared(), available);
        while (k < available && static_cast<std::uint32_t>(suffix[k]) == ngram_[k]) ++k;
        const bool equal = k == length_;
        const bool below = !equal && (k == available || suffix[k] < ngram_[k]);
        if (looks_for_end_) {
            if (equal) {
                inside_ = middle_;
            } else {
                outside_ = middle_;
                shared_outside_ = k;
            }
        } else if (below) {
            low_ = middle_ + 1;
            shared_low_ = k;
        } else {
            high_ = middle_;
            shared_high_ = k;
            if (equal) {
                inside_ = std::max(inside_, middle_);
            } else {
                outside_ = middle_;
                shared_outside_ = k;
            }
        }
        return next_position();
    }

    bool finish() {
        stage_ = Stage::kDone;
        return true;
    }

    const SuffixIndex<Token>* index_ = nullptr;
    const std::uint32_t* ngram_ = nullptr;
    Index length_ = 0;
    Index low_ = 0, high_ = 0, middle_ = 0, end_ = 0;
    Index inside_ = -1, outside_ = 0;
    Index shared_low_ = 0, shared_high_ = 0, shared_outside_ = 0;
    Index position_ = 0, first_sample_ = 0, stride_ = 0;
    std::uint64_t lowest_ = 0, highest_ = 0;
    int packed_ = 0;
    Stage stage_ = Stage::kDone;
    bool looks_for_end_ = false;
    SuffixRange range_;
};

// Runs n searches, kInFlight at a time. begin(machine, i) starts search i, step(machine, i) is one
// step of it and true when it has ended.
template <class Machine, class Begin, class Step>
void interleave(Index n, Begin&& begin, Step&& step) {
    struct Slot {
        Machine machine;
        Index item;
    };
    std::array<Slot, kInFlight> slots;
    std::size_t active = 0;
    Index next = 0;
    while (active < slots.size() && next < n) {
        slots[active].item = next++;
        begin(slots[active].machine, slots[active].item);
        ++active;
    }
    while (active > 0) {
        for (std::size_t i = 0; i < active;) {
            if (!step(slots[i].machine, slots[i].item)) {
                ++i;
            } else if (next < n) {
                slots[i].item = next++;
                begin(slots[i].machine, slots[i].item);
                ++i;
            } else {
                slots[i] = std::move(slots[--active]);
            }
        }
    }
}

}  // namespace ngramstat
