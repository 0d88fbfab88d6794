#include <algorithm>
#include <array>

#include "ngramstat/base/parallel.hpp"
#include "search_shard.hpp"

namespace ngramstat {

namespace {

// Contexts of a task; their ranges are found together.
constexpr Index kContextsPerTask = 128;
// Suffixes whose tokens are asked for at once.
constexpr Index kBurst = 64;
// Gaps between samples that are asked for before they are read.
constexpr Index kGapsAhead = 3;
constexpr Index kRing = 3 * kGapsAhead + 1;
// Parts into which a wide range without samples is cut.
constexpr Index kParts = 16;

// The tokens after all suffixes of a range that share `length` symbols, as runs emit(token, count)
// in ascending order; one token may come in several runs. -1: the text has ended.
template <class Token, class Emit>
class NextTokenRuns {
  public:
    NextTokenRuns(const SuffixIndex<Token>& index, Index length, Emit& emit)
        : index_(index), packing_(index.vocab_size, index.depth), length_(length), emit_(emit) {}

    void add(SuffixRange range) {
        if (range.size() <= kBurst) {
            walk(range);
        } else if (!index_.samples.empty() && length_ <= packing_.symbols) {
            jump(range);
        } else {
            divide(range, symbol_at(index_, range.first, length_),
                   symbol_at(index_, range.last - 1, length_));
        }
    }

  private:
    // Reads all suffixes, at most kBurst.
    void walk(SuffixRange range) {
        const Index size = static_cast<Index>(index_.tokens.size());
        std::array<Index, kBurst> places;
        for (Index i = 0; i < range.size(); ++i) {
            const auto rank = static_cast<std::size_t>(range.first + i);
            const Index place = static_cast<Index>(index_.suffixes[rank]) + length_;
            places[static_cast<std::size_t>(i)] = place;
            if (place < size) prefetch(index_.tokens.data() + place);
        }
        for (Index i = 0; i < range.size(); ++i) {
            const Index place = places[static_cast<std::size_t>(i)];
            emit_(place < size ? static_cast<Index>(index_.tokens[static_cast<std::size_t>(place)])
                               : -1,
                  Index{1});
        }
    }

    // From one sample to the last one with the same token, and so on. Between two samples with
    // different tokens, every eighth suffix is read, and all between two of these that differ: of
    // several gaps at a time, so that nothing waits for memory.
    void jump(SuffixRange range) {
        Index sample = n_samples(range.first);
        const Index end = n_samples(range.last);
        push({0, 0, kUnknown, {range.first, std::min(range.last, sample * kSampleStride)}});
        while (sample < end) {
            const Index token = sampled(sample);
            Index inside = sample, step = 1;
            while (inside + step < end && sampled(inside + step) == token) {
                inside += step;
                step *= 2;
            }
            Index outside = std::min(end, inside + step);
            while (outside - inside > 1) {
                const Index middle = inside + (outside - inside) / 2;
                (sampled(middle) == token ? inside : outside) = middle;
            }
            const SuffixRange gap{inside * kSampleStride + 1,
                                  std::min(range.last, outside * kSampleStride)};
            push({token, (inside - sample) * kSampleStride + 1,
                  outside < end ? sampled(outside) : kUnknown, gap});
            sample = outside;
        }
        for (Index i = 0; i < 3 * kGapsAhead; ++i) push({0, 0, kUnknown, {}});
        pushed_ = 0;
    }

    static constexpr Index kUnknown = -2;
    static constexpr Index kQuarter = kSampleStride / 4;

    // A run of suffixes with one token, and a gap after it, of kSampleStride - 1 suffixes or fewer,
    // before a suffix with the token `right`; kUnknown: all of the gap is to be read.
    struct RunAndGap {
        Index token, count, right;
        SuffixRange gap;
    };
    // What is known of the gap while it is read: tokens at its quarters' ends, and where the tokens
    // of its suffixes stand; those that are not looked up keep -1.
    struct Gap {
        RunAndGap run;
        std::array<Index, 5> ends;
        std::array<Index, kSampleStride> places;
    };

