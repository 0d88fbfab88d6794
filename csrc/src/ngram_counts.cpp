#include "ngramstat/ngram_counts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>

#include "ngramstat/suffix_sort.hpp"

namespace ngramstat {

namespace {

class Bits {
  public:
    explicit Bits(Index n) : words_(static_cast<std::size_t>(n) / 64 + 1, 0) {}
    void set(Index i) { words_[static_cast<std::size_t>(i) >> 6] |= std::uint64_t{1} << (i & 63); }
    bool test(Index i) const { return words_[static_cast<std::size_t>(i) >> 6] >> (i & 63) & 1; }

  private:
    std::vector<std::uint64_t> words_;
};

// The positions at the edges of documents where an n-gram may end that is no target, or no context
// of a target. All other positions with max_context - 1 tokens before them are both.
struct Population {
    Bits outside;
    Bits not_target;
    Bits not_context;

    Population(Index n_tokens, std::span<const Index> ends, int max_context)
        : outside(n_tokens), not_target(n_tokens), not_context(n_tokens) {
        Index start = 0;
        for (const Index end : ends) {
            const Index first_target = std::min<Index>(start + max_context, end);
            const Index first_context = max_context == 0 ? start : first_target - 1;
            for (Index i = start; i < first_context; ++i) outside.set(i);
            if (first_target == end) {  // no target at all: nothing of this document counts
                for (Index i = std::max(first_context, start); i < end; ++i) outside.set(i);
            } else {
                for (Index i = first_context; i < first_target; ++i) not_target.set(i);
                not_context.set(end - 1);
            }
            start = end;
        }
    }
};

// Histogram of counts that is dense where nearly all of them are.
class Histogram {
  public:
    void add(Count count) {
        if (count == 0) return;
        if (count < kDense) {
            ++dense_[count];
        } else {
            ++large_[count];
        }
    }

    void merge(const Histogram& other) {
        for (std::size_t c = 0; c < kDense; ++c) dense_[c] += other.dense_[c];
        for (const auto& [count, number] : other.large_) large_[count] += number;
    }

    CountsOfCounts counts() const {
        CountsOfCounts result;
        for (std::size_t c = 1; c < kDense; ++c) {
            if (dense_[c] != 0) result.emplace_back(c, dense_[c]);
        }
        result.insert(result.end(), large_.begin(), large_.end());
        return result;
    }

  private:
    static constexpr std::size_t kDense = 256;
    std::vector<Count> dense_ = std::vector<Count>(kDense, 0);
    std::map<Count, Count> large_;
};

// ln c in units of 2^-kLossBits.
class Logarithms {
  public:
    Logarithms() {
        for (std::size_t c = 1; c < table_.size(); ++c) table_[c] = compute(c);
    }
    std::int64_t operator()(Count c) const { return c < table_.size() ? table_[c] : compute(c); }

  private:
    static std::int64_t compute(Count c) {
        return std::llround(std::ldexp(std::log(static_cast<double>(c)), kLossBits));
    }
    std::vector<std::int64_t> table_ = std::vector<std::int64_t>(4096, 0);
};

// The unit of a position: a coarse table of the first unit of every block of tokens, then a walk.
class UnitLookup {
  public:
    explicit UnitLookup(std::span<const Index> ends) : ends_(ends) {
        std::uint32_t unit = 0;
        for (Index start = 0; start < ends.back(); start += kBlock) {
            while (ends[unit] <= start) ++unit;
            first_.push_back(unit);
        }
    }
    std::uint32_t operator()(Index position) const {
        std::uint32_t unit = first_[static_cast<std::size_t>(position / kBlock)];
        while (ends_[unit] <= position) ++unit;
        return unit;
    }

  private:
    static constexpr Index kBlock = 64;
    std::span<const Index> ends_;
    std::vector<std::uint32_t> first_;
};

constexpr int kQuarters = 4;
using Quarters = std::array<Count, kQuarters>;

// Histograms of one context length for every subset.
struct Subsets {
    Histogram histograms[kSubsets];

    void add(const Quarters& counts) {
        const Count first = counts[0] + counts[1];
        const Count second = counts[2] + counts[3];
        histograms[0].add(first + second);
        histograms[1].add(first);
        histograms[2].add(second);
        for (int q = 0; q < kQuarters; ++q) histograms[3 + q].add(counts[q]);
    }
};

Quarters difference(const Quarters& a, const Quarters& b) {
    return {a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]};
}

Count sum(const Quarters& counts) { return counts[0] + counts[1] + counts[2] + counts[3]; }

// Everything counted, by one task or by all: integers that add up in any order.
struct Totals {
    std::vector<Subsets> ngrams;
    std::vector<Subsets> contexts;
    Quarters targets{};
    std::vector<std::int64_t> losses;
    std::vector<Count> group_targets;

