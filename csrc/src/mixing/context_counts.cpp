#include "ngramstat/mixing/context_counts.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include "event_bins.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/simd.hpp"

namespace ngramstat {

namespace {

// Bins that are written at a time: few enough for the write buffers of all of them to fit the L2
// cache, and many enough for one of them to fit it, too.
constexpr std::uint32_t kBins = 512;

// Where the events of a shard go: to bins [first, first + mask], by their token and continuation
// token.
struct ShardBins {
    std::uint32_t first = 0, mask = 0;
};

// The events of a block, of whose contexts some targets are.
struct BlockEvents {
    std::array<std::uint32_t, ContextBlock::kSize> places, contexts;
    std::size_t size = 0;
    // As numbers, see EventLayout, and their bins.
    std::array<std::uint64_t, ContextBlock::kSize> numbers;
    std::array<std::uint32_t, ContextBlock::kSize> bins;
};

struct NumberLoop {
    template <int>
    static void run(BlockEvents& events, const ContextBlock& block, const ShardBins* shards,
                    const EventLayout& layout) {
        const std::uint32_t *tokens = block.tokens(), *continuations = block.continuations();
        const int context_bits = layout.context_bits, low_bits = layout.low_bits();
        const int continuation_bits = layout.continuation_bits;
        const std::uint32_t context_mask = (1u << context_bits) - 1;
        for (std::size_t k = 0; k < events.size; ++k) {
            const std::uint32_t place = events.places[k], context = events.contexts[k];
            const std::uint64_t low =
                std::uint64_t{tokens[place]} << continuation_bits | continuations[place];
            const ShardBins shard = shards[context >> context_bits];
            // Of a product with 2^32 over the golden ratio, the bits from 16 on.
            const std::uint32_t hash =
                (static_cast<std::uint32_t>(low) ^ static_cast<std::uint32_t>(low >> 32)) *
                    0x9e3779b9u >>
                16;
            events.bins[k] = shard.first + (hash & shard.mask);
            events.numbers[k] = std::uint64_t{context & context_mask} << low_bits | low;
        }
    }
};

// One pass: the bins [first, last) of contexts with hashes in [lowest, highest].
struct Pass {
    std::uint32_t first, last;
    std::uint64_t lowest = 0, highest = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace

template <class Token>
ContextCounts::ContextCounts(std::span<const Token> tokens, std::span<const Index> targets,
                             Index n_leave_one_out, Index second_stream,
                             const Vocabulary& vocabulary, const ContextPattern& pattern,
                             std::span<const std::uint32_t> class_maps, int threads)
    : context_keys_(vocabulary, pattern, class_maps), n_leave_one_out_(n_leave_one_out) {
    const Index n_targets = static_cast<Index>(targets.size());
    const Index n_tokens = static_cast<Index>(tokens.size());
    require(n_leave_one_out >= 0 && n_leave_one_out <= n_targets,
            "n_leave_one_out must not exceed the number of targets");
    require(second_stream >= 0 && second_stream <= n_tokens,
            "second_stream must lie inside the token stream");
    require(targets.size() < ContextIndex::kAbsent, "there are too many targets at once");
    std::vector<std::uint64_t> hashes;
    std::vector<std::uint32_t> with_context;
    hashes.reserve(targets.size());
    with_context.reserve(targets.size());
    target_tokens_.reserve(targets.size());
    ContextBlock block(context_keys_);
    Index t = 0, seen = 0;
    while (t < n_targets) {
        const Index first = targets[static_cast<std::size_t>(t)];
        require(first >= 0 && first < n_tokens, "targets must lie inside the token stream");
        const bool in_second = first >= second_stream;
        const Index end =
            std::min(first + ContextBlock::kSize, in_second ? n_tokens : second_stream);
        block.read(tokens, {.first = first,
                            .last = end,
                            .first_event = first,
                            .begin = in_second ? second_stream : 0});
        auto event = block.places().begin();
        const auto events_end = block.places().end();
        for (; t < n_targets && targets[static_cast<std::size_t>(t)] < end; ++t) {
            const Index target = targets[static_cast<std::size_t>(t)];
            require(target >= seen, "targets must ascend");
            seen = target;
            const std::uint32_t place = static_cast<std::uint32_t>(target - first);
            target_tokens_.push_back(block.tokens()[place]);
            require(static_cast<Index>(target_tokens_.back()) < vocabulary.size,
                    "a stop token cannot be scored");
            while (event != events_end && *event < place) ++event;
            if (event == events_end || *event != place) {
                targets_without_context_.push_back(t);
                continue;
            }
            hashes.push_back(block.hashes()[place]);
            with_context.push_back(static_cast<std::uint32_t>(t));
        }
    }
    index_ = ContextIndex(std::move(hashes), std::move(with_context), context_keys_.hash_bits(),
                          threads);
    while (index_.size() >> shard_bits_ >= kBins) ++shard_bits_;
    shards_.resize((index_.size() >> shard_bits_) + 1);
}

// Counts a training stream, in passes over it.
template <class Token>
class ContextCounts::Counter {
  public:
    Counter(ContextCounts& counts, std::span<const Token> training, const Counting& counting,
            std::span<const std::uint64_t> candidates, std::span<std::uint64_t> known)
        : counts_(counts),
          training_(training),
          counting_(counting),
          candidates_(candidates),
          known_(known) {}

