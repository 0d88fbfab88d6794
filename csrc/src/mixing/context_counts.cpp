#include "ngramstat/mixing/context_counts.hpp"

#include <algorithm>
#include <bit>
#include <mutex>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "radix_sort.hpp"

namespace ngramstat {

// The training stream and what to count in it, in tasks of kTask positions.
template <class Token>
struct ContextCounts::Training {
    static constexpr Index kTask = 1 << 18;

    std::span<const Token> tokens;
    Index first_event, first_leave_one_out;
    int continuation_offset, threads;

    Index n_events() const { return static_cast<Index>(tokens.size()) - first_event; }
    Index n_tasks() const { return (n_events() + kTask - 1) / kTask; }
    Index first(Index task) const { return first_event + task * kTask; }
    Index last(Index task) const {
        return std::min<Index>(first(task) + kTask, static_cast<Index>(tokens.size()));
    }
};

// An event in one number, from the highest bit on: context id / kShards, token, continuation token
// (n_symbols: there is none), whether it is in the leave-one-out part. Sorted events therefore
// come key by key, and within a key one continuation token after the other.
struct ContextCounts::EventLayout {
    int id_bits, token_bits, continuation_bits;
    std::uint64_t no_continuation;

    EventLayout(const Vocabulary& vocabulary, std::size_t n_contexts, int continuation_offset)
        : id_bits(std::bit_width(n_contexts / kShards)),
          token_bits(std::bit_width(static_cast<std::uint64_t>(vocabulary.size - 1))),
          continuation_bits(continuation_offset > 0
                                ? std::bit_width(static_cast<std::uint64_t>(vocabulary.n_symbols()))
                                : 0),
          no_continuation(static_cast<std::uint64_t>(vocabulary.n_symbols())) {
        require(bits() <= 64, "the vocabulary is too large for the counts of this pattern");
    }
    int bits() const { return token_bits + id_bits + continuation_bits + 1; }
    bool has_continuation() const { return continuation_bits > 0; }

    // (context, token) of an event, and the key of Shard.
    std::uint64_t follower(std::uint64_t event) const { return event >> (continuation_bits + 1); }
    std::uint64_t shard_key(std::uint64_t follower) const {
        const std::uint64_t token_mask = (std::uint64_t{1} << token_bits) - 1;
        return follower >> token_bits << 32 | (follower & token_mask);
    }
    // Whether an event has a continuation token, of which only the first occurrence counts.
    bool counts_once(std::uint64_t event) const {
        const std::uint64_t mask = (std::uint64_t{1} << continuation_bits) - 1;
        return has_continuation() && (event >> 1 & mask) != no_continuation;
    }
};

// Bins into which events are sorted first: the shards first_shard .. first_shard + n_shards - 1.
// Where there are few contexts each shard is one of them and would be large, so it is cut by token.
struct ContextCounts::Bins {
    std::uint32_t first_shard, n_shards, cuts;

    std::uint32_t size() const { return n_shards * cuts; }
    std::uint32_t bin(std::uint32_t shard, std::uint32_t token) const {
        return (shard - first_shard) * cuts + token % cuts;
    }
};

// Events of one bin, in blocks of one size: a vector would leave up to half of its memory unused
// as it grows.
class ContextCounts::EventList {
  public:
    void append(std::span<const std::uint64_t> events) {
        constexpr std::size_t kBlockSize = 4096;
        const std::lock_guard<std::mutex> lock(mutex_);
        if (blocks_.empty() || blocks_.back().size() + events.size() > kBlockSize) {
            blocks_.emplace_back();
            blocks_.back().reserve(kBlockSize);
        }
        blocks_.back().insert(blocks_.back().end(), events.begin(), events.end());
    }
    // All of them in one vector; the list is empty afterwards.
    std::vector<std::uint64_t> take() {
        std::size_t size = 0;
        for (const auto& block : blocks_) size += block.size();
        std::vector<std::uint64_t> events;
        events.reserve(size);
        for (auto& block : blocks_) {
            events.insert(events.end(), block.begin(), block.end());
            std::vector<std::uint64_t>().swap(block);
        }
        blocks_.clear();
        return events;
    }

