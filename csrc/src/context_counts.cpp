#include "ngramstat/context_counts.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <mutex>

#include "ngramstat/error.hpp"
#include "ngramstat/parallel.hpp"

namespace ngramstat {

namespace {

constexpr std::uint32_t kParts = 512;  // a part's events then sort inside the L2 cache
constexpr Index kBlock = 1 << 18;      // training positions of one task

// Least-significant-digit radix sort of the low `bits` bits; the result is in `keys`.
void sort_keys(std::vector<std::uint64_t>& keys, std::vector<std::uint64_t>& buffer, int bits) {
    constexpr int kDigit = 8;
    constexpr std::size_t kSmall = 256;
    if (keys.size() <= kSmall) {
        std::sort(keys.begin(), keys.end());
        return;
    }
    buffer.resize(keys.size());
    for (int shift = 0; shift < bits; shift += kDigit) {
        std::array<std::size_t, (1 << kDigit) + 1> start{};
        for (const std::uint64_t key : keys) ++start[(key >> shift & 0xff) + 1];
        for (std::size_t d = 0; d < 1 << kDigit; ++d) start[d + 1] += start[d];
        for (const std::uint64_t key : keys) buffer[start[key >> shift & 0xff]++] = key;
        keys.swap(buffer);
    }
}

std::uint8_t bucket_of(Count taken, Count other, bool seen) {
    const Count n = taken + other;
    if (n == 0) return seen ? kBuckets / 2 : 0;
    constexpr std::array<Count, 14> kLast{1,  2,  3,   5,   8,    12,   20,
                                          36, 70, 150, 400, 1500, 8000, 60000};
    const auto at = std::lower_bound(kLast.begin(), kLast.end(), n);
    const int size = 1 + static_cast<int>(at - kLast.begin());
    return static_cast<std::uint8_t>(size + (taken == 0 || other == 0 ? kBuckets / 2 : 0));
}

std::uint16_t evidence_of(double taken, double other, std::uint8_t bucket) {
    constexpr double kLargest = (1 << (15 - kBucketBits)) - 1;
    const double value = std::log(taken / other) / kStretchUnit;
    const auto stretch = std::lrint(std::clamp(value, -kLargest, kLargest));
    return static_cast<std::uint16_t>(stretch << kBucketBits | bucket);
}

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
                             Index held_in, Index vocab_size, const ContextPattern& pattern,
                             std::span<const std::uint32_t> class_maps, Index n_symbols,
                             Index stop_token)
    : pattern_(pattern),
      vocab_size_(vocab_size),
      n_symbols_(n_symbols),
      stop_token_(stop_token),
      held_in_(held_in),
      contexts_(targets.size()),
      parts_(kParts) {
    require(vocab_size >= 1 && vocab_size < KeyTable::kAbsent, "vocab_size must be at least 1");
    require(held_in >= 0 && held_in <= static_cast<Index>(targets.size()),
            "held_in must lie between 0 and the number of targets");
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
    target_ids_.reserve(targets.size());
    target_tokens_.reserve(targets.size());
    Index seen = 0, last_stop = -1;
    for (const Index i : targets) {
        require(i >= 0 && i < static_cast<Index>(text.size()), "targets must lie inside the text");
        require(i >= seen, "targets must ascend");
        for (; seen < i; ++seen) {
            if (static_cast<Index>(text[seen]) == stop_token_) last_stop = seen;
        }
        require(static_cast<Index>(text[i]) < vocab_size_, "a stop token cannot be scored");
        target_tokens_.push_back(text[i]);
        const Index known = stop_token_ < 0 || last_stop < 0 ? i : i - last_stop;
        target_ids_.push_back(known < reach_ ? KeyTable::kAbsent
                                             : contexts_.insert(key_at(text, i)));
    }
    order_targets();
}

void ContextCounts::order_targets() {
    const std::size_t none = contexts_.size();
    const auto slot = [&](std::uint32_t id) { return id == KeyTable::kAbsent ? none : id; };
    offsets_.assign(none + 2, 0);
    for (const std::uint32_t id : target_ids_) ++offsets_[slot(id) + 1];
    for (std::size_t s = 0; s + 1 < offsets_.size(); ++s) offsets_[s + 1] += offsets_[s];
    std::vector<Index> next(offsets_.begin(), offsets_.end() - 1);
    order_.resize(target_ids_.size());
    for (std::size_t t = 0; t < target_ids_.size(); ++t) {
        order_[next[slot(target_ids_[t])]++] = static_cast<Index>(t);
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
void ContextCounts::count(std::span<const Token> training, Index first_event, Index first_held_in,
                          int extra_offset, Index max_entries, int threads) {
    require(extra_offset >= 0 && extra_offset <= kMaxOffset, "extra_offset must lie in 0 .. 16");
    require(first_event >= 0, "first_event must not be negative");
    require(max_entries > 0, "max_entries must be positive");
    has_lower_ = extra_offset > 0;
    const Index events = static_cast<Index>(training.size()) - first_event;
    if (events <= 0) return;
    if (events <= max_entries) {
        count_range(training, first_event, first_held_in, extra_offset, 0, kParts, threads);
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
        count_range(training, first_event, first_held_in, extra_offset, first, last, threads);
        first = last;
    }
}

template <class Token>
void ContextCounts::count_range(std::span<const Token> training, Index first_event,
                                Index first_held_in, int extra_offset, std::uint32_t first_part,
                                std::uint32_t last_part, int threads) {
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
                 event = event << 1 | static_cast<std::uint64_t>(i >= first_held_in);
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
        sort_keys(events_here, buffer, token_bits + id_bits + extra_bits + 1);
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
            Count held_in = 0, lower = 0, held_in_lower = 0;
            while (k < events_here.size() && events_here[k] >> key_shift == key) {
                // One neighbour after the other; its held-in events come last.
                const std::uint64_t neighbour = events_here[k] >> 1;
                Count here = 0, held_in_here = 0;
                for (; k < events_here.size() && events_here[k] >> 1 == neighbour; ++k) {
                    ++here;
                    held_in_here += events_here[k] & 1;
                }
                held_in += held_in_here;
                const bool single = extra_offset > 0 && (neighbour & extra_mask) !=
                                                            static_cast<std::uint64_t>(n_symbols_);
                lower += single ? 1 : here;
                held_in_lower += single ? here == held_in_here : held_in_here;
            }
            if (held_in > 0) part.held_in.push_back({part.keys.size(), held_in, held_in_lower});
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
            for (const auto& held : more.held_in) {
                part.held_in.push_back({held.at + part.keys.size(), held.count, held.lower_count});
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
    struct Item {
        std::uint32_t leaf;
        Count count, lower_count;
    };
    struct Sums {
        std::vector<double> kept{0.0};  // after discounting
        double total = 0.0, freed = 0.0;

        void clear() {
            kept.resize(1);
            total = freed = 0.0;
        }
        // What to multiply weights by to make them probabilities.
        double scale() const { return total > 0 ? 1.0 / total : 1.0; }
        void add(Count count, const std::array<double, 3>& discounts) {
            double discount = 0.0;
            if (count > 0) {
                discount =
                    std::min(discounts[std::min<Count>(count, 3) - 1], static_cast<double>(count));
            }
            kept.push_back(kept.back() + static_cast<double>(count) - discount);
            total += static_cast<double>(count);
            freed += discount;
        }
        // Weight of followers [first, last) and of what falls back on the parent's.
        double weight(std::size_t first, std::size_t last, double parent) const {
            if (total == 0) return parent;
            return kept[last] - kept[first] + freed * parent;
        }
    };
    std::vector<std::uint32_t> leaves;
    std::vector<Count> counts{0};
    Sums raw, lower;

    void assign(std::span<const Item> items, const Discounts& discounts) {
        leaves.clear();
        counts.resize(1);
        raw.clear();
        lower.clear();
        for (const Item& item : items) {
            if (item.count == 0) continue;  // all of it was held in
            leaves.push_back(item.leaf);
            counts.push_back(counts.back() + item.count);
            raw.add(item.count, discounts.raw);
            lower.add(item.lower_count, discounts.lower);
        }
    }
};

void ContextCounts::evaluate(const TokenTree& tree, const Discounts& discounts,
                             std::span<const Index> turn_offsets,
                             std::span<const float> parent_mass, std::span<std::uint16_t> evidence,
                             std::span<float> mass, int threads) const {
    check_tree(tree);
    const Index n = static_cast<Index>(target_ids_.size());
    require(static_cast<Index>(tree.leaf_of.size()) == vocab_size_,
            "the tree must be one of the vocabulary");
    require(static_cast<Index>(turn_offsets.size()) == n + 1,
            "one turn offset per target, and an end");
    const Index turns = turn_offsets.back();
    require(static_cast<Index>(evidence.size()) == turns, "evidence must be (turns)");
    require(parent_mass.empty() || static_cast<Index>(parent_mass.size()) == 2 * turns,
            "parent_mass must be (turns, 2)");
    require(mass.empty() || static_cast<Index>(mass.size()) == 2 * turns,
            "mass must be (turns, 2)");
    require(mass.empty() || has_lower_, "lower counts need an extra_offset");

    const auto write_target = [&](Index t, const Followers& followers) {
        const std::uint32_t leaf = tree.leaf_of[target_tokens_[t]];
        const double lower_scale = followers.lower.scale();
        const auto begin = followers.leaves.begin();
        std::size_t low = 0, high = followers.leaves.size();
        Index e = turn_offsets[t];
        for (Walk walk(tree, leaf); !walk.done(); walk.down(tree, leaf), ++e) {
            const std::size_t middle = static_cast<std::size_t>(
                std::lower_bound(begin + static_cast<std::ptrdiff_t>(low),
                                 begin + static_cast<std::ptrdiff_t>(high), walk.m) -
                begin);
            std::array<std::size_t, 2> taken{low, middle}, other{middle, high};
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
            const auto bucket = bucket_of(followers.counts[taken[1]] - followers.counts[taken[0]],
                                          followers.counts[other[1]] - followers.counts[other[0]],
                                          followers.raw.total > 0);
            evidence[e] =
                evidence_of(followers.raw.weight(taken[0], taken[1], parent_taken),
                            followers.raw.weight(other[0], other[1], parent_other), bucket);
            if (!mass.empty()) {
                const Followers::Sums& lower = followers.lower;
                mass[2 * e] = static_cast<float>(lower_scale *
                                                 lower.weight(taken[0], taken[1], parent_taken));
                mass[2 * e + 1] = static_cast<float>(
                    lower_scale * lower.weight(other[0], other[1], parent_other));
            }
            low = taken[0];
            high = taken[1];
        }
    };

    parallel_for(kParts, threads, [&](Index p) {
        const Part& part = parts_[p];
        Followers followers;
        std::vector<Followers::Item> items;
        std::vector<std::pair<std::uint32_t, std::uint32_t>> by_leaf;  // leaf, number of the item
        std::vector<Followers::Item> sorted;
        std::size_t k = 0, held = 0;
        for (std::size_t id = static_cast<std::size_t>(p); id < contexts_.size(); id += kParts) {
            const std::size_t first = k;
            items.clear();
            by_leaf.clear();
            for (; k < part.keys.size() && part.keys[k] >> 32 == id / kParts; ++k) {
                const std::uint32_t leaf = tree.leaf_of[static_cast<std::uint32_t>(part.keys[k])];
                by_leaf.emplace_back(leaf, static_cast<std::uint32_t>(items.size()));
                items.push_back({leaf, part.counts[k], has_lower_ ? part.lower_counts[k] : 0});
            }
            std::sort(by_leaf.begin(), by_leaf.end());
            const auto assign = [&] {
                sorted.clear();
                for (const auto& [leaf, number] : by_leaf) sorted.push_back(items[number]);
                followers.assign(sorted, discounts);
            };
            assign();
            // Targets of the held-in text come first.
            const Index begin = offsets_[id], end = offsets_[id + 1];
            Index j = end;
            for (; j > begin && order_[j - 1] >= held_in_; --j)
                write_target(order_[j - 1], followers);
            if (j > begin) {
                const std::size_t before = held;
                for (; held < part.held_in.size() && part.held_in[held].at < k; ++held) {
                    Followers::Item& item = items[part.held_in[held].at - first];
                    item.count -= part.held_in[held].count;
                    if (has_lower_) item.lower_count -= part.held_in[held].lower_count;
                }
                if (held > before) assign();
                for (; j > begin; --j) write_target(order_[j - 1], followers);
            }
            while (held < part.held_in.size() && part.held_in[held].at < k) ++held;
        }
    });
    const std::size_t none = contexts_.size();
    const Index unreached = offsets_[none + 1] - offsets_[none];
    const Followers nothing;
    parallel_for(unreached, threads,
                 [&](Index j) { write_target(order_[offsets_[none] + j], nothing); });
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