    void run() {
        if (n_events() <= 0 || counts_.index_.size() == 0) return;
        plan();
        if (layout_.bits() <= 32) return count_all<std::uint32_t>();
        require(layout_.bits() < 64, "the vocabulary is too large for the counts of this pattern");
        count_all<std::uint64_t>();
    }

  private:
    static constexpr Index kTask = 1 << 19;  // positions of a task, of which one worker reads all

    // Memory of one worker.
    struct Reader {
        explicit Reader(const ContextKeys& keys) : block(keys) {}

        ContextBlock block;
        BlockEvents events;
        std::array<std::uint8_t, ContextBlock::kSize> is_known;  // by place
    };

    Index n_tokens() const { return static_cast<Index>(training_.size()); }
    Index n_events() const { return n_tokens() - counting_.first_event; }

    // Reads the block from `first` on, and finds the events whose context is one of a target's.
    void read_block(Reader& reader, Index first, const Pass& pass) const {
        ContextBlock& block = reader.block;
        BlockEvents& events = reader.events;
        events.size = 0;
        const Index last = std::min(first + ContextBlock::kSize, n_tokens());
        if (last <= counting_.first_event) return;
        block.read(training_,
                   {.first = first,
                    .last = last,
                    .first_event = counting_.first_event,
                    .continuation = counting_.continuation_offset},
                   candidates_);
        block.keep_hashes(pass.lowest, pass.highest);
        const auto places = block.places();
        counts_.index_.find(block.hashes(), places, events.contexts.data());
        std::size_t n = 0;
        for (std::size_t k = 0; k < places.size(); ++k) {
            const std::uint32_t context = events.contexts[k];
            events.places[n] = places[k];
            events.contexts[n] = context;
            n += context != ContextIndex::kAbsent;
        }
        events.size = n;
    }

    // Sets the bits of the known events of a block.
    void write_known(Reader& reader, Index first) const {
        reader.is_known.fill(0);
        const BlockEvents& events = reader.events;
        for (std::size_t k = 0; k < events.size; ++k) reader.is_known[events.places[k]] = 1;
        const Index last = std::min(first + ContextBlock::kSize, n_tokens());
        std::size_t place = 0;
        for (Index i = first; i < last; i += 64) {
            std::uint64_t word = 0;
            for (int byte = 0; byte < 8; ++byte, place += 8) {
                // The lowest bits of eight bytes, gathered by a product.
                std::uint64_t eight = 0;
                for (std::size_t k = 0; k < 8; ++k) {
                    eight |= std::uint64_t{reader.is_known[place + k]} << 8 * k;
                }
                word |= (eight * 0x0102040810204080ULL >> 56) << 8 * byte;
            }
            known_[static_cast<std::size_t>(i / 64)] |= word;
        }
    }

    // Estimates, from some blocks of the stream, how many events each group of contexts has.
    std::vector<double> estimate_events(int group_bits) const {
        constexpr Index kMinBlocks = 64, kFraction = 64, kBlocksOfTask = 16;
        const Index n_blocks = (n_tokens() + ContextBlock::kSize - 1) / ContextBlock::kSize;
        const Index n_read = std::min(n_blocks, std::max(kMinBlocks, n_blocks / kFraction));
        std::vector<Count> events((counts_.index_.size() >> group_bits) + 1, 0);
        std::mutex mutex;
        parallel_with((n_read + kBlocksOfTask - 1) / kBlocksOfTask, counting_.threads,
                      [&] { return Reader(counts_.context_keys_); },
                      [&](Index task, Reader& reader) {
                          const Index last = std::min((task + 1) * kBlocksOfTask, n_read);
                          for (Index k = task * kBlocksOfTask; k < last; ++k) {
                              read_block(reader, k * n_blocks / n_read * ContextBlock::kSize,
                                         Pass{});
                              const std::lock_guard<std::mutex> lock(mutex);
                              for (std::size_t j = 0; j < reader.events.size; ++j) {
                                  ++events[reader.events.contexts[j] >> group_bits];
                              }
                          }
                      });
        std::vector<double> scaled(events.size());
        for (std::size_t g = 0; g < events.size(); ++g) {
            scaled[g] = static_cast<double>(events[g]) * static_cast<double>(n_blocks) /
                        static_cast<double>(n_read);
        }
        return scaled;
    }

