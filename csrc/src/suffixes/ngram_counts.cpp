#include "ngramstat/suffixes/ngram_counts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <mutex>

#include "ngramstat/base/interval_lookup.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

namespace {

// Histogram of counts, as an array for the small counts that most n-grams have.
class Histogram {
  public:
    void add(Count count, Count number = 1) {
        if (count == 0) return;
        if (count < kDense) {
            dense_[count] += number;
        } else {
            large_[count] += number;
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

// scaled_logarithm, from a table for small counts.
class Logarithms {
  public:
    Logarithms() {
        for (std::size_t c = 0; c < table_.size(); ++c) table_[c] = scaled_logarithm(c);
    }
    std::int64_t operator()(Count c) const {
        return c < table_.size() ? table_[c] : scaled_logarithm(c);
    }

  private:
    std::vector<std::int64_t> table_ = std::vector<std::int64_t>(4096, 0);
};

// Whether the tokens up to position i are these, last token first.
template <class Token>
bool ends_with(std::span<const Token> tokens, Index i, std::span<const Index> ngram) {
    if (i + 1 < static_cast<Index>(ngram.size())) return false;
    for (const Index token : ngram) {
        if (static_cast<Index>(tokens[i--]) != token) return false;
    }
    return true;
}

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
    // Adds n-grams that occur once; their numbers by quarter.
    void add_singletons(const Quarters& numbers) {
        histograms[0].add(1, numbers[0] + numbers[1] + numbers[2] + numbers[3]);
        histograms[1].add(1, numbers[0] + numbers[1]);
        histograms[2].add(1, numbers[2] + numbers[3]);
        for (int q = 0; q < kQuarters; ++q) histograms[3 + q].add(1, numbers[q]);
    }
};

Quarters difference(const Quarters& a, const Quarters& b) {
    return {a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]};
}

Count sum(const Quarters& counts) { return counts[0] + counts[1] + counts[2] + counts[3]; }

// All counts of one worker, or of all. They are integers, so the order of adding does not matter.
struct Totals {
    std::vector<Subsets> ngrams;
    std::vector<Subsets> contexts;
    Quarters targets{};
    std::vector<std::int64_t> losses;
    std::vector<Count> group_targets;
    // N-grams that occur once, at a target or before one: [m] counts the positions whose n-grams of
    // m tokens and more occur once, but not the shorter ones.
    std::vector<Quarters> singleton_targets;
    std::vector<Quarters> singleton_contexts;

    Totals(std::size_t depth, std::size_t n_groups)
        : ngrams(depth),
          contexts(depth),
          losses(n_groups * depth + 1),
          group_targets(n_groups),
          singleton_targets(depth + 2),
          singleton_contexts(depth + 2) {}

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
        Quarters singleton_ngrams{}, singletons_before{};
        for (std::size_t m = 1; m <= ngrams.size(); ++m) {
            for (int q = 0; q < kQuarters; ++q) {
                singleton_ngrams[q] += other.singleton_targets[m][q];
                singletons_before[q] += other.singleton_contexts[m][q];
            }
            ngrams[m - 1].add_singletons(singleton_ngrams);
            if (m < ngrams.size()) contexts[m].add_singletons(singletons_before);
        }
    }
};

// The cluster (group) and the quarter of a target's document. One more group, with quarter
// kQuarters, stands for no target.
class Label {
  public:
    Label() = default;
    Label(std::uint32_t group, int quarter) : bits_(group << 3 | static_cast<unsigned>(quarter)) {}
    std::uint32_t group() const { return bits_ >> 3; }
    int quarter() const { return static_cast<int>(bits_ & 7); }

  private:
    std::uint32_t bits_;
};

// The label of each document, and the one for positions that are no target.
struct DocumentLabels {
    std::vector<Label> of_document;
    Label none;

    explicit DocumentLabels(const Documents& documents)
        : none(static_cast<std::uint32_t>(documents.n_clusters()), kQuarters) {
        const auto quarters = documents.quarters();
        for (std::size_t d = 0; d < quarters.size(); ++d) {
            of_document.emplace_back(documents.clusters()[d], quarters[d]);
        }
    }
};

// The labels of a position of a sorted block: as a target, and of the target that follows it, whose
// contexts end at the position.
struct Member {
    Label target;
    Label context;
};

// Finds the labels of positions.
class Members {
  public:
    Members(const Documents& documents, std::span<const Segment> segments, int depth)
        : labels_(documents),
          segments_(segments),
          depth_(depth),
          segment_of_(static_cast<Index>(segments.size()),
                      [&](Index s) { return segments[s].last; }),
          unit_of_(documents.size(), [&](Index d) { return documents.ends()[d]; }) {}

