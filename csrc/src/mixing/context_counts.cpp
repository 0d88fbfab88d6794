#include "ngramstat/mixing/context_counts.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <mutex>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/simd.hpp"

namespace ngramstat {

namespace {

constexpr std::uint32_t kParts = 512;  // few enough for buffers of all of them in the L2 cache
constexpr Index kBlock = 1 << 18;      // training positions of one task

// Contexts before those of a part, of n in all, where they go by part (id modulo kParts), then by
// id.
std::size_t first_of_part(std::size_t part, std::size_t n) {
    return part * (n / kParts) + std::min(part, n % kParts);
}

// Least-significant-digit radix sort by bits [first, last); the result is in `keys`. Bits above
// must be zero, and bits below ascend already where these are equal.
void sort_keys(std::vector<std::uint64_t>& keys, std::vector<std::uint64_t>& buffer, int first,
               int last) {
    constexpr int kDigit = 8;
    constexpr std::size_t kSmall = 256;
    if (keys.size() <= kSmall) {
        std::sort(keys.begin(), keys.end());
        return;
    }
    buffer.resize(keys.size());
    for (int shift = first; shift < last; shift += kDigit) {
        std::array<std::size_t, (1 << kDigit) + 1> start{};
        for (const std::uint64_t key : keys) ++start[(key >> shift & 0xff) + 1];
        for (std::size_t d = 0; d < 1 << kDigit; ++d) start[d + 1] += start[d];
        for (const std::uint64_t key : keys) buffer[start[key >> shift & 0xff]++] = key;
        keys.swap(buffer);
    }
}

// Size of a node's count in its packed_logits: 1 .. 15.
constexpr std::uint8_t size_of(Count n) {
    constexpr std::array<Count, 14> kLast{1,  2,  3,   5,   8,    12,   20,
                                          36, 70, 150, 400, 1500, 8000, 60000};
    return static_cast<std::uint8_t>(
        1 + (std::lower_bound(kLast.begin(), kLast.end(), n) - kLast.begin()));
}

constexpr auto kSizes = [] {
    std::array<std::uint8_t, 512> sizes{};
    for (std::size_t n = 0; n < sizes.size(); ++n) sizes[n] = size_of(n);
    return sizes;
}();

std::uint8_t bucket_of(Count taken, Count other, bool seen) {
    const Count n = taken + other;
    if (n == 0) return seen ? kBuckets / 2 : 0;
    const std::uint8_t size = n < kSizes.size() ? kSizes[n] : size_of(n);
    return static_cast<std::uint8_t>(size + (taken == 0 || other == 0 ? kBuckets / 2 : 0));
}

constexpr std::size_t kVector = 8;

// PackedLogits of n decisions, a multiple of kVector: ln(odds[k]) to a few 1e-7 (atanh series about
// the nearest power of two), far below its unit, without a call. Operations of single elements in
// one order, whatever the vector width: bit-identical over instruction sets.
struct Pack {
    template <int>
    static void run(const float* odds, const std::int32_t* bucket, std::int32_t* packed_logits,
                    std::size_t n) {
        constexpr std::int32_t kLargest = (1 << (15 - kBucketBits)) - 1;
        constexpr std::int32_t kHalf = 0x3f3504f3;                    // sqrt(1/2)
        constexpr std::int32_t kMin = 0x322bcc77, kMax = 0x4cbebc20;  // 1e-8, 1e8
        n = n / kVector * kVector;
        for (std::size_t k = 0; k < n; ++k) {
            // Bits of positive numbers are ordered as they are; infinity and NaN come last.
            const std::int32_t x = std::bit_cast<std::int32_t>(odds[k]);
            const std::int32_t bits = std::clamp(x, kMin, kMax) - kHalf;
            const float power = static_cast<float>(bits >> 23);
            const float m = std::bit_cast<float>((bits & 0x7fffff) + kHalf);
            const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
            const float tail = s2 * (2.0f / 5 + s2 * (2.0f / 7 + s2 * (2.0f / 9)));
            const float series = s * (2.0f + s2 * (2.0f / 3 + tail));
            const float value =
                (power * 0.693147181f + series) * static_cast<float>(1.0 / kLogitUnit);
            // Rounded to nearest: in the bits of 1.5 * 2^23 + value.
            const std::int32_t stretch =
                std::bit_cast<std::int32_t>(value + 12582912.0f) - 0x4b400000;
            packed_logits[k] =
                std::clamp(stretch, -kLargest, kLargest) * (1 << kBucketBits) + bucket[k];
        }
    }
};

// Events in blocks of one size: a vector would leave up to half of its room empty as it grows.
class EventList {
  public:
    void append(std::span<const std::uint64_t> events) {
        constexpr std::size_t kRoom = 4096;
        if (blocks_.empty() || blocks_.back().size() + events.size() > kRoom) {
            blocks_.emplace_back();
            blocks_.back().reserve(kRoom);
        }
        blocks_.back().insert(blocks_.back().end(), events.begin(), events.end());
    }
    // All of them in one piece; the list is empty afterwards.
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
    std::vector<std::vector<std::uint64_t>> blocks_;
};

// One node on the way down: leaves [a, b), parted at m.
struct Walk {
    std::uint32_t node = 0, a = 0, b = 0, m = 0;
    bool right = false;