    Totals(std::size_t depth, std::size_t n_groups)
        : ngrams(depth), contexts(depth), losses(n_groups * depth), group_targets(n_groups) {}

    void add(const Totals& other) {
        for (std::size_t n = 0; n < ngrams.size(); ++n) {
            for (int s = 0; s < kSubsets; ++s) {
                ngrams[n].histograms[s].merge(other.ngrams[n].histograms[s]);
                contexts[n].histograms[s].merge(other.contexts[n].histograms[s]);
            }
        }
        for (int q = 0; q < kQuarters; ++q) targets[q] += other.targets[q];
        for (std::size_t i = 0; i < losses.size(); ++i) losses[i] += other.losses[i];
        for (std::size_t g = 0; g < group_targets.size(); ++g) {
            group_targets[g] += other.group_targets[g];
        }
    }
};

// What is known of a position of the sorted bucket: the unit of the target that it is, and of the
// target that follows it (its n-grams are that one's contexts). kNone: it is none.
constexpr std::uint32_t kNone = ~std::uint32_t{0};
struct Member {
    std::uint32_t target = kNone;
    std::uint32_t context = kNone;
};

template <class Token, class Position>
NgramCounts count(std::span<const Token> tokens, Index vocab_size, int max_context,
                  const Population& population, const NgramUnits& units, TokenRange range,
                  int threads) {
    auto index = index_positions<Token, Position>(tokens, range, vocab_size, threads);
    const int depth = max_context + 1;
    const SuffixOrder order{depth, true, -1};
    const auto tasks = bucket_tasks(index);
    const Logarithms logarithm;
    const UnitLookup unit_of(units.ends);
    const std::size_t n_groups = static_cast<std::size_t>(units.n_groups);
    Totals totals(static_cast<std::size_t>(depth), n_groups);
    std::mutex mutex;

    parallel_for(static_cast<Index>(tasks.size()) - 1, threads, [&](Index task) {
        Totals mine(static_cast<std::size_t>(depth), n_groups);
        SuffixScratch scratch;
        std::vector<std::uint8_t> lcp;
        std::vector<Position> bucket;
        std::vector<Member> members;
        // Targets and contexts seen before the open group of each depth began, and where it began.
        std::vector<Quarters> target_start(static_cast<std::size_t>(depth) + 1);
        std::vector<Quarters> context_start(static_cast<std::size_t>(depth) + 1);
        std::vector<std::size_t> member_start(static_cast<std::size_t>(depth) + 1);

        // Ends the open group of n-grams of m tokens.
        auto close = [&](int m, std::size_t end, const Quarters& targets,
                         const Quarters& contexts) {
            const Quarters here = difference(targets, target_start[m]);
            mine.ngrams[m - 1].add(here);
            const std::int64_t loss = logarithm(sum(here));
            if (loss > 0) {
                for (std::size_t j = member_start[m]; j < end; ++j) {
                    if (members[j].target == kNone) continue;
                    mine.losses[units.groups[members[j].target] * static_cast<std::size_t>(depth) +
                                static_cast<std::size_t>(m) - 1] -= loss;
                }
            }
            if (m < depth) {
                const Quarters before = difference(contexts, context_start[m]);
                mine.contexts[m].add(before);
                const std::int64_t gain = logarithm(sum(before));
                if (gain > 0) {
                    for (std::size_t j = member_start[m]; j < end; ++j) {
                        if (members[j].context == kNone) continue;
                        mine.losses[units.groups[members[j].context] *
                                        static_cast<std::size_t>(depth) +
                                    static_cast<std::size_t>(m)] += gain;
                    }
                }
            }
            target_start[m] = targets;
            context_start[m] = contexts;
            member_start[m] = end;
        };

        for (Index g = tasks[task]; g < tasks[task + 1]; ++g) {
            bucket.clear();
            for (const Position p : index.group(g)) {
                if (!population.outside.test(static_cast<Index>(p))) bucket.push_back(p);
            }
            if (bucket.empty()) continue;
            lcp.resize(bucket.size());
            sort_bucket(tokens, vocab_size, order, std::span<Position>(bucket),
                        std::span<std::uint8_t>(lcp), scratch);
            members.assign(bucket.size(), Member{});
            Quarters targets{};
            Quarters contexts{};
            std::fill(target_start.begin(), target_start.end(), Quarters{});
            std::fill(context_start.begin(), context_start.end(), Quarters{});
            std::fill(member_start.begin(), member_start.end(), 0);
            for (std::size_t k = 0; k <= bucket.size(); ++k) {
                const int shared = k < bucket.size() ? lcp[k] : 0;
                for (int m = depth; k > 0 && m > shared; --m) close(m, k, targets, contexts);
                if (k == bucket.size()) break;
                const Index position = static_cast<Index>(bucket[k]);
                if (!population.not_target.test(position)) {
                    members[k].target = unit_of(position);
                    ++targets[units.quarters[members[k].target]];
                    ++mine.group_targets[units.groups[members[k].target]];
                }
                if (!population.not_context.test(position)) {
                    members[k].context = unit_of(position + 1);
                    ++contexts[units.quarters[members[k].context]];
                }
            }
            for (int q = 0; q < kQuarters; ++q) mine.targets[q] += targets[q];
        }
        const std::lock_guard<std::mutex> lock(mutex);
        totals.add(mine);
    });

    NgramCounts counts;
    for (int s = 0; s < kSubsets; ++s) {
        for (int n = 0; n < depth; ++n) {
            counts.ngrams[s].push_back(totals.ngrams[n].histograms[s].counts());
            counts.contexts[s].push_back(totals.contexts[n].histograms[s].counts());
        }
    }
    const Quarters& targets = totals.targets;
    counts.targets[0] = sum(targets);
    counts.targets[1] = targets[0] + targets[1];
    counts.targets[2] = targets[2] + targets[3];
    for (int q = 0; q < kQuarters; ++q) counts.targets[3 + q] = targets[q];
    counts.losses = std::move(totals.losses);
    counts.group_targets = std::move(totals.group_targets);
    return counts;
}

void check_ends(std::span<const Index> ends, Index n_tokens, const char* order, const char* last) {
    Index before = 0;
    for (const Index end : ends) {
        require(end > before, order);
        before = end;
    }
    require(before == n_tokens, last);
}

}  // namespace