    // Groups of targets, with that of no target.
    std::size_t n_groups() const { return labels_.none.group() + std::size_t{1}; }

    // Whether a position lies in a segment.
    bool contains(Index position) const {
        return !segments_.empty() && position < segments_.back().last &&
               position >= segments_[segment_of_(position)].first;
    }

    // Of a position in a segment.
    Member operator()(Index position) const {
        const Segment& segment = segments_[segment_of_(position)];
        const std::uint32_t unit = unit_of_(position);
        Member member{labels_.none, labels_.none};
        // Without contexts every position is a target.
        if (depth_ == 1 || position > segment.first) member.target = labels_.of_document[unit];
        if (position + 1 < segment.last) {
            const bool same_unit = position + 1 < unit_of_.end(unit);
            member.context = labels_.of_document[same_unit ? unit : unit_of_(position + 1)];
        }
        return member;
    }

  private:
    DocumentLabels labels_;
    std::span<const Segment> segments_;
    int depth_;
    IntervalLookup segment_of_, unit_of_;
};

// One worker's pass over sorted blocks. An n-gram is open from its first occurrence in the order to
// its last; those that occur once are counted without being opened. N-grams that belong to a prefix
// of all blocks are open all along, and not counted here.
template <class Position>
class Sweep {
  public:
    Sweep(int depth, int prefix, const Members& member_of, const Logarithms& logarithm)
        : totals(static_cast<std::size_t>(depth), member_of.n_groups()),
          depth_(depth),
          prefix_(prefix),
          member_of_(member_of),
          logarithm_(logarithm),
          open_(static_cast<std::size_t>(depth) + 1) {}

    SuffixScratch<Position> scratch;
    Totals totals;

    void add(const SortedSuffixes<Position>& sorted) {
        const auto positions = sorted.positions;
        const auto lcp = sorted.lcp;
        const std::size_t n = positions.size();
        if (members_.size() < n) {
            // Freed first, so that the old and the new memory are never held together.
            decltype(members_)().swap(members_);
            members_.resize(n);
        }
        // A loop of its own, so that the processor overlaps the lookups of many positions.
        for (std::size_t k = 0; k < n; ++k) {
            members_[k] = member_of_(static_cast<Index>(positions[k]));
        }
        targets_ = contexts_ = Quarters{};
        int open = prefix_;
        for (std::size_t k = 0; k < n; ++k) {
            const int shared = lcp[k], next = k + 1 < n ? lcp[k + 1] : prefix_;
            for (int m = open; m > shared; --m) close(m, k);
            for (int m = shared + 1; m <= next; ++m) open_[m] = {targets_, contexts_, k};
            open = std::max(shared, next);
            count(members_[k], open + 1);
        }
        for (int m = open; m > prefix_; --m) close(m, n);
        for (int q = 0; q < kQuarters; ++q) totals.targets[q] += targets_[q];
    }

  private:
    // The open n-gram of one length: what had been counted before it began, and where it begins.
    struct Open {
        Quarters targets, contexts;
        std::size_t first;
    };

    // Counts a position whose n-grams of `singleton` tokens and more occur nowhere else.
    void count(const Member& member, int singleton) {
        ++totals.group_targets[member.target.group()];
        if (const int quarter = member.target.quarter(); quarter < kQuarters) {
            ++targets_[quarter];
            ++totals.singleton_targets[singleton][quarter];
        }
        if (const int quarter = member.context.quarter(); quarter < kQuarters) {
            ++contexts_[quarter];
            ++totals.singleton_contexts[singleton][quarter];
        }
    }

    void close(int m, std::size_t end) {
        const Open& opened = open_[m];
        const std::size_t depth = static_cast<std::size_t>(depth_);
        const auto order = static_cast<std::size_t>(m);
        const Quarters occurrences = difference(targets_, opened.targets);
        totals.ngrams[order - 1].add(occurrences);
        const std::int64_t ngram_log = logarithm_(sum(occurrences));
        std::int64_t context_log = 0;
        if (m < depth_) {
            const Quarters as_context = difference(contexts_, opened.contexts);
            totals.contexts[order].add(as_context);
            context_log = logarithm_(sum(as_context));
        }
        if (ngram_log == 0 && context_log == 0) return;
        for (std::size_t j = opened.first; j < end; ++j) {
            totals.losses[members_[j].target.group() * depth + order - 1] -= ngram_log;
            // The longest n-grams are not contexts: this adds zero to the next group's first entry.
            totals.losses[members_[j].context.group() * depth + order] += context_log;
        }
    }