    Walk(const TokenTree& tree, std::uint32_t leaf)
        : b(static_cast<std::uint32_t>(tree.leaf_of.size())) {
        look(tree, leaf);
    }
    bool done() const { return b - a <= 1; }
    void down(const TokenTree& tree, std::uint32_t leaf) {
        if (right) {
            node += m - a;
            a = m;
        } else {
            ++node;
            b = m;
        }
        look(tree, leaf);
    }

  private:
    void look(const TokenTree& tree, std::uint32_t leaf) {
        if (done()) return;
        m = tree.split[node];
        right = leaf >= m;
    }
};

}  // namespace

void check_tree(const TokenTree& tree) {
    const std::size_t n = tree.leaf_of.size();
    require(n >= 1 && n < KeyTable::kAbsent, "a tree needs at least one token");
    require(tree.split.size() == n - 1, "a tree of V tokens has V - 1 inner nodes");
    std::vector<bool> seen(n, false);
    for (const std::uint32_t leaf : tree.leaf_of) {
        require(leaf < n && !seen[leaf], "leaf_of must be a permutation");
        seen[leaf] = true;
    }
    struct Range {
        std::size_t a, b;
    };
    std::vector<Range> open{{0, n}};
    std::size_t node = 0;
    while (!open.empty()) {
        const Range range = open.back();
        open.pop_back();
        if (range.b - range.a <= 1) continue;
        const std::size_t m = tree.split[node++];
        require(m > range.a && m < range.b, "a split must lie inside the leaves of its node");
        open.push_back({m, range.b});
        open.push_back({range.a, m});
    }
}

std::vector<std::uint32_t> path_lengths(const TokenTree& tree) {
    check_tree(tree);
    std::vector<std::uint32_t> lengths(tree.leaf_of.size(), 0);
    for (std::size_t token = 0; token < lengths.size(); ++token) {
        const std::uint32_t leaf = tree.leaf_of[token];
        for (Walk walk(tree, leaf); !walk.done(); walk.down(tree, leaf)) ++lengths[token];
    }
    return lengths;
}

template <class Token>
ContextCounts::ContextCounts(std::span<const Token> text, std::span<const Index> targets,
                             Index leave_one_out, Index vocab_size, const ContextPattern& pattern,
                             std::span<const std::uint32_t> class_maps, Index n_symbols,
                             Index stop_token)
    : pattern_(pattern),
      vocab_size_(vocab_size),
      n_symbols_(n_symbols),
      stop_token_(stop_token),
      held_in_(leave_one_out),
      parts_(kParts) {
    require(vocab_size >= 1 && vocab_size < KeyTable::kAbsent, "vocab_size must be at least 1");
    require(leave_one_out >= 0 && leave_one_out <= static_cast<Index>(targets.size()),
            "leave_one_out must lie between 0 and the number of targets");
    require(pattern.maps.size() == pattern.offsets.size(), "one map per offset");
    require(n_symbols == vocab_size_ || (n_symbols == vocab_size_ + 1 && stop_token == vocab_size_),
            "n_symbols must be the vocabulary's size, or one more for a stop token");
    require(stop_token >= -1 && stop_token < n_symbols, "stop_token must be -1 or a symbol");
    const Index n_maps = static_cast<Index>(class_maps.size()) / n_symbols;
    require(n_maps * n_symbols == static_cast<Index>(class_maps.size()),
            "class_maps must be (n_maps, n_symbols)");
    int bits = 0;
    for (std::size_t j = 0; j < pattern.offsets.size(); ++j) {
        require(pattern.offsets[j] >= 1 && pattern.offsets[j] <= kMaxOffset,
                "offsets must lie in 1 .. 16");
        require(pattern.maps[j] >= -1 && pattern.maps[j] < n_maps, "there is no such class map");
        reach_ = std::max<Index>(reach_, pattern.offsets[j]);
        std::uint64_t largest = static_cast<std::uint64_t>(n_symbols - 1);
        symbols_.emplace_back();
        if (pattern.maps[j] >= 0) {
            const auto map =
                class_maps.subspan(static_cast<std::size_t>(pattern.maps[j] * n_symbols),
                                   static_cast<std::size_t>(n_symbols));
            symbols_.back().assign(map.begin(), map.end());
            largest = *std::max_element(map.begin(), map.end());
        }
        bits_.push_back(static_cast<int>(std::bit_width(largest)));
        bits += bits_.back();
    }
    packed_ = bits < 64;
    for (const Token token : text) {
        if (static_cast<Index>(token) >= n_symbols) {
            throw_token_out_of_range(token, &token - text.data(), n_symbols);
        }
    }
    target_tokens_.reserve(targets.size());
    std::vector<std::uint64_t> keys(targets.size(), KeyTable::kNoKey);
    Index seen = 0, last_stop = -1;
    for (const Index i : targets) {
        require(i >= 0 && i < static_cast<Index>(text.size()), "targets must lie inside the text");
        require(i >= seen, "targets must ascend");
        for (; seen < i; ++seen) {
            if (static_cast<Index>(text[seen]) == stop_token_) last_stop = seen;
        }
        require(static_cast<Index>(text[i]) < vocab_size_, "a stop token cannot be scored");
        const Index known = stop_token_ < 0 || last_stop < 0 ? i : i - last_stop;
        if (known >= reach_) keys[target_tokens_.size()] = key_at(text, i);
        target_tokens_.push_back(text[i]);
    }
    constexpr std::size_t kAhead = 16;
    target_ids_.reserve(targets.size());
    for (std::size_t t = 0; t < keys.size(); ++t) {
        if (t + kAhead < keys.size()) contexts_.prefetch(keys[t + kAhead]);
        target_ids_.push_back(keys[t] == KeyTable::kNoKey ? KeyTable::kAbsent
                                                          : contexts_.insert(keys[t]));
    }
    order_targets();
}

void ContextCounts::order_targets() {
    const std::size_t n = contexts_.size();
    const auto slot = [&](std::uint32_t id) {
        return id == KeyTable::kAbsent ? n : first_of_part(id % kParts, n) + id / kParts;
    };
    offsets_.assign(n + 2, 0);
    for (const std::uint32_t id : target_ids_) ++offsets_[slot(id) + 1];
    for (std::size_t s = 0; s + 1 < offsets_.size(); ++s) offsets_[s + 1] += offsets_[s];
    std::vector<Index> next(offsets_.begin(), offsets_.end() - 1);
    order_.resize(target_ids_.size());
    for (std::size_t t = 0; t < target_ids_.size(); ++t) {
        order_[static_cast<std::size_t>(next[slot(target_ids_[t])]++)] = static_cast<Index>(t);
    }
}

template <class Token>
std::uint64_t ContextCounts::key_at(std::span<const Token> text, Index position) const {
    std::uint64_t key = 0;
    for (std::size_t j = 0; j < pattern_.offsets.size(); ++j) {
        const Token token = text[static_cast<std::size_t>(position - pattern_.offsets[j])];
        const std::uint64_t symbol = symbols_[j].empty() ? token : symbols_[j][token];
        // A hash of 64 bits takes two of n contexts for one with a probability below n^2 / 2^65.
        key = packed_ ? key << bits_[j] | symbol : mix_bits(key + symbol + 0x9e3779b97f4a7c15ULL);
    }
    return packed_ ? key : key >> 1;  // never KeyTable::kNoKey
}

template <class Token, class Visit>
void ContextCounts::scan_keys(std::span<const Token> training, Index first, Index last,
                              Visit&& visit) const {
    Index last_stop = -1;
    bool stopped = false;
    // A stop token reaches into the contexts of the kMaxOffset positions after it.
    for (Index i = std::max<Index>(0, first - kMaxOffset); i < first; ++i) {
        if (static_cast<Index>(training[i]) == stop_token_) last_stop = i, stopped = true;
    }
    for (Index i = first; i < last; ++i) {
        const Index token = static_cast<Index>(training[i]);
        if (token >= n_symbols_) throw_token_out_of_range(training[i], i, n_symbols_);
        const Index known = stopped ? i - last_stop : i;
        if (token == stop_token_) last_stop = i, stopped = true;
        if (token < vocab_size_ && known >= reach_) visit(i, key_at(training, i), known);
    }
}

template <class Token, class Visit>
void ContextCounts::scan(std::span<const Token> training, Index first, Index last,
                         Visit&& visit) const {
    constexpr int kAhead = 32;
    struct Event {
        std::uint64_t key;
        Index position, known;
    };
    std::array<Event, kAhead> events;
    int waiting = 0;
    auto flush = [&] {
        for (int k = 0; k < waiting; ++k) {
            const std::uint32_t id = contexts_.find(events[k].key);
            if (id != KeyTable::kAbsent) visit(events[k].position, id, events[k].known);
        }
        waiting = 0;
    };
    scan_keys(training, first, last, [&](Index i, std::uint64_t key, Index known) {
        contexts_.prefetch(key);
        events[waiting] = {key, i, known};
        if (++waiting == kAhead) flush();
    });
    flush();
}

template <class Token>
void ContextCounts::count(std::span<const Token> training, Index first_event,
                          Index first_leave_one_out, int extra_offset, Index max_entries,
                          int threads) {
    require(extra_offset >= 0 && extra_offset <= kMaxOffset, "extra_offset must lie in 0 .. 16");
    require(first_event >= 0, "first_event must not be negative");
    require(max_entries > 0, "max_entries must be positive");
    has_lower_ = extra_offset > 0;
    const Index events = static_cast<Index>(training.size()) - first_event;
    if (events <= 0) return;
    if (events <= max_entries) {
        count_range(training, first_event, first_leave_one_out, extra_offset, 0, kParts, threads);
        return;
    }
    // Too many to hold at once if all of them match: count how many there are of each part.
    std::vector<Index> sizes(kParts + 1, 0);
    std::mutex mutex;
    parallel_for((events + kBlock - 1) / kBlock, threads, [&](Index task) {
        std::vector<Index> mine(kParts, 0);
        const Index first = first_event + task * kBlock;
        scan(training, first, std::min<Index>(first + kBlock, static_cast<Index>(training.size())),
             [&](Index, std::uint32_t id, Index) { ++mine[id % kParts]; });
        const std::lock_guard<std::mutex> lock(mutex);
        for (std::uint32_t p = 0; p < kParts; ++p) sizes[p] += mine[p];
    });
    for (std::uint32_t first = 0; first < kParts;) {
        std::uint32_t last = first + 1;
        Index total = sizes[first];
        while (last < kParts && total + sizes[last] <= max_entries) total += sizes[last++];
        count_range(training, first_event, first_leave_one_out, extra_offset, first, last, threads);
        first = last;
    }
}

template <class Token>
void ContextCounts::count_range(std::span<const Token> training, Index first_event,
                                Index first_leave_one_out, int extra_offset,
                                std::uint32_t first_part, std::uint32_t last_part, int threads) {
    constexpr std::size_t kChunk = 128;  // events a task keeps of a bin before it hands them over
    const Index events = static_cast<Index>(training.size()) - first_event;
    const std::uint32_t n_contexts = static_cast<std::uint32_t>(contexts_.size());
    last_part = std::min(last_part, std::max(n_contexts, first_part));
    const std::uint32_t n_parts = last_part - first_part;
    // Parts of few contexts, which would be large, are cut by token: they are of one context each.
    const std::uint32_t cuts = n_contexts * 2 <= kParts ? kParts / std::max(n_contexts, 1u) : 1;
    const std::uint32_t n_bins = n_parts * cuts;
    // An event is one number: id / kParts, token, neighbour (n_symbols_: there is none), held in.
    const int token_bits = std::bit_width(static_cast<std::uint64_t>(vocab_size_ - 1));
    const int id_bits = std::bit_width(contexts_.size() / kParts);
    const int extra_bits =
        extra_offset > 0 ? std::bit_width(static_cast<std::uint64_t>(n_symbols_)) : 0;
    require(token_bits + id_bits + extra_bits + 1 <= 64,
            "the vocabulary is too large for the counts of this pattern");
    std::vector<EventList> gathered(n_bins);
    std::vector<std::mutex> locks(n_bins);
    parallel_for((events + kBlock - 1) / kBlock, threads, [&](Index task) {
        std::vector<std::uint64_t> chunks(n_bins * kChunk);
        std::vector<std::uint32_t> filled(n_bins, 0);
        auto hand_over = [&](std::uint32_t bin) {
            const std::lock_guard<std::mutex> lock(locks[bin]);
            gathered[bin].append({chunks.data() + bin * kChunk, filled[bin]});
            filled[bin] = 0;
        };
        const Index first = first_event + task * kBlock;
        scan(training, first, std::min<Index>(first + kBlock, static_cast<Index>(training.size())),
             [&](Index i, std::uint32_t id, Index known) {
                 const std::uint32_t p = id % kParts - first_part;
                 if (p >= n_parts) return;
                 std::uint64_t event =
                     std::uint64_t{id / kParts} << token_bits | std::uint64_t{training[i]};
                 if (extra_offset > 0) {
                     const std::uint64_t extra =
                         known >= extra_offset
                             ? static_cast<std::uint64_t>(training[i - extra_offset])
                             : static_cast<std::uint64_t>(n_symbols_);
                     event = event << extra_bits | extra;
                 }
                 event = event << 1 | static_cast<std::uint64_t>(i >= first_leave_one_out);
                 const std::uint32_t bin =
                     p * cuts + static_cast<std::uint32_t>(training[i]) % cuts;
                 chunks[bin * kChunk + filled[bin]] = event;
                 if (++filled[bin] == kChunk) hand_over(bin);
             });
        for (std::uint32_t bin = 0; bin < n_bins; ++bin) hand_over(bin);
    });
    std::vector<Part> counted(n_bins);
    parallel_for(n_bins, threads, [&](Index bin) {
        std::vector<std::uint64_t> events_here = gathered[bin].take();
        std::vector<std::uint64_t> buffer;
        sort_keys(events_here, buffer, 0, token_bits + id_bits + extra_bits + 1);
        Part& part = counted[bin];
        const int key_shift = extra_bits + 1;
        std::size_t distinct = 0;
        for (std::size_t k = 0; k < events_here.size(); ++k) {
            distinct += k == 0 || events_here[k] >> key_shift != events_here[k - 1] >> key_shift;
        }
        part.keys.reserve(distinct);
        part.counts.reserve(distinct);
        if (extra_offset > 0) part.lower_counts.reserve(distinct);
        const std::uint64_t token_mask = (std::uint64_t{1} << token_bits) - 1;
        const std::uint64_t extra_mask = (std::uint64_t{1} << extra_bits) - 1;
        for (std::size_t k = 0; k < events_here.size();) {
            const std::uint64_t key = events_here[k] >> key_shift;
            const std::size_t begin = k;
            Count leave_one_out = 0, lower = 0, held_in_lower = 0;
            while (k < events_here.size() && events_here[k] >> key_shift == key) {
                // One neighbour after the other; its held-in events come last.
                const std::uint64_t neighbour = events_here[k] >> 1;
                Count here = 0, held_in_here = 0;
                for (; k < events_here.size() && events_here[k] >> 1 == neighbour; ++k) {
                    ++here;
                    held_in_here += events_here[k] & 1;
                }
                leave_one_out += held_in_here;
                const bool single = extra_offset > 0 && (neighbour & extra_mask) !=
                                                            static_cast<std::uint64_t>(n_symbols_);
                lower += single ? 1 : here;
                held_in_lower += single ? here == held_in_here : held_in_here;
            }
            if (leave_one_out > 0)
                part.leave_one_out.push_back({part.keys.size(), leave_one_out, held_in_lower});
            part.keys.push_back(key >> token_bits << 32 | (key & token_mask));
            part.counts.push_back(k - begin);
            if (extra_offset > 0) part.lower_counts.push_back(lower);
        }
    });
    for (std::uint32_t p = 0; p < n_parts; ++p) {
        Part& part = parts_[first_part + p];
        if (cuts == 1) {
            part = std::move(counted[p]);
            continue;
        }
        for (std::uint32_t cut = 0; cut < cuts; ++cut) {
            const Part& more = counted[p * cuts + cut];
            for (const auto& held : more.leave_one_out) {
                part.leave_one_out.push_back(
                    {held.at + part.keys.size(), held.count, held.lower_count});
            }
            part.keys.insert(part.keys.end(), more.keys.begin(), more.keys.end());
            part.counts.insert(part.counts.end(), more.counts.begin(), more.counts.end());
            part.lower_counts.insert(part.lower_counts.end(), more.lower_counts.begin(),
                                     more.lower_counts.end());
        }
    }
}

std::array<Count, 4> ContextCounts::counts_of_counts(bool lower) const {
    std::array<Count, 4> numbers{};
    for (const Part& part : parts_) {
        for (const Count count : lower ? part.lower_counts : part.counts) {
            if (count <= 4) ++numbers[count - 1];
        }
    }
    return numbers;
}

// Followers of one context in the order of a tree's leaves, as running sums.
struct ContextCounts::Followers {
    struct Entry {
        std::uint32_t leaf = 0;  // of the follower; none of the entry behind the last
        // Of the followers before it: counts, and what discounting leaves of raw and lower counts.
        Count count = 0;
        double raw = 0.0, lower = 0.0;