template <class Token>
NgramCounts count_ngrams(std::span<const Token> tokens, Index vocab_size, int max_context,
                         std::span<const Index> document_ends, const NgramUnits& units,
                         TokenRange range, int threads) {
    require(max_context >= 0 && max_context < kMaxDepth, "max_context must lie in 0 .. 254");
    const Index n_tokens = static_cast<Index>(tokens.size());
    check_ends(document_ends, n_tokens, "document_ends must be strictly increasing",
               "the last document must end where the stream ends");
    check_ends(units.ends, n_tokens, "ends of units must be strictly increasing",
               "the last unit must end where the stream ends");
    require(units.quarters.size() == units.ends.size() && units.groups.size() == units.ends.size(),
            "arrays of units must have one length");
    for (std::size_t u = 0; u < units.ends.size(); ++u) {
        require(units.quarters[u] < kQuarters, "a unit's quarter must lie in 0 .. 3");
        require(static_cast<Index>(units.groups[u]) < units.n_groups,
                "a unit's group must be below n_groups");
    }
    if (n_tokens == 0) {
        NgramCounts counts;
        for (int s = 0; s < kSubsets; ++s) {
            counts.ngrams[s].resize(static_cast<std::size_t>(max_context) + 1);
            counts.contexts[s].resize(static_cast<std::size_t>(max_context) + 1);
        }
        counts.losses.assign(
            static_cast<std::size_t>(units.n_groups) * (static_cast<std::size_t>(max_context) + 1),
            0);
        counts.group_targets.assign(static_cast<std::size_t>(units.n_groups), 0);
        return counts;
    }
    const Population population(n_tokens, document_ends, max_context);
    if (tokens.size() <= std::size_t{1} << 32) {
        return count<Token, std::uint32_t>(tokens, vocab_size, max_context, population, units,
                                           range, threads);
    }
    return count<Token, std::uint64_t>(tokens, vocab_size, max_context, population, units, range,
                                       threads);
}

template NgramCounts count_ngrams(std::span<const std::uint16_t>, Index, int,
                                  std::span<const Index>, const NgramUnits&, TokenRange, int);
template NgramCounts count_ngrams(std::span<const std::uint32_t>, Index, int,
                                  std::span<const Index>, const NgramUnits&, TokenRange, int);

}  // namespace ngramstat