    int depth_, prefix_;
    const Members& member_of_;
    const Logarithms& logarithm_;
    std::vector<Open> open_;
    std::vector<Member, HugePageAllocator<Member>> members_;
    Quarters targets_{}, contexts_{};
};

NgramCounts to_counts(Totals&& totals, std::size_t depth, std::size_t n_groups) {
    NgramCounts counts;
    for (int s = 0; s < kSubsets; ++s) {
        for (std::size_t n = 0; n < depth; ++n) {
            counts.ngrams[s].push_back(totals.ngrams[n].histograms[s].counts());
            counts.contexts[s].push_back(totals.contexts[n].histograms[s].counts());
        }
    }
    const Quarters& targets = totals.targets;
    counts.targets[0] = sum(targets);
    counts.targets[1] = targets[0] + targets[1];
    counts.targets[2] = targets[2] + targets[3];
    for (int q = 0; q < kQuarters; ++q) counts.targets[3 + q] = targets[q];
    // Without the group of the positions that are not targets.
    totals.losses.resize(n_groups * depth);
    totals.group_targets.resize(n_groups);
    counts.losses = std::move(totals.losses);
    counts.group_targets = std::move(totals.group_targets);
    return counts;
}

template <class Token, class Position>
NgramCounts count(std::span<const Token> tokens, Index vocab_size, const SuffixOrder& order,
                  std::span<const Segment> segments, const Documents& documents, TokenRange range,
                  int threads) {
    const auto depth = static_cast<std::size_t>(order.depth);
    const SuffixBlocks<Token, Position> blocks(tokens, vocab_size, order, range, segments, threads);
    const Logarithms logarithm;
    const Members member_of(documents, segments, order.depth);
    std::deque<Sweep<Position>> sweeps;
    std::mutex mutex;
    parallel_with(
        blocks.n_blocks(), threads,
        [&] {
            const std::lock_guard<std::mutex> lock(mutex);
            return &sweeps.emplace_back(order.depth, static_cast<int>(order.prefix.size()),
                                        member_of, logarithm);
        },
        [&](Index block, Sweep<Position>* sweep) {
            sweep->add(blocks.sort(block, sweep->scratch));
        });
    Totals totals(depth, member_of.n_groups());
    for (const auto& sweep : sweeps) totals.add(sweep.totals);
    return to_counts(std::move(totals), depth, static_cast<std::size_t>(documents.n_clusters()));
}

// Occurrences of one n-gram, as the end of a target's n-gram and of a context.
struct Occurrences {
    Quarters targets{}, contexts{};
    std::vector<Count> group_targets, group_contexts;

    explicit Occurrences(std::size_t n_groups)
        : group_targets(n_groups), group_contexts(n_groups) {}
    void add(const Member& member) {
        ++group_targets[member.target.group()];
        ++group_contexts[member.context.group()];
        if (const int quarter = member.target.quarter(); quarter < kQuarters) ++targets[quarter];
        if (const int quarter = member.context.quarter(); quarter < kQuarters) ++contexts[quarter];
    }
    void add(const Occurrences& other) {
        for (int q = 0; q < kQuarters; ++q) {
            targets[q] += other.targets[q];
            contexts[q] += other.contexts[q];
        }
        for (std::size_t g = 0; g < group_targets.size(); ++g) {
            group_targets[g] += other.group_targets[g];
            group_contexts[g] += other.group_contexts[g];
        }
    }
};

// What an n-gram of m tokens adds to the totals.
Totals totals_of(const Occurrences& found, std::size_t m, std::size_t depth) {
    const std::size_t n_groups = found.group_targets.size();
    Totals totals(depth, n_groups);
    const Logarithms logarithm;
    totals.ngrams[m - 1].add(found.targets);
    const std::int64_t ngram_log = logarithm(sum(found.targets));
    std::int64_t context_log = 0;
    if (m < depth) {
        totals.contexts[m].add(found.contexts);
        context_log = logarithm(sum(found.contexts));
    } else {
        totals.targets = found.targets;
        totals.group_targets = found.group_targets;
    }
    for (std::size_t g = 0; g < n_groups; ++g) {
        const auto as_target = static_cast<std::int64_t>(found.group_targets[g]),
                   as_context = static_cast<std::int64_t>(found.group_contexts[g]);
        totals.losses[g * depth + m - 1] -= as_target * ngram_log;
        totals.losses[g * depth + m] += as_context * context_log;
    }
    return totals;
}

}  // namespace

std::vector<Segment> ngram_population(const Documents& documents, bool across, int max_context) {
    const Documents stream = Documents::single(documents.n_tokens());
    const auto ends = across ? stream.ends() : documents.ends();
    std::vector<Segment> segments;
    Index start = 0;
    for (const Index end : ends) {
        const Index first_target = start + max_context;
        if (first_target < end) segments.push_back({std::max(first_target - 1, start), end});
        start = end;
    }
    return segments;
}