        Entry operator-(const Entry& before) const {
            return {0, count - before.count, raw - before.raw, lower - before.lower};
        }
    };
    struct Sums {  // of all followers
        double total = 0.0, freed = 0.0;

        // What to multiply weights by to make them probabilities.
        double scale() const { return total > 0 ? 1.0 / total : 1.0; }
        // Adds a count; returns what its discount leaves of it.
        double add(Count count, const std::array<double, 3>& discounts) {
            if (count == 0) return 0.0;
            const double value = static_cast<double>(count);
            const double discount = std::min(discounts[std::min<Count>(count, 3) - 1], value);
            total += value;
            freed += discount;
            return value - discount;
        }
        // Of a subtree: what is left of its followers, and what falls back on the parent.
        double weight(double kept, double parent) const {
            return total > 0 ? kept + freed * parent : parent;
        }
    };
    std::vector<Entry> entries{1};
    std::size_t size = 0;
    Sums raw, lower;

    void clear(std::size_t room) {
        if (entries.size() <= room) entries.resize(room + 1);
        size = 0;
        entries[0] = {};
        raw = lower = {};
    }
    void add(std::uint32_t leaf, Count count, Count lower_count, const Discounts& discounts) {
        if (count == 0) return;  // all of it was held in
        entries[size].leaf = leaf;
        const Entry& here = entries[size];
        entries[size + 1] = {0, here.count + count, here.raw + raw.add(count, discounts.raw),
                             here.lower + lower.add(lower_count, discounts.lower)};
        ++size;
    }
    // First of the followers [low, high) whose leaf is not below this one.
    std::size_t from(std::size_t low, std::size_t high, std::uint32_t leaf) const {
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            const bool below = entries[middle].leaf < leaf;
            low = below ? middle + 1 : low;
            high = below ? high : middle;
        }
        return low;
    }
};