    // Asks for the positions in this gap, for the ends of quarters of an earlier one, for the
    // tokens between those that differ of another one, and emits the earliest.
    void push(const RunAndGap& next) {
        slot(pushed_).run = next;
        if (!next.gap.empty()) {
            prefetch(index_.suffixes.data() + next.gap.first);
            prefetch(index_.suffixes.data() + next.gap.last - 1);
        }
        if (pushed_ >= kGapsAhead) ask_for_ends(slot(pushed_ - kGapsAhead));
        if (pushed_ >= 2 * kGapsAhead) ask_between(slot(pushed_ - 2 * kGapsAhead));
        if (pushed_ >= 3 * kGapsAhead) emit_gap(slot(pushed_ - 3 * kGapsAhead));
        ++pushed_;
    }
    Gap& slot(Index number) { return ring_[static_cast<std::size_t>(number % kRing)]; }

    Index ask(Index rank) const {
        const Index place =
            static_cast<Index>(index_.suffixes[static_cast<std::size_t>(rank)]) + length_;
        if (place < static_cast<Index>(index_.tokens.size())) {
            prefetch(index_.tokens.data() + place);
        }
        return place;
    }
    Index token_at(Index place) const {
        return place < static_cast<Index>(index_.tokens.size())
                   ? static_cast<Index>(index_.tokens[static_cast<std::size_t>(place)])
                   : -1;
    }

    void ask_for_ends(Gap& gap) {
        const SuffixRange& range = gap.run.gap;
        if (gap.run.right == kUnknown) {
            for (Index i = 0; i < range.size(); ++i) {
                gap.places[static_cast<std::size_t>(i)] = ask(range.first + i);
            }
            return;
        }
        for (Index q = 1; q < 4; ++q) {
            const Index last = q * kQuarter - 1;
            gap.places[static_cast<std::size_t>(last)] = ask(range.first + last);
        }
    }

    void ask_between(Gap& gap) {
        const SuffixRange& range = gap.run.gap;
        if (gap.run.right == kUnknown) return;
        gap.ends[0] = gap.run.token;
        gap.ends[4] = gap.run.right;
        for (Index q = 1; q < 4; ++q) {
            const auto last = static_cast<std::size_t>(q * kQuarter - 1);
            gap.ends[static_cast<std::size_t>(q)] = token_at(gap.places[last]);
        }
        for (Index q = 0; q < 4; ++q) {
            const auto quarter = static_cast<std::size_t>(q);
            if (gap.ends[quarter] == gap.ends[quarter + 1]) continue;
            for (Index i = q * kQuarter; i < (q + 1) * kQuarter - 1; ++i) {
                gap.places[static_cast<std::size_t>(i)] = ask(range.first + i);
            }
        }
    }

    void emit_gap(const Gap& gap) {
        const RunAndGap& run = gap.run;
        if (run.count > 0) emit_(run.token, run.count);
        if (run.right == kUnknown) return emit_places(gap, 0, run.gap.size());
        for (Index q = 0; q < 4; ++q) {
            const auto quarter = static_cast<std::size_t>(q);
            // The last quarter is one shorter: the sample after it is not part of the gap.
            const Index first = q * kQuarter, last = std::min(first + kQuarter, run.gap.size());
            if (gap.ends[quarter] == gap.ends[quarter + 1]) {
                emit_(gap.ends[quarter], last - first);
            } else {
                emit_places(gap, first, last);
            }
        }
    }

    void emit_places(const Gap& gap, Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            emit_(token_at(gap.places[static_cast<std::size_t>(i)]), Index{1});
        }
    }

    Index sampled(Index sample) const {
        return packing_.token(index_.samples[static_cast<std::size_t>(sample)],
                              static_cast<int>(length_));
    }