  private:
    std::mutex mutex_;
    std::vector<std::vector<std::uint64_t>> blocks_;
};

// Events of one task, appended to the bins' lists a chunk at a time.
class ContextCounts::BinWriter {
  public:
    explicit BinWriter(std::vector<EventList>& lists)
        : lists_(lists), chunks_(lists.size() * kChunk), filled_(lists.size(), 0) {}
    void put(std::uint32_t bin, std::uint64_t event) {
        chunks_[bin * kChunk + filled_[bin]] = event;
        if (++filled_[bin] == kChunk) flush(bin);
    }
    void finish() {
        for (std::uint32_t bin = 0; bin < filled_.size(); ++bin) flush(bin);
    }

  private:
    static constexpr std::size_t kChunk = 128;

    void flush(std::uint32_t bin) {
        lists_[bin].append({chunks_.data() + bin * kChunk, filled_[bin]});
        filled_[bin] = 0;
    }

    std::vector<EventList>& lists_;
    std::vector<std::uint64_t> chunks_;
    std::vector<std::uint32_t> filled_;
};

void ContextCounts::Shard::append(const Shard& other) {
    for (const LeftOut& entry : other.left_out) {
        left_out.push_back({entry.key + keys.size(), entry.count, entry.continuation_count});
    }
    keys.insert(keys.end(), other.keys.begin(), other.keys.end());
    counts.insert(counts.end(), other.counts.begin(), other.counts.end());
    continuation_counts.insert(continuation_counts.end(), other.continuation_counts.begin(),
                               other.continuation_counts.end());
}

template <class Token>
ContextCounts::ContextCounts(std::span<const Token> tokens, std::span<const Index> targets,
                             Index n_leave_one_out, Index second_stream,
                             const Vocabulary& vocabulary, const ContextPattern& pattern,
                             std::span<const std::uint32_t> class_maps)
    : context_keys_(vocabulary, pattern, class_maps),
      n_leave_one_out_(n_leave_one_out),
      shards_(kShards) {
    require(n_leave_one_out >= 0 && n_leave_one_out <= static_cast<Index>(targets.size()),
            "n_leave_one_out must lie between 0 and the number of targets");
    const Index n_symbols = vocabulary.n_symbols();
    for (const Token token : tokens) {
        if (static_cast<Index>(token) >= n_symbols) {
            throw_token_out_of_range(token, &token - tokens.data(), n_symbols);
        }
    }
    const std::vector<std::uint64_t> target_keys =
        context_keys_.of_targets(tokens, targets, second_stream);
    target_tokens_.reserve(targets.size());
    for (const Index i : targets) target_tokens_.push_back(tokens[static_cast<std::size_t>(i)]);
    index_contexts(target_keys);
    group_targets();
}

// Numbers the contexts of the targets.
void ContextCounts::index_contexts(std::span<const std::uint64_t> target_keys) {
    constexpr std::size_t kAhead = 16;
    target_ids_.reserve(target_keys.size());
    for (std::size_t t = 0; t < target_keys.size(); ++t) {
        if (t + kAhead < target_keys.size()) contexts_.prefetch(target_keys[t + kAhead]);
        target_ids_.push_back(target_keys[t] == KeyTable::kNoKey
                                  ? KeyTable::kAbsent
                                  : contexts_.insert(target_keys[t]));
        if (static_cast<Index>(t) < n_leave_one_out_) n_left_out_contexts_ = contexts_.size();
    }
}

std::size_t ContextCounts::first_slot(std::size_t shard) const {
    const std::size_t n = contexts_.size();
    return shard * (n / kShards) + std::min(shard, n % kShards);
}

// Counting sort of the targets by the slot of their context.
void ContextCounts::group_targets() {
    const std::size_t n = contexts_.size();
    const auto slot = [&](std::uint32_t id) {
        return id == KeyTable::kAbsent ? n : first_slot(id % kShards) + id / kShards;
    };
    slot_begin_.assign(n + 2, 0);
    for (const std::uint32_t id : target_ids_) ++slot_begin_[slot(id) + 1];
    for (std::size_t s = 0; s + 1 < slot_begin_.size(); ++s) slot_begin_[s + 1] += slot_begin_[s];
    std::vector<Index> next(slot_begin_.begin(), slot_begin_.end() - 1);
    order_.resize(target_ids_.size());
    for (std::size_t t = 0; t < target_ids_.size(); ++t) {
        order_[static_cast<std::size_t>(next[slot(target_ids_[t])]++)] = static_cast<Index>(t);
    }
}

template <class Token>
void ContextCounts::count(std::span<const Token> training, Index first_event,
                          Index first_leave_one_out, int continuation_offset, Index max_events,
                          int threads) {
    require(continuation_offset >= 0 && continuation_offset <= kMaxOffset,
            "continuation_offset must lie in 0 .. 16");
    require(first_event >= 0, "first_event must not be negative");
    require(max_events > 0, "max_events must be positive");
    has_continuation_ = continuation_offset > 0;
    const Training<Token> stream{training, first_event, first_leave_one_out, continuation_offset,
                                 threads};
    if (stream.n_events() <= 0) return;
    if (stream.n_events() <= max_events) return count_shards(stream, 0, kShards);
    // There may be too many events to hold at once: count those of each shard, then read the
    // training stream once for every run of shards whose events fit.
    const std::vector<Index> sizes = events_by_shard(stream);
    for (std::uint32_t first = 0; first < kShards;) {
        std::uint32_t last = first + 1;
        Index total = sizes[first];
        while (last < kShards && total + sizes[last] <= max_events) total += sizes[last++];
        count_shards(stream, first, last);
        first = last;
    }
}

// Calls visit(position, context id, history) for the events of a task whose context is one of a
// target. The table is larger than the cache, so lookups are prefetched in groups.
template <class Token, class Visit>
void ContextCounts::for_known_events(const Training<Token>& training, Index task,
                                     Visit&& visit) const {
    constexpr int kAhead = 32;
    struct Event {
        std::uint64_t key;
        Index position, history;
    };
    std::array<Event, kAhead> events;
    int waiting = 0;
    auto look_up = [&] {
        for (int k = 0; k < waiting; ++k) {
            const std::uint32_t id = contexts_.find(events[k].key);
            if (id != KeyTable::kAbsent) visit(events[k].position, id, events[k].history);
        }
        waiting = 0;
    };
    context_keys_.for_events(training.tokens, training.first(task), training.last(task),
                             [&](Index i, std::uint64_t key, Index history) {
                                 contexts_.prefetch(key);
                                 events[waiting] = {key, i, history};
                                 if (++waiting == kAhead) look_up();
                             });
    look_up();
}

template <class Token>
std::vector<Index> ContextCounts::events_by_shard(const Training<Token>& training) const {
    std::vector<Index> sizes(kShards, 0);
    std::mutex mutex;
    parallel_for(training.n_tasks(), training.threads, [&](Index task) {
        std::vector<Index> of_task(kShards, 0);
        for_known_events(training, task,
                         [&](Index, std::uint32_t id, Index) { ++of_task[id % kShards]; });
        const std::lock_guard<std::mutex> lock(mutex);
        for (std::uint32_t p = 0; p < kShards; ++p) sizes[p] += of_task[p];
    });
    return sizes;
}

// Counts the events of shards [first_shard, last_shard): collects them by bin, and sorts and counts
// each bin.
template <class Token>
void ContextCounts::count_shards(const Training<Token>& training, std::uint32_t first_shard,
                                 std::uint32_t last_shard) {
    const std::uint32_t n_contexts = static_cast<std::uint32_t>(contexts_.size());
    last_shard = std::min(last_shard, std::max(n_contexts, first_shard));
    const std::uint32_t cuts = n_contexts * 2 <= kShards ? kShards / std::max(n_contexts, 1u) : 1;
    const Bins bins{first_shard, last_shard - first_shard, cuts};
    const EventLayout layout(context_keys_.vocabulary(), contexts_.size(),
                             training.continuation_offset);
    std::vector<EventList> events = collect_events(training, bins, layout);
    std::vector<Shard> counted(bins.size());
    parallel_for(bins.size(), training.threads,
                 [&](Index bin) { counted[bin] = count_bin(events[bin].take(), layout); });
    for (std::uint32_t p = 0; p < bins.n_shards; ++p) {
        Shard& shard = shards_[first_shard + p];
        if (cuts == 1) {
            shard = std::move(counted[p]);
            continue;
        }
        for (std::uint32_t cut = 0; cut < cuts; ++cut) shard.append(counted[p * cuts + cut]);
    }
}

template <class Token>
auto ContextCounts::collect_events(const Training<Token>& training, const Bins& bins,
                                   const EventLayout& layout) const -> std::vector<EventList> {
    std::vector<EventList> lists(bins.size());
    const auto tokens = training.tokens;
    const int offset = training.continuation_offset;
    parallel_for(training.n_tasks(), training.threads, [&](Index task) {
        BinWriter writer(lists);
        for_known_events(training, task, [&](Index i, std::uint32_t id, Index history) {
            const std::uint32_t shard = id % kShards;
            if (shard - bins.first_shard >= bins.n_shards) return;
            const std::uint32_t token = tokens[i];
            std::uint64_t event =
                std::uint64_t{id / kShards} << layout.token_bits | std::uint64_t{token};
            if (offset > 0) {
                const std::uint64_t continuation =
                    history >= offset ? static_cast<std::uint64_t>(tokens[i - offset])
                                      : layout.no_continuation;
                event = event << layout.continuation_bits | continuation;
            }
            event = event << 1 | static_cast<std::uint64_t>(i >= training.first_leave_one_out);
            writer.put(bins.bin(shard, token), event);
        });
        writer.finish();
    });
    return lists;
}

// Raw and continuation counts of every (context, token) of a bin.
auto ContextCounts::count_bin(std::vector<std::uint64_t> events, const EventLayout& layout)
    -> Shard {
    std::vector<std::uint64_t> buffer;
    radix_sort(events, buffer, 0, layout.bits());
    std::size_t distinct = 0;
    for (std::size_t k = 0; k < events.size(); ++k) {
        distinct += k == 0 || layout.follower(events[k]) != layout.follower(events[k - 1]);
    }
    Shard shard;
    shard.keys.reserve(distinct);
    shard.counts.reserve(distinct);
    if (layout.has_continuation()) shard.continuation_counts.reserve(distinct);
    for (std::size_t k = 0; k < events.size();) {
        const std::uint64_t follower = layout.follower(events[k]);
        const std::size_t begin = k;
        Count continuation = 0;
        Shard::LeftOut left_out{shard.keys.size(), 0, 0};
        while (k < events.size() && layout.follower(events[k]) == follower) {
            // The events of one continuation token; those of the leave-one-out part come last.
            const std::uint64_t first = events[k];
            Count occurrences = 0, occurrences_left_out = 0;
            for (; k < events.size() && events[k] >> 1 == first >> 1; ++k) {
                ++occurrences;
                occurrences_left_out += events[k] & 1;
            }
            left_out.count += occurrences_left_out;
            // Leaving out removes a continuation token if it removes all of its occurrences.
            const bool once = layout.counts_once(first);
            continuation += once ? 1 : occurrences;
            left_out.continuation_count +=
                once ? occurrences == occurrences_left_out : occurrences_left_out;
        }
        if (left_out.count > 0) shard.left_out.push_back(left_out);
        shard.keys.push_back(layout.shard_key(follower));
        shard.counts.push_back(k - begin);
        if (layout.has_continuation()) shard.continuation_counts.push_back(continuation);
    }
    return shard;
}

std::array<Count, 4> ContextCounts::counts_of_counts(bool continuation, bool left_out) const {
    std::array<Count, 4> numbers{};
    const std::size_t n_contexts = left_out ? n_left_out_contexts_ : contexts_.size();
    for (std::size_t s = 0; s < shards_.size(); ++s) {
        const Shard& shard = shards_[s];
        const auto& counts = continuation ? shard.continuation_counts : shard.counts;
        for (std::size_t k = 0; k < counts.size(); ++k) {
            const std::size_t context = (shard.keys[k] >> 32) * kShards + s;
            if (counts[k] <= 4 && context < n_contexts) ++numbers[counts[k] - 1];
        }
    }
    return numbers;
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                             \
    template ContextCounts::ContextCounts(std::span<const Token>, std::span<const Index>, Index, \
                                          Index, const Vocabulary&, const ContextPattern&,       \
                                          std::span<const std::uint32_t>);                       \
    template void ContextCounts::count(std::span<const Token>, Index, Index, int, Index, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