void ContextCounts::evaluate(const TokenTree& tree, const Discounts& discounts,
                             std::span<const Index> decision_offsets,
                             std::span<const float> parent_mass,
                             std::span<std::uint16_t> packed_logits, std::span<float> mass,
                             int threads) const {
    check_tree(tree);
    const Index n = static_cast<Index>(target_ids_.size());
    require(static_cast<Index>(tree.leaf_of.size()) == vocab_size_,
            "the tree must be one of the vocabulary");
    require(static_cast<Index>(decision_offsets.size()) == n + 1,
            "one turn offset per target, and an end");
    const Index decisions = decision_offsets.back();
    require(static_cast<Index>(packed_logits.size()) == decisions,
            "packed_logits must be (decisions)");
    require(parent_mass.empty() || static_cast<Index>(parent_mass.size()) == 2 * decisions,
            "parent_mass must be (decisions, 2)");
    require(mass.empty() || static_cast<Index>(mass.size()) == 2 * decisions,
            "mass must be (decisions, 2)");
    require(mass.empty() || has_lower_, "lower counts need an extra_offset");

    const auto pack = built_for_level<Pack>(SimdLevel::avx2);
    const int leaf_bits = std::bit_width(tree.leaf_of.size() - 1);
    struct Decisions {  // of one target, in whole vectors
        std::vector<float> odds;
        std::vector<std::int32_t> bucket, packed_logits;

        void resize(std::size_t n) {
            if (n <= odds.size()) return;
            odds.resize(n, 1.0f);
            bucket.resize(n);
            packed_logits.resize(n);
        }
    };
    // Targets of one context lie anywhere in the text, and so do the decisions read and written.
    const auto prefetch_target = [&](Index j, Index end) {
        constexpr Index kFar = 24, kNear = 12;
        if (j + kFar < end) {
            const Index t = order_[static_cast<std::size_t>(j + kFar)];
            prefetch(&decision_offsets[t]);
            prefetch(&target_tokens_[t]);
        }
        if (j + kNear < end) {
            const Index e = decision_offsets[order_[static_cast<std::size_t>(j + kNear)]];
            prefetch(packed_logits.data() + e);
            for (Index line = 0; line < 32; line += 16) {
                if (!parent_mass.empty()) prefetch(parent_mass.data() + 2 * e + line);
                if (!mass.empty()) prefetch(mass.data() + 2 * e + line);
            }
        }
    };
    const auto write_target = [&](Index t, const Followers& followers, Decisions& turns_here) {
        const std::uint32_t leaf = tree.leaf_of[target_tokens_[t]];
        const double lower_scale = followers.lower.scale();
        const Index first = decision_offsets[t];
        const std::size_t count = static_cast<std::size_t>(decision_offsets[t + 1] - first);
        const std::size_t padded = (count + kVector - 1) / kVector * kVector;
        turns_here.resize(padded);
        std::size_t low = 0, high = followers.size, k = 0;
        for (Walk walk(tree, leaf); !walk.done(); walk.down(tree, leaf), ++k) {
            const std::size_t e = static_cast<std::size_t>(first) + k;
            const std::size_t middle = followers.from(low, high, walk.m);
            const Followers::Entry& between = followers.entries[middle];
            Followers::Entry taken = between - followers.entries[low];
            Followers::Entry other = followers.entries[high] - between;
            double parent_taken, parent_other;
            if (parent_mass.empty()) {
                parent_taken = static_cast<double>(walk.m - walk.a);
                parent_other = static_cast<double>(walk.b - walk.m);
                if (walk.right) std::swap(parent_taken, parent_other);
                parent_taken /= static_cast<double>(vocab_size_);
                parent_other /= static_cast<double>(vocab_size_);
            } else {
                parent_taken = static_cast<double>(parent_mass[2 * e]);
                parent_other = static_cast<double>(parent_mass[2 * e + 1]);
            }
            if (walk.right) std::swap(taken, other);
            turns_here.bucket[k] = bucket_of(taken.count, other.count, followers.raw.total > 0);
            turns_here.odds[k] = static_cast<float>(followers.raw.weight(taken.raw, parent_taken)) /
                                 static_cast<float>(followers.raw.weight(other.raw, parent_other));
            if (!mass.empty()) {
                const Followers::Sums& lower = followers.lower;
                mass[2 * e] =
                    static_cast<float>(lower_scale * lower.weight(taken.lower, parent_taken));
                mass[2 * e + 1] =
                    static_cast<float>(lower_scale * lower.weight(other.lower, parent_other));
            }
            (walk.right ? low : high) = middle;
        }
        pack(turns_here.odds.data(), turns_here.bucket.data(), turns_here.packed_logits.data(),
             padded);
        std::copy_n(turns_here.packed_logits.begin(), count, packed_logits.begin() + first);
    };

    parallel_for(kParts, threads, [&](Index p) {
        const Part& part = parts_[static_cast<std::size_t>(p)];
        Followers followers;
        Decisions turns_here;
        std::vector<std::uint64_t> by_leaf, buffer;  // leaf << 32 | number of the context's key
        std::vector<Part::HeldIn> leave_one_out;     // by number of the context's key
        std::size_t k = 0, held = 0;
        const std::size_t own = static_cast<std::size_t>(p);
        const std::size_t first_slot = first_of_part(own, contexts_.size());
        const std::size_t last_slot = first_of_part(own + 1, contexts_.size());
        for (std::size_t slot = first_slot; slot < last_slot; ++slot) {
            const std::size_t first = k;
            by_leaf.clear();
            for (; k < part.keys.size() && part.keys[k] >> 32 == slot - first_slot; ++k) {
                const std::uint64_t leaf = tree.leaf_of[static_cast<std::uint32_t>(part.keys[k])];
                by_leaf.push_back(leaf << 32 | (k - first));
            }
            sort_keys(by_leaf, buffer, 32, 32 + leaf_bits);
            leave_one_out.clear();
            const auto follow = [&] {
                followers.clear(by_leaf.size());
                for (const std::uint64_t entry : by_leaf) {
                    const std::size_t number = static_cast<std::uint32_t>(entry);
                    Count count = part.counts[first + number];
                    Count lower = has_lower_ ? part.lower_counts[first + number] : 0;
                    if (!leave_one_out.empty()) {
                        count -= leave_one_out[number].count;
                        lower -= leave_one_out[number].lower_count;
                    }
                    followers.add(static_cast<std::uint32_t>(entry >> 32), count, lower, discounts);
                }
            };
            const auto write = [&](Index from, Index to) {
                for (Index j = from; j < to; ++j) {
                    prefetch_target(j, offsets_[last_slot]);
                    write_target(order_[static_cast<std::size_t>(j)], followers, turns_here);
                }
            };
            // Targets of the held-in text come first.
            const Index begin = offsets_[slot], end = offsets_[slot + 1];
            const Index middle =
                std::lower_bound(order_.begin() + begin, order_.begin() + end, held_in_) -
                order_.begin();
            if (middle < end) {
                follow();
                write(middle, end);
            }
            if (middle > begin) {
                leave_one_out.assign(by_leaf.size(), Part::HeldIn{0, 0, 0});
                for (; held < part.leave_one_out.size() && part.leave_one_out[held].at < k;
                     ++held) {
                    leave_one_out[part.leave_one_out[held].at - first] = part.leave_one_out[held];
                }
                follow();
                write(begin, middle);
            }
            while (held < part.leave_one_out.size() && part.leave_one_out[held].at < k) ++held;
        }
    });
    const Index none = static_cast<Index>(contexts_.size());
    const Followers nothing;
    constexpr Index kTogether = 1024;
    const Index first_unreached = offsets_[none], last_unreached = offsets_[none + 1];
    parallel_for((last_unreached - first_unreached + kTogether - 1) / kTogether, threads,
                 [&](Index task) {
                     Decisions turns_here;
                     const Index first = first_unreached + task * kTogether;
                     const Index last = std::min(first + kTogether, last_unreached);
                     for (Index j = first; j < last; ++j)
                         write_target(order_[j], nothing, turns_here);
                 });
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                             \
    template ContextCounts::ContextCounts(std::span<const Token>, std::span<const Index>, Index, \
                                          Index, const ContextPattern&,                          \
                                          std::span<const std::uint32_t>, Index, Index);         \
    template void ContextCounts::count(std::span<const Token>, Index, Index, int, Index, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