    // Chooses shards, their bins and the layout of events.
    void plan() {
        constexpr int kGroupBits = 16;
        constexpr double kMinBin = 4096.0;
        const std::size_t n = counts_.index_.size();
        const int group_bits = std::max(0, bit_width(n) - kGroupBits);
        const std::vector<double> groups = estimate_events(group_bits);
        double total = 0.0;
        for (const double events : groups) total += events;
        const Vocabulary& vocabulary = counts_.context_keys_.vocabulary();
        const std::uint64_t n_symbols = static_cast<std::uint64_t>(vocabulary.n_symbols());
        layout_.token_bits =
            bit_width(static_cast<std::uint64_t>(std::max<Index>(vocabulary.size - 1, 1)));
        if (counting_.continuation_offset > 0) {
            layout_.continuation_bits = bit_width(n_symbols);
        }
        layout_.no_continuation = static_cast<std::uint32_t>(n_symbols);
        const double capacity = static_cast<double>(counting_.max_events) *
                                (counting_.continuation_offset > 0 ? 1.0 : 2.0);
        const double n_passes = std::ceil(total / (kFill * capacity));
        const double n_bins = kBins * std::min(std::max(n_passes, 1.0), 64.0);
        int bits = group_bits;
        while (static_cast<double>(n >> bits) >= n_bins) ++bits;
        layout_.context_bits = bits;
        counts_.shard_bits_ = bits;
        counts_.shards_.assign(((n - 1) >> bits) + 1, ContextFollowers());
        // A shard with many events, such as that of a frequent context, is cut.
        const double max_bin = std::max(std::min(8.0 * total / n_bins, capacity / 16.0), kMinBin);
        std::vector<double> events(counts_.shards_.size(), 0.0);
        for (std::size_t g = 0; g < groups.size(); ++g) {
            const std::size_t shard = g >> (bits - group_bits);
            if (shard < events.size()) events[shard] += groups[g];
        }
        for (const double of_shard : events) {
            const std::uint32_t cuts =
                std::bit_ceil(static_cast<std::uint32_t>(std::max(of_shard / max_bin, 1.0)));
            bins_.push_back({static_cast<std::uint32_t>(bin_events_.size()), cuts - 1});
            bin_events_.insert(bin_events_.end(), cuts, of_shard / cuts);
        }
    }

    // The pass over the bins from `first` on.
    Pass next_pass(std::uint32_t first, double capacity) const {
        Pass pass{first, first};
        double events = 0.0;
        const std::uint32_t n_bins = static_cast<std::uint32_t>(bin_events_.size());
        while (pass.last < n_bins && pass.last - first < kBins) {
            events += bin_events_[pass.last];
            if (pass.last > first && events > kFill * capacity) break;
            ++pass.last;
        }
        if (first == 0 && pass.last == n_bins) return pass;
        const std::size_t last_shard = shard_of(pass.last - 1);
        pass.lowest = counts_.index_.hash(counts_.first_context(shard_of(first)));
        pass.highest = counts_.index_.hash(counts_.first_context(last_shard + 1) - 1);
        return pass;
    }

    std::size_t shard_of(std::uint32_t bin) const {
        const auto after = std::upper_bound(
            bins_.begin(), bins_.end(), bin,
            [](std::uint32_t b, const ShardBins& shard) { return b < shard.first; });
        return static_cast<std::size_t>(after - bins_.begin()) - 1;
    }

    template <class Event>
    void count_all() {
        const std::size_t words =
            std::min(static_cast<std::size_t>(counting_.max_events),
                     EventBins<Event>::words(static_cast<std::size_t>(n_events()), kBins,
                                             counting_.threads));
        std::vector<std::uint64_t, HugePageAllocator<std::uint64_t>> memory(words);
        const std::span<Event> events(reinterpret_cast<Event*>(memory.data()),
                                      words * sizeof(std::uint64_t) / sizeof(Event));
        for (std::uint32_t first = 0; first < bin_events_.size();) {
            const Pass pass = next_pass(first, static_cast<double>(events.size()));
            EventBins<Event> bins(pass.last - pass.first, events, counting_.threads);
            collect(bins, pass);
            count_bins(bins, first);
            first += bins.end();
        }
    }