    // Cuts a range whose first and last tokens differ into parts, and these again.
    void divide(SuffixRange range, Index first_token, Index last_token) {
        if (first_token == last_token) return emit_(first_token, range.size());
        if (range.size() <= kBurst) return walk(range);
        std::array<Index, kParts + 1> ranks;
        std::array<Index, kParts + 1> tokens;
        for (std::size_t i = 0; i <= kParts; ++i) {
            ranks[i] = range.first + range.size() * static_cast<Index>(i) / kParts;
            prefetch(index_.suffixes.data() + ranks[i]);
        }
        const Index size = static_cast<Index>(index_.tokens.size());
        for (std::size_t i = 1; i < kParts; ++i) {
            const Index place =
                static_cast<Index>(index_.suffixes[static_cast<std::size_t>(ranks[i])]) + length_;
            if (place < size) prefetch(index_.tokens.data() + place);
        }
        tokens[0] = first_token;
        for (std::size_t i = 1; i < kParts; ++i) tokens[i] = symbol_at(index_, ranks[i], length_);
        tokens[kParts] = last_token;
        for (std::size_t i = 0; i < kParts; ++i) {
            // The last token of a part is that of the next part's first suffix, or comes before.
            const SuffixRange part{ranks[i], ranks[i + 1]};
            if (tokens[i] == tokens[i + 1]) {
                emit_(tokens[i], part.size());
            } else {
                divide(part, tokens[i],
                       i + 1 == kParts ? last_token : symbol_at(index_, part.last - 1, length_));
            }
        }
    }

    const SuffixIndex<Token>& index_;
    const SamplePacking packing_;
    const Index length_;
    Emit& emit_;
    std::array<Gap, kRing> ring_;
    Index pushed_ = 0;
};

// Where nothing follows, because nothing is compared after a stop token.
template <class Token>
bool holds_stop(const SuffixIndex<Token>& index, std::span<const std::uint32_t> context) {
    return std::any_of(context.begin(), context.end(), [&](std::uint32_t token) {
        return static_cast<Index>(token) == index.stop_token;
    });
}

// Calls emit(token, count) for the tokens after a context whose suffixes are known.
template <class Token, class Emit>
void emit_next(const SuffixIndex<Token>& index, std::span<const std::uint32_t> context,
               SuffixRange range, Emit&& emit) {
    auto emit_token = [&](Index token, Index count) {
        if (token >= 0 && token < index.vocab_size) emit(token, count);
    };
    if (!context.empty()) {
        if (range.empty() || holds_stop(index, context)) return;
        const Index length = static_cast<Index>(context.size());
        NextTokenRuns<Token, decltype(emit_token)>(index, length, emit_token).add(range);
        return;
    }
    for (Index token = 0; token < index.vocab_size; ++token) {
        if (const Index count = suffixes_of_token(index, token).size()) emit(token, count);
    }
}

// Calls each(i, context, range) for the contexts of a task in one shard, in order.
template <class Token, class Each>
void with_ranges(const SuffixIndex<Token>& index, const TokenSlices& contexts, Index first,
                 Index last, Each&& each) {
    std::array<SuffixRange, kContextsPerTask> ranges;
    search_shard(index, contexts, first, last, [&](Index i, SuffixRange range) {
        ranges[static_cast<std::size_t>(i - first)] = range;
        // Most ranges are short: their suffixes will be read soon.
        if (!range.empty()) prefetch(index.suffixes.data() + range.first);
    });
    constexpr Index kFew = 4;
    const Index size = static_cast<Index>(index.tokens.size());
    for (Index i = first; i < last; ++i) {
        const SuffixRange range = ranges[static_cast<std::size_t>(i - first)];
        const Index length = static_cast<Index>(contexts[i].size());
        for (Index rank = range.first; rank < std::min(range.last, range.first + kFew); ++rank) {
            const Index place =
                static_cast<Index>(index.suffixes[static_cast<std::size_t>(rank)]) + length;
            if (place < size) prefetch(index.tokens.data() + place);
        }
    }
    for (Index i = first; i < last; ++i) {
        each(i, contexts[i], ranges[static_cast<std::size_t>(i - first)]);
    }
}

struct TokenCount {
    std::uint32_t token;
    Index count;
};

// Sorts by token what several shards gave, and sums the counts of equal tokens.
void merge(std::vector<TokenCount>& counts) {
    std::sort(counts.begin(), counts.end(),
              [](const TokenCount& a, const TokenCount& b) { return a.token < b.token; });
    std::size_t size = 0;
    for (const TokenCount& next : counts) {
        if (size > 0 && counts[size - 1].token == next.token) {
            counts[size - 1].count += next.count;
        } else {
            counts[size++] = next;
        }
    }
    counts.resize(size);
}

constexpr Index task_count(Index n) { return (n + kContextsPerTask - 1) / kContextsPerTask; }

}  // namespace