std::int64_t scaled_logarithm(Count c) {
    if (c < 2) return 0;
    return std::llround(std::ldexp(std::log(static_cast<double>(c)), kLossBits));
}

void check_ngrams(Index n_tokens, int max_context, const Documents& documents) {
    require(max_context >= 0 && max_context < kMaxDepth, "max_context must lie in 0 .. 254");
    documents.require_length(n_tokens);
}

template <class Token>
NgramCounts count_ngrams(std::span<const Token> tokens, Index vocab_size, int max_context,
                         const Documents& documents, bool across, TokenRange range, int threads,
                         std::span<const Index> prefix) {
    const Index n_tokens = static_cast<Index>(tokens.size());
    check_ngrams(n_tokens, max_context, documents);
    if (n_tokens == 0) {
        NgramCounts counts;
        for (int s = 0; s < kSubsets; ++s) {
            counts.ngrams[s].resize(static_cast<std::size_t>(max_context) + 1);
            counts.contexts[s].resize(static_cast<std::size_t>(max_context) + 1);
        }
        counts.losses.assign(static_cast<std::size_t>(documents.n_clusters()) *
                                 (static_cast<std::size_t>(max_context) + 1),
                             0);
        counts.group_targets.assign(static_cast<std::size_t>(documents.n_clusters()), 0);
        return counts;
    }
    const std::vector<Segment> segments = ngram_population(documents, across, max_context);
    const SuffixOrder order{max_context + 1, true, -1, prefix};
    if (tokens.size() <= std::size_t{1} << 32) {
        return count<Token, std::uint32_t>(tokens, vocab_size, order, segments, documents, range,
                                           threads);
    }
    return count<Token, std::uint64_t>(tokens, vocab_size, order, segments, documents, range,
                                       threads);
}

template <class Token>
NgramCounts count_ngram(std::span<const Token> tokens, int max_context, const Documents& documents,
                        bool across, std::span<const Index> ngram, int threads) {
    const Index n_tokens = static_cast<Index>(tokens.size());
    check_ngrams(n_tokens, max_context, documents);
    const auto depth = static_cast<std::size_t>(max_context) + 1;
    require(!ngram.empty() && ngram.size() <= depth, "an n-gram has 1 .. max_context + 1 tokens");
    const std::vector<Segment> segments = ngram_population(documents, across, max_context);
    const Members member_of(documents, segments, max_context + 1);
    Occurrences all(member_of.n_groups());
    std::mutex mutex;
    const auto bounds = chunk_bounds(n_tokens, threads);
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads, [&](Index c) {
        Occurrences found(member_of.n_groups());
        for (Index i = bounds[c]; i < bounds[c + 1]; ++i) {
            if (ends_with(tokens, i, ngram) && member_of.contains(i)) found.add(member_of(i));
        }
        const std::lock_guard<std::mutex> lock(mutex);
        all.add(found);
    });
    return to_counts(totals_of(all, ngram.size(), depth), depth,
                     static_cast<std::size_t>(documents.n_clusters()));
}

template <class Token>
std::vector<Index> tokens_before(std::span<const Token> tokens, Index vocab_size, Segment part,
                                 std::span<const Index> ngram, int threads) {
    require(!ngram.empty(), "tokens_before: an n-gram has tokens");
    require(0 <= part.first && part.first <= part.last &&
                part.last <= static_cast<Index>(tokens.size()),
            "tokens_before: the part must lie inside the stream");
    const Index length = static_cast<Index>(ngram.size());
    std::vector<Index> all(static_cast<std::size_t>(vocab_size) + 1, 0);
    std::mutex mutex;
    const auto bounds = chunk_bounds(part.last - part.first, threads);
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads, [&](Index c) {
        std::vector<Index> found(all.size(), 0);
        for (Index i = part.first + bounds[c]; i < part.first + bounds[c + 1]; ++i) {
            if (!ends_with(tokens, i, ngram)) continue;
            const Index before = i - length;
            if (before < 0) {
                ++found[0];
                continue;
            }
            const Index token = static_cast<Index>(tokens[before]);
            if (token >= vocab_size) throw_token_out_of_range(tokens[before], before, vocab_size);
            ++found[token + 1];
        }
        const std::lock_guard<std::mutex> lock(mutex);
        for (std::size_t k = 0; k < all.size(); ++k) all[k] += found[k];
    });
    return all;
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                              \
    template NgramCounts count_ngrams(std::span<const Token>, Index, int, const Documents&, bool, \
                                      TokenRange, int, std::span<const Index>);                   \
    template NgramCounts count_ngram(std::span<const Token>, int, const Documents&, bool,         \
                                     std::span<const Index>, int);                                \
    template std::vector<Index> tokens_before(std::span<const Token>, Index, Segment,             \
                                              std::span<const Index>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