    // Writes the events of a pass to their bins.
    template <class Event>
    void collect(EventBins<Event>& bins, const Pass& pass) {
        using Writer = typename EventBins<Event>::Writer;
        struct Worker {
            Reader reader;
            Writer& writer;
        };
        std::mutex mutex;
        std::vector<std::unique_ptr<Writer>> writers;
        const Index n_tasks = (n_tokens() + kTask - 1) / kTask;
        const auto make_worker = [&] {
            auto writer = std::make_unique<Writer>(bins);
            Writer& kept = *writer;
            const std::lock_guard<std::mutex> lock(mutex);
            writers.push_back(std::move(writer));
            return Worker{Reader(counts_.context_keys_), kept};
        };
        parallel_with(n_tasks, counting_.threads, make_worker, [&](Index task, Worker& worker) {
            const Index last = std::min((task + 1) * kTask, n_tokens());
            for (Index first = task * kTask; first < last; first += ContextBlock::kSize) {
                read_block(worker.reader, first, pass);
                if (!known_.empty()) write_known(worker.reader, first);
                write_events<Event>(worker.reader, first, pass, worker.writer);
            }
        });
        for (const auto& writer : writers) writer->finish();
    }

    template <class Event>
    void write_events(Reader& reader, Index block_first, const Pass& pass,
                      typename EventBins<Event>::Writer& writer) const {
        BlockEvents& events = reader.events;
        number_(events, reader.block, bins_.data(), layout_);
        const std::uint32_t first_left_out = static_cast<std::uint32_t>(
            std::clamp<Index>(counting_.first_leave_one_out - block_first, 0, ContextBlock::kSize));
        const std::uint32_t n_bins = pass.last - pass.first;
        for (std::size_t k = 0; k < events.size; ++k) {
            const std::uint32_t bin = events.bins[k] - pass.first;
            if (bin >= n_bins) continue;
            writer.put(bin, events.places[k] >= first_left_out,
                       static_cast<Event>(events.numbers[k]));
        }
    }

    // Counts the bins of a pass, whose first one is number `first`, and adds them to their shards.
    template <class Event>
    void count_bins(const EventBins<Event>& bins, std::uint32_t first) {
        const std::size_t n_contexts = std::size_t{1} << layout_.context_bits;
        const Index vocab_size = counts_.context_keys_.vocabulary().size;
        std::vector<ContextFollowers> counted(bins.end());
        parallel_with(
            bins.end(), counting_.threads,
            [&] { return FollowerCounter<Event>(layout_, vocab_size, n_contexts); },
            [&](Index task, FollowerCounter<Event>& counter) {
                const std::uint32_t bin = static_cast<std::uint32_t>(task);
                counted[bin] = counter.count(bins.pieces(bin, false), bins.pieces(bin, true));
            });
        const std::size_t first_shard = shard_of(first);
        const std::size_t last_shard = shard_of(first + bins.end() - 1);
        parallel_for(static_cast<Index>(last_shard - first_shard + 1), counting_.threads,
                     [&](Index task) {
                         const std::size_t shard = first_shard + static_cast<std::size_t>(task);
                         add_to_shard(shard, counted, first);
                     });
    }

    // Adds the bins of a shard, of which a pass has counted some.
    void add_to_shard(std::size_t shard, std::span<ContextFollowers> counted, std::uint32_t first) {
        const std::uint32_t n_counted = static_cast<std::uint32_t>(counted.size());
        const ShardBins bins = bins_[shard];
        ContextFollowers& followers = counts_.shards_[shard];
        if (bins.mask == 0) {
            followers = std::move(counted[bins.first - first]);
            return;
        }
        std::vector<ContextFollowers> parts{std::move(followers)};
        const std::uint32_t begin = std::max(bins.first, first) - first;
        const std::uint32_t end = std::min(bins.first + bins.mask + 1 - first, n_counted);
        for (std::uint32_t bin = begin; bin < end; ++bin) parts.push_back(std::move(counted[bin]));
        followers = sum_followers(parts, std::size_t{1} << layout_.context_bits,
                                  counts_.context_keys_.vocabulary().size);
    }

    // The part of the memory that is planned to be filled: estimates may be too low.
    static constexpr double kFill = 0.9;