template <class Token>
NextTokens next_tokens(Shards<Token> shards, const TokenSlices& contexts, int threads) {
    const Index n = contexts.size();
    std::vector<std::vector<TokenCount>> found(static_cast<std::size_t>(task_count(n)));
    NextTokens result;
    result.starts.assign(static_cast<std::size_t>(n) + 1, 0);
    parallel_for(task_count(n), threads, [&](Index task) {
        const Index first = task * kContextsPerTask, last = std::min(first + kContextsPerTask, n);
        std::vector<std::vector<TokenCount>> lists(static_cast<std::size_t>(last - first));
        for (const auto& index : shards) {
            with_ranges(
                index, contexts, first, last,
                [&](Index i, std::span<const std::uint32_t> context, SuffixRange range) {
                    auto& list = lists[static_cast<std::size_t>(i - first)];
                    emit_next(index, context, range, [&](Index token, Index count) {
                        if (!list.empty() && static_cast<Index>(list.back().token) == token) {
                            list.back().count += count;
                        } else {
                            list.push_back({static_cast<std::uint32_t>(token), count});
                        }
                    });
                });
        }
        auto& all = found[static_cast<std::size_t>(task)];
        for (Index i = first; i < last; ++i) {
            auto& list = lists[static_cast<std::size_t>(i - first)];
            if (shards.size() > 1) merge(list);
            result.starts[static_cast<std::size_t>(i) + 1] = static_cast<Index>(list.size());
            all.insert(all.end(), list.begin(), list.end());
        }
    });
    for (std::size_t i = 1; i < result.starts.size(); ++i) {
        result.starts[i] += result.starts[i - 1];
    }
    const auto total = static_cast<std::size_t>(result.starts.back());
    result.tokens.resize(total);
    result.counts.resize(total);
    parallel_for(task_count(n), threads, [&](Index task) {
        auto at = static_cast<std::size_t>(
            result.starts[static_cast<std::size_t>(task * kContextsPerTask)]);
        auto& list = found[static_cast<std::size_t>(task)];
        for (const TokenCount& next : list) {
            result.tokens[at] = next.token;
            result.counts[at++] = next.count;
        }
        list = {};
    });
    return result;
}

template <class Token>
void count_next(Shards<Token> shards, const TokenSlices& contexts, std::span<Index> rows,
                int threads) {
    if (shards.empty()) return;
    const Index width = shards[0].vocab_size;
    parallel_for(task_count(contexts.size()), threads, [&](Index task) {
        const Index first = task * kContextsPerTask;
        const Index last = std::min(first + kContextsPerTask, contexts.size());
        for (const auto& index : shards) {
            with_ranges(index, contexts, first, last,
                        [&](Index i, std::span<const std::uint32_t> context, SuffixRange range) {
                            Index* row = rows.data() + i * width;
                            emit_next(index, context, range,
                                      [&](Index token, Index count) { row[token] += count; });
                        });
        }
    });
}

#define NGRAMSTAT_INSTANTIATE(Token)                                         \
    template NextTokens next_tokens(Shards<Token>, const TokenSlices&, int); \
    template void count_next(Shards<Token>, const TokenSlices&, std::span<Index>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