    ContextCounts& counts_;
    std::span<const Token> training_;
    const Counting counting_;
    std::span<const std::uint64_t> candidates_;
    std::span<std::uint64_t> known_;
    decltype(&NumberLoop::run<16>) number_ = built_for_level<NumberLoop>();
    EventLayout layout_;
    std::vector<ShardBins> bins_;     // by shard
    std::vector<double> bin_events_;  // by bin, estimated
};

template <class Token>
void ContextCounts::count(std::span<const Token> training, const Counting& counting,
                          std::span<const std::uint64_t> candidates,
                          std::span<std::uint64_t> known) {
    require(counting.continuation_offset >= 0 && counting.continuation_offset <= kMaxOffset,
            "continuation_offset must lie in 0 .. 16");
    require(counting.first_event >= 0, "first_event must not be negative");
    require(counting.max_events > 0, "max_events must be positive");
    const std::size_t words = (training.size() + 63) / 64;
    require(candidates.empty() || candidates.size() == words,
            "candidates must have one bit per training token");
    require(known.empty() || known.size() == words, "known must have one bit per training token");
    has_continuation_ = counting.continuation_offset > 0;
    std::fill(known.begin(), known.end(), std::uint64_t{0});
    Counter<Token>(*this, training, counting, candidates, known).run();
}

void ContextCounts::take(const FollowerTable& table, bool has_continuation, int threads) {
    require(table.begins.size() == index_.size() + 1, "followers of other contexts");
    has_continuation_ = has_continuation;
    parallel_for(static_cast<Index>(shards_.size()), threads, [&](Index task) {
        const std::size_t s = static_cast<std::size_t>(task);
        const std::size_t first = first_context(s), last = first_context(s + 1);
        const Index begin = table.begins[first], end = table.begins[last];
        const auto part = [&](const std::vector<std::uint32_t>& values) {
            if (values.empty()) return std::vector<std::uint32_t>();
            return std::vector<std::uint32_t>(values.begin() + begin, values.begin() + end);
        };
        ContextFollowers& shard = shards_[s];
        shard = {{}, part(table.tokens), part(table.counts), part(table.continuation_counts), {}};
        shard.begins.assign((std::size_t{1} << shard_bits_) + 1,
                            static_cast<std::uint32_t>(end - begin));
        for (std::size_t context = first; context < last; ++context) {
            shard.begins[context - first] =
                static_cast<std::uint32_t>(table.begins[context] - begin);
        }
        for (Index k = begin; k < end; ++k) {
            const std::size_t at = static_cast<std::size_t>(k);
            if (table.left_out[at] == 0) continue;
            shard.left_out.push_back({static_cast<std::uint32_t>(k - begin), table.left_out[at],
                                      has_continuation ? table.continuation_left_out[at] : 0});
        }
    });
}

std::array<Count, 4> ContextCounts::counts_of_counts(bool continuation, bool left_out,
                                                     int threads) const {
    std::array<Count, 4> numbers{};
    const auto targets = index_.targets();
    const auto begins = index_.target_begins();
    std::mutex mutex;
    parallel_for(static_cast<Index>(shards_.size()), threads, [&](Index task) {
        const std::size_t s = static_cast<std::size_t>(task);
        const ContextFollowers& shard = shards_[s];
        const auto& counts = continuation ? shard.continuation_counts : shard.counts;
        const std::size_t first = first_context(s), last = first_context(s + 1);
        std::array<Count, 4> of_shard{};
        for (std::size_t context = first; context < last && !counts.empty(); ++context) {
            // The targets of a context ascend, and those scored leave-one-out are the first.
            if (left_out && targets[static_cast<std::size_t>(begins[context])] >= n_leave_one_out_)
                continue;
            for (std::size_t k = shard.first(context - first); k < shard.last(context - first);
                 ++k) {
                if (counts[k] <= 4) ++of_shard[counts[k] - 1];
            }
        }
        const std::lock_guard<std::mutex> lock(mutex);
        for (std::size_t k = 0; k < 4; ++k) numbers[k] += of_shard[k];
    });
    return numbers;
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                             \
    template ContextCounts::ContextCounts(std::span<const Token>, std::span<const Index>, Index, \
                                          Index, const Vocabulary&, const ContextPattern&,       \
                                          std::span<const std::uint32_t>, int);                  \
    template void ContextCounts::count(std::span<const Token>, const Counting&,                  \
                                       std::span<const std::uint64_t>, std::span<std::uint64_t>);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
