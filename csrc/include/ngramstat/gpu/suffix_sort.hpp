// The twin of suffixes/suffix_sort.hpp and suffixes/ngram_counts.hpp: suffixes sorted to a bounded
// depth on a GPU, and the n-gram statistics that follow from them.
//
// Symbols are packed into words of 64 bits. Positions are sorted by the last word first and by the
// first word last; the sorts are stable, and each word is packed from the stream in the current
// order of the positions. Counting the n-grams of one order is then one pass over adjacent
// suffixes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/tokens.hpp"
#include "ngramstat/suffixes/ngram_counts.hpp"

namespace ngramstat::gpu {

// How the suffix at a position reads: see ngramstat::SuffixOrder.
template <class Token>
struct SuffixReader {
    const Token* tokens;
    Index n;
    std::int64_t stop;  // -1: none
    bool backward;

    // Whether the suffix has more than `length` symbols.
    NGRAMSTAT_HD bool continues(Index position, int length) const {
        const Index at = backward ? position - length : position + length;
        if (at < 0 || at >= n) return false;
        return length < 2 || stop < 0 || token(position, length - 1) != stop;
    }
    NGRAMSTAT_HD std::int64_t token(Index position, int symbol) const {
        return static_cast<std::int64_t>(tokens[backward ? position - symbol : position + symbol]);
    }
};

// Symbols [first, last) of the suffix at each position, packed; 0 where it has ended.
template <class Token>
struct PackSymbols {
    SuffixReader<Token> reader;
    const std::uint32_t* positions;
    int first, last, bits;
    std::uint64_t* keys;

    NGRAMSTAT_HD void operator()(Index k) const {
        const Index position = positions[k];
        bool alive = true;
        // An earlier symbol may have been the stop token.
        if (reader.stop >= 0) {
            for (int m = 1; m < first && alive; ++m) alive = reader.continues(position, m);
        }
        std::uint64_t key = 0;
        for (int m = first; m < last; ++m) {
            alive = alive && (m == 0 || reader.continues(position, m));
            key = key << bits |
                  (alive ? static_cast<std::uint64_t>(reader.token(position, m)) + 1 : 0);
        }
        keys[k] = key;
    }
};

template <class Token>
struct CommonPrefixes {
    SuffixReader<Token> reader;
    const std::uint32_t* positions;
    int depth;
    std::uint8_t* lcp;

    NGRAMSTAT_HD void operator()(Index k) const {
        int shared = 0;
        if (k > 0) {
            const Index a = positions[k - 1], b = positions[k];
            while (shared < depth) {
                if (shared > 0 && (!reader.continues(a, shared) || !reader.continues(b, shared)))
                    break;
                if (reader.token(a, shared) != reader.token(b, shared)) break;
                ++shared;
            }
        }
        lcp[k] = static_cast<std::uint8_t>(shared);
    }
};

// Whether one of sorted, disjoint segments holds the position, with a token of the range.
template <class Token>
struct InPopulation {
    const Token* tokens;
    const Index *firsts, *lasts;
    Index n_segments;
    Index first_token, last_token;

    NGRAMSTAT_HD bool operator()(std::uint32_t number) const {
        const Index position = number;
        const Index token = static_cast<Index>(tokens[position]);
        if (token < first_token || token >= last_token) return false;
        const Index s = first_above(lasts, n_segments, position);
        return s < n_segments && position >= firsts[s];
    }
};

// Positions in suffix order, and the common prefix of each with the one before.
struct Sorted {
    Buffer<std::uint32_t> positions;
    Buffer<std::uint8_t> lcp;
    Index n = 0;
};

template <class Executor, class Token>
class SuffixSorter {
  public:
    static constexpr Index kBytesOfPosition = 25;

    SuffixSorter(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                 const SuffixOrder& order)
        : on_(on), n_(tokens.size), order_(order) {
        require(order.depth >= 1 && order.depth <= kMaxDepth, "depth must lie in 1 .. 255");
        if (n_ > (Index{1} << 32) - 256) {
            throw DeviceError("the GPU sorts streams of at most 2^32 - 256 tokens");
        }
        windows_.emplace(on_, tokens, 1.0);
        if (!windows_->is_whole()) {
            throw DeviceMemoryError(static_cast<std::size_t>(n_) * sizeof(Token), on_.available(),
                                    on_.limit());
        }
        counts_ = count_tokens(on_, *windows_, tokens, vocab_size);
        bits_ = bits_below(static_cast<std::uint64_t>(vocab_size) + 1);
    }

    const std::vector<Index>& counts() const { return counts_; }
    const Token* tokens() const { return windows_->whole(); }
    Index size() const { return n_; }

    // The positions of a range of first tokens that lie in segments, whose bounds are on the
    // device.
    Sorted sort(TokenRange range, const Index* firsts, const Index* lasts, Index n_segments) const {
        Index n_positions = 0;
        for (Index t = range.first; t < range.last; ++t)
            n_positions += counts_[static_cast<std::size_t>(t)];
        Sorted sorted;
        sorted.positions = Buffer<std::uint32_t>(on_, n_positions);
        constexpr Index kStep = Index{1} << 30;
        for (Index first = 0; first < n_; first += kStep) {
            sorted.n += on_.select(
                static_cast<std::uint32_t>(first), std::min(kStep, n_ - first),
                InPopulation<Token>{tokens(), firsts, lasts, n_segments, range.first, range.last},
                sorted.positions.data() + sorted.n);
        }
        const SuffixReader<Token> reader{tokens(), n_, order_.stop_token, order_.backward};
        {
            Buffer<std::uint64_t> keys(on_, sorted.n), other_keys(on_, sorted.n);
            Buffer<std::uint32_t> other(on_, n_positions);
            const int per_word = 64 / bits_;
            const int words = (order_.depth + per_word - 1) / per_word;
            for (int word = words - 1; word >= 0; --word) {
                const int first = word * per_word;
                const int last = std::min(first + per_word, order_.depth);
                on_.for_each(sorted.n, PackSymbols<Token>{reader, sorted.positions.data(), first,
                                                          last, bits_, keys.data()});
                on_.sort_pairs(keys, other_keys, sorted.positions, other, sorted.n,
                               (last - first) * bits_);
            }
        }
        sorted.lcp = Buffer<std::uint8_t>(on_, sorted.n);
        on_.for_each(sorted.n, CommonPrefixes<Token>{reader, sorted.positions.data(), order_.depth,
                                                     sorted.lcp.data()});
        return sorted;
    }

  private:
    Executor& on_;
    Index n_;
    SuffixOrder order_;
    int bits_ = 0;
    std::optional<Windows<Executor, Token>> windows_;
    std::vector<Index> counts_;
};

// Ranges of first tokens with at most `budget` positions each; a single token may have more.
inline std::vector<TokenRange> token_ranges(const std::vector<Index>& counts, TokenRange within,
                                            Index budget) {
    std::vector<TokenRange> ranges;
    Index first = within.first, n_positions = 0;
    for (Index token = within.first; token < within.last; ++token) {
        const Index count = counts[static_cast<std::size_t>(token)];
        if (token > first && n_positions + count > budget) {
            ranges.push_back({first, token});
            first = token;
            n_positions = 0;
        }
        n_positions += count;
    }
    if (first < within.last) ranges.push_back({first, within.last});
    return ranges;
}

// Calls work(range) for such ranges, in order. A range that does not fit the memory after all is
// halved; work must have no effect where it throws DeviceMemoryError.
template <class Work>
void for_ranges_that_fit(const std::vector<Index>& counts, TokenRange within, Index budget,
                         Work&& work) {
    std::vector<TokenRange> todo = token_ranges(counts, within, budget);
    std::reverse(todo.begin(), todo.end());
    while (!todo.empty()) {
        const TokenRange range = todo.back();
        todo.pop_back();
        try {
            work(range);
        } catch (const DeviceMemoryError&) {
            if (range.size() < 2) throw;
            const Index middle = range.first + range.size() / 2;
            todo.push_back({middle, range.last});
            todo.push_back({range.first, middle});
        }
    }
}

template <class Executor, class Token>
void suffix_array_on(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                     const SuffixOrder& order, std::span<Index> suffixes,
                     std::span<std::uint8_t> lcp) {
    const SuffixSorter<Executor, Token> sorter(on, tokens, vocab_size, order);
    require(static_cast<Index>(suffixes.size()) == tokens.size && lcp.size() == suffixes.size(),
            "one suffix and one common prefix for each token");
    const Index whole_stream[2] = {0, tokens.size};
    Buffer<Index> bounds(on, 2);
    on.upload(bounds.data(), whole_stream, 2);
    Index budget = std::max<Index>(
        1, static_cast<Index>(on.available()) / SuffixSorter<Executor, Token>::kBytesOfPosition);
    std::size_t done = 0;
    std::vector<std::uint32_t> positions;
    for_ranges_that_fit(sorter.counts(), {0, vocab_size}, budget, [&](TokenRange range) {
        const Sorted sorted = sorter.sort(range, bounds.data(), bounds.data() + 1, 1);
        positions.resize(static_cast<std::size_t>(sorted.n));
        on.download(positions.data(), sorted.positions.data(), sorted.n);
        std::copy(positions.begin(), positions.end(), suffixes.subspan(done).begin());
        on.download(lcp.data() + done, sorted.lcp.data(), sorted.n);
        done += positions.size();
    });
}

// The cluster and the quarter of the document of each target, packed as in ngramstat::Label; `none`
// for positions that are no target.
struct LabelTargets {
    const Index *firsts, *lasts, *document_ends;
    const std::uint8_t* quarters;
    const std::uint32_t* clusters;
    Index n_segments, n_documents;
    bool all;  // every position of a segment is a target, its first one too
    std::uint32_t none;
    std::uint32_t* labels;

    NGRAMSTAT_HD void operator()(Index position) const {
        labels[position] = none;
        const Index s = first_above(lasts, n_segments, position);
        if (s == n_segments || position < firsts[s] || (!all && position == firsts[s])) return;
        const Index document = first_above(document_ends, n_documents, position);
        labels[position] = clusters[document] << 3 | quarters[document];
    }
};

// Labels of the sorted positions and of the positions after them.
struct GatherLabels {
    const std::uint32_t *labels, *positions;
    std::uint32_t *targets, *contexts;

    NGRAMSTAT_HD void operator()(Index k) const {
        targets[k] = labels[positions[k]];
        contexts[k] = labels[positions[k] + 1];
    }
};

// 1 where a run of suffixes that share `length` symbols begins.
struct HeadsOfRuns {
    const std::uint8_t* lcp;
    int length;
    std::uint32_t* heads;

    NGRAMSTAT_HD void operator()(Index k) const { heads[k] = k == 0 || lcp[k] < length ? 1 : 0; }
};

inline constexpr int kQuarterCounts = 8;  // four of targets, four of contexts

// Members of each run by quarter. A thread adds up a stretch before it touches memory that others
// add to, as runs can be long.
struct CountMembers {
    static constexpr Index kStretch = 16;

    const std::uint32_t *runs, *targets, *contexts;  // runs counted from 1
    Index n;
    std::uint32_t* counts;

    NGRAMSTAT_HD void operator()(Index stretch) const {
        const Index begin = stretch * kStretch;
        const Index end = begin + kStretch < n ? begin + kStretch : n;
        std::uint32_t sums[kQuarterCounts] = {};
        for (Index k = begin; k < end; ++k) {
            const std::uint32_t target = targets[k] & 7, context = contexts[k] & 7;
            for (std::uint32_t q = 0; q < 4; ++q) {
                sums[q] += target == q;
                sums[4 + q] += context == q;
            }
            if (k + 1 == end || runs[k + 1] != runs[k]) {
                std::uint32_t* to = counts + static_cast<Index>(runs[k] - 1) * kQuarterCounts;
                for (int q = 0; q < kQuarterCounts; ++q) {
                    if (sums[q] != 0) add(&to[q], sums[q]);
                    sums[q] = 0;
                }
            }
        }
    }
};

// Histograms of the runs' counts in all subsets, of targets and of contexts. Counts of one are
// summed per thread, small ones per block of threads, large ones are listed.
struct HistogramRuns {
    static constexpr int kPhases = 3;
    static constexpr int kThreads = 256;
    static constexpr std::uint32_t kDense = 256;
    static constexpr int kHistograms = 2 * kSubsets;
    static constexpr std::size_t kShared = kHistograms * kDense * sizeof(std::uint32_t);

    const std::uint32_t* counts;
    Index n;
    Index runs_of_block;
    std::uint64_t* dense;  // (histograms, kDense)
    std::uint64_t* large;  // histogram << 32 | count
    std::uint64_t* n_large;

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* block_sums = at.shared_as<std::uint32_t>();
        constexpr int kCells = kHistograms * static_cast<int>(kDense);
        if constexpr (kPhase == 0) {
            for (int c = at.thread; c < kCells; c += at.threads) block_sums[c] = 0;
        } else if constexpr (kPhase == 1) {
            std::uint32_t ones[kHistograms] = {};
            const Index begin = at.block * runs_of_block;
            const Index end = begin + runs_of_block < n ? begin + runs_of_block : n;
            for (Index run = begin + at.thread; run < end; run += at.threads) {
                const std::uint32_t* four = counts + run * kQuarterCounts;
                for (int kind = 0; kind < 2; ++kind, four += 4) {
                    const std::uint32_t first = four[0] + four[1], second = four[2] + four[3];
                    const std::uint32_t sizes[kSubsets] = {first + second, first,   second, four[0],
                                                           four[1],        four[2], four[3]};
                    for (int s = 0; s < kSubsets; ++s) {
                        const int histogram = kind * kSubsets + s;
                        const std::uint32_t size = sizes[s];
                        ones[histogram] += size == 1;
                        if (size < 2) continue;
                        if (size < kDense) {
                            add(&block_sums[static_cast<std::uint32_t>(histogram) * kDense + size],
                                std::uint32_t{1});
                        } else {
                            large[fetch_add(n_large, 1)] =
                                static_cast<std::uint64_t>(histogram) << 32 | size;
                        }
                    }
                }
            }
            for (int h = 0; h < kHistograms; ++h) {
                if (ones[h] != 0)
                    add(&block_sums[static_cast<std::uint32_t>(h) * kDense + 1], ones[h]);
            }
        } else {
            for (int c = at.thread; c < kCells; c += at.threads) {
                if (block_sums[c] != 0) add(&dense[c], std::uint64_t{block_sums[c]});
            }
        }
    }
};

// Losses and gains of the members (see ngramstat::NgramCounts), by cluster: 64-bit sums that wrap
// as signed ones do.
struct SumLosses {
    static constexpr int kPhases = 3;
    static constexpr int kThreads = 512;
    static constexpr Index kMembers = 1 << 16;  // of a block

    const std::uint32_t *runs, *targets, *contexts, *counts;
    Index n;
    const std::uint32_t* values;     // ascending counts
    const std::int64_t* logarithms;  // of each of them
    Index n_values, n_direct;        // values[c] == c below n_direct
    std::uint32_t none;              // cluster of positions that are no target
    bool shared, with_contexts;
    std::uint64_t* losses;  // (2, clusters)

    NGRAMSTAT_HD std::uint64_t logarithm(std::uint32_t count) const {
        Index at = count;
        if (at >= n_direct) at = first_not_below(values, n_values, count);
        return static_cast<std::uint64_t>(logarithms[at]);
    }

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        if constexpr (kPhase == 0) {
            if (shared) clear_block_sums(at);
        } else if constexpr (kPhase == 1) {
            sum_members(at, shared ? at.shared_as<std::uint64_t>() : losses);
        } else {
            if (shared) add_block_sums(at);
        }
    }

    NGRAMSTAT_HD void clear_block_sums(const BlockThread& at) const {
        auto* block_sums = at.shared_as<std::uint64_t>();
        for (std::uint32_t c = static_cast<std::uint32_t>(at.thread); c < 2 * none;
             c += static_cast<std::uint32_t>(at.threads)) {
            block_sums[c] = 0;
        }
    }
    NGRAMSTAT_HD void sum_members(const BlockThread& at, std::uint64_t* sums) const {
        const Index begin = at.block * kMembers;
        const Index end = begin + kMembers < n ? begin + kMembers : n;
        for (Index k = begin + at.thread; k < end; k += at.threads) {
            const std::uint32_t target = targets[k] >> 3, context = contexts[k] >> 3;
            const std::uint32_t* eight = counts + static_cast<Index>(runs[k] - 1) * kQuarterCounts;
            if (target != none) {
                const std::uint32_t size = eight[0] + eight[1] + eight[2] + eight[3];
                if (size > 1) add(&sums[target], ~logarithm(size) + 1);
            }
            if (with_contexts && context != none) {
                const std::uint32_t size = eight[4] + eight[5] + eight[6] + eight[7];
                if (size > 1) add(&sums[none + context], logarithm(size));
            }
        }
    }
    NGRAMSTAT_HD void add_block_sums(const BlockThread& at) const {
        const auto* block_sums = at.shared_as<std::uint64_t>();
        for (std::uint32_t c = static_cast<std::uint32_t>(at.thread); c < 2 * none;
             c += static_cast<std::uint32_t>(at.threads)) {
            if (block_sums[c] != 0) add(&losses[c], block_sums[c]);
        }
    }
};

// Numbers of targets by cluster and by quarter.
struct CountTargets {
    static constexpr int kPhases = 3;
    static constexpr int kThreads = 512;
    static constexpr Index kMembers = 1 << 16;  // of a block

    const std::uint32_t* targets;
    Index n;
    std::uint32_t none;     // cluster of positions that are no target
    bool shared;            // whether a block's sums fit its memory
    std::uint64_t* totals;  // clusters, then quarters

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* block_sums = at.shared_as<std::uint32_t>();
        if constexpr (kPhase == 1) {
            std::uint32_t sums[4] = {};
            const Index begin = at.block * kMembers;
            const Index end = begin + kMembers < n ? begin + kMembers : n;
            for (Index k = begin + at.thread; k < end; k += at.threads) {
                const std::uint32_t cluster = targets[k] >> 3;
                if (cluster == none) continue;
                for (std::uint32_t q = 0; q < 4; ++q) sums[q] += (targets[k] & 7) == q;
                if (shared) {
                    add(&block_sums[cluster], std::uint32_t{1});
                } else {
                    add(&totals[cluster], std::uint64_t{1});
                }
            }
            for (std::uint32_t q = 0; q < 4; ++q) {
                if (sums[q] != 0) add(&totals[none + q], std::uint64_t{sums[q]});
            }
        } else if (shared) {
            for (auto g = static_cast<std::uint32_t>(at.thread); g < none;
                 g += static_cast<std::uint32_t>(at.threads)) {
                if constexpr (kPhase == 0) {
                    block_sums[g] = 0;
                } else if (block_sums[g] != 0) {
                    add(&totals[g], std::uint64_t{block_sums[g]});
                }
            }
        }
    }
};

template <class Executor, class Token>
class NgramCounterOn : public NgramCounter {
  public:
    NgramCounterOn(Executor& on, const Stream<Token>& tokens, Index vocab_size, int max_context,
                   const Documents& documents, bool across)
        : on_(on),
          vocab_size_(vocab_size),
          depth_(max_context + 1),
          n_documents_(documents.size()),
          n_clusters_(static_cast<std::uint32_t>(documents.n_clusters())) {
        check_ngrams(tokens.size, max_context, documents);
        const auto active = on_.activate();
        sorter_.emplace(on_, tokens, vocab_size, SuffixOrder{depth_, true, -1});
        std::vector<Index> firsts, lasts;
        for (const Segment& segment : ngram_population(documents, across, max_context)) {
            firsts.push_back(segment.first);
            lasts.push_back(segment.last);
        }
        firsts_ = to_device(on_, std::span<const Index>(firsts));
        lasts_ = to_device(on_, std::span<const Index>(lasts));
        ends_ = to_device(on_, documents.ends());
        const std::vector<std::uint8_t> quarters = documents.quarters();
        quarters_ = to_device(on_, std::span<const std::uint8_t>(quarters));
        clusters_ = to_device(on_, documents.clusters());
        // One label more, for the position after the last.
        labels_ = Buffer<std::uint32_t>(on_, tokens.size + 1);
        on_.for_each(tokens.size, LabelTargets{firsts_.data(), lasts_.data(), ends_.data(),
                                               quarters_.data(), clusters_.data(), lasts_.size(),
                                               n_documents_, depth_ == 1, none(), labels_.data()});
        const std::uint32_t last = none();
        on_.upload(labels_.data() + tokens.size, &last, 1);
    }

    Index positions_that_fit() const override {
        return std::max<Index>(1, static_cast<Index>(on_.available()) / kBytesOfPosition);
    }

    std::vector<Index> token_counts() const override { return sorter_->counts(); }

    NgramCounts count(TokenRange range) override {
        const auto active = on_.activate();
        check_range(range, vocab_size_);
        Totals totals(depth_, n_clusters_);
        for_ranges_that_fit(sorter_->counts(), range, positions_that_fit(), [&](TokenRange part) {
            Totals more(depth_, n_clusters_);
            add(part, more);
            totals.add(more);
        });
        return totals.counts();
    }

  private:
    // Sorted positions and common prefixes (5), labels (8), runs (4), their counts (at most 32),
    // and scratch to sort the list of large counts.
    static constexpr Index kBytesOfPosition = 52;
    // Bytes of sums that a block of threads keeps in shared memory; larger ones go to device
    // memory.
    static constexpr std::size_t kSharedSums = 48 << 10;
    using Map = std::map<Count, Count>;

    struct Totals {
        std::vector<std::array<Map, 2 * kSubsets>> maps;
        std::vector<std::uint64_t> losses, group_targets;  // losses wrap
        std::array<std::uint64_t, 4> targets{};
        int depth;

        Totals(int d, std::uint32_t clusters)
            : maps(static_cast<std::size_t>(d)),
              losses(static_cast<std::size_t>(d) * clusters),
              group_targets(clusters),
              depth(d) {}

        void add(const Totals& other) {
            for (std::size_t m = 0; m < maps.size(); ++m) {
                for (std::size_t h = 0; h < maps[m].size(); ++h) {
                    for (const auto& [count, number] : other.maps[m][h])
                        maps[m][h][count] += number;
                }
            }
            for (std::size_t i = 0; i < losses.size(); ++i) losses[i] += other.losses[i];
            for (std::size_t g = 0; g < group_targets.size(); ++g) {
                group_targets[g] += other.group_targets[g];
            }
            for (std::size_t q = 0; q < 4; ++q) targets[q] += other.targets[q];
        }

        NgramCounts counts() const {
            NgramCounts result;
            for (std::size_t s = 0; s < kSubsets; ++s) {
                result.contexts[s].emplace_back();
                for (std::size_t m = 0; m < maps.size(); ++m) {
                    const Map& ngrams = maps[m][s];
                    result.ngrams[s].emplace_back(ngrams.begin(), ngrams.end());
                    if (m + 1 == maps.size()) continue;
                    const Map& contexts = maps[m][kSubsets + s];
                    result.contexts[s].emplace_back(contexts.begin(), contexts.end());
                }
            }
            result.targets[0] = targets[0] + targets[1] + targets[2] + targets[3];
            result.targets[1] = targets[0] + targets[1];
            result.targets[2] = targets[2] + targets[3];
            for (std::size_t q = 0; q < 4; ++q) result.targets[3 + q] = targets[q];
            for (const std::uint64_t loss : losses) {
                result.losses.push_back(static_cast<std::int64_t>(loss));
            }
            result.group_targets.assign(group_targets.begin(), group_targets.end());
            return result;
        }
    };

    std::uint32_t none() const { return n_clusters_ << 3 | 7; }

    void add(TokenRange range, Totals& totals) const {
        const Sorted sorted = sorter_->sort(range, firsts_.data(), lasts_.data(), lasts_.size());
        const Index n = sorted.n;
        if (n == 0) return;
        Buffer<std::uint32_t> targets(on_, n), contexts(on_, n), runs(on_, n);
        on_.for_each(n, GatherLabels{labels_.data(), sorted.positions.data(), targets.data(),
                                     contexts.data()});
        count_targets(targets, n, totals);
        for (int m = 1; m <= depth_; ++m) {
            on_.for_each(n, HeadsOfRuns{sorted.lcp.data(), m, runs.data()});
            on_.inclusive_sum(runs.data(), n);
            std::uint32_t n_runs = 0;
            on_.download(&n_runs, runs.data() + n - 1, 1);
            Buffer<std::uint32_t> counts(on_, static_cast<Index>(n_runs) * kQuarterCounts);
            on_.clear(counts.data(), counts.size());
            on_.for_each(
                (n + CountMembers::kStretch - 1) / CountMembers::kStretch,
                CountMembers{runs.data(), targets.data(), contexts.data(), n, counts.data()});
            auto& maps = totals.maps[static_cast<std::size_t>(m - 1)];
            histogram(counts, n_runs, n, maps);
            sum_losses(m, runs, targets, contexts, counts, n, maps, totals);
        }
    }

    void count_targets(const Buffer<std::uint32_t>& targets, Index n, Totals& totals) const {
        Buffer<std::uint64_t> sums(on_, static_cast<Index>(n_clusters_) + 4);
        on_.clear(sums.data(), sums.size());
        const std::size_t shared = static_cast<std::size_t>(n_clusters_) * sizeof(std::uint32_t);
        const bool fits = shared <= kSharedSums;
        on_.for_blocks((n + CountTargets::kMembers - 1) / CountTargets::kMembers,
                       CountTargets::kThreads, fits ? shared : 0,
                       CountTargets{targets.data(), n, n_clusters_, fits, sums.data()});
        on_.download(totals.group_targets.data(), sums.data(), static_cast<Index>(n_clusters_));
        on_.download(totals.targets.data(), sums.data() + n_clusters_, 4);
    }

    void histogram(const Buffer<std::uint32_t>& counts, Index n_runs, Index n,
                   std::array<Map, 2 * kSubsets>& maps) const {
        constexpr Index kCells = HistogramRuns::kHistograms * HistogramRuns::kDense;
        // Every member is in three subsets of targets and in three of contexts.
        const Index max_large = 6 * n / HistogramRuns::kDense + 1;
        Buffer<std::uint64_t> dense(on_, kCells + 1), large(on_, max_large), other(on_, max_large);
        on_.clear(dense.data(), kCells + 1);
        const Index blocks =
            std::clamp<Index>(n_runs / 4096, 1, 16 * static_cast<Index>(on_.multiprocessors()));
        const Index runs_of_block = (n_runs + blocks - 1) / blocks;
        on_.for_blocks(blocks, HistogramRuns::kThreads, HistogramRuns::kShared,
                       HistogramRuns{counts.data(), n_runs, runs_of_block, dense.data(),
                                     large.data(), dense.data() + kCells});
        std::vector<std::uint64_t> host(static_cast<std::size_t>(kCells) + 1);
        on_.download(host.data(), dense.data(), kCells + 1);
        for (std::size_t h = 0; h < maps.size(); ++h) {
            for (std::size_t c = 1; c < HistogramRuns::kDense; ++c) {
                const std::uint64_t number = host[h * HistogramRuns::kDense + c];
                if (number != 0) maps[h][c] += number;
            }
        }
        const Index listed = static_cast<Index>(host.back());
        if (listed == 0) return;
        on_.sort_keys(large, other, listed, 36);
        Buffer<std::uint32_t> lengths(on_, listed);
        const Index distinct = on_.run_lengths(large.data(), listed, other.data(), lengths.data());
        std::vector<std::uint64_t> keys(static_cast<std::size_t>(distinct));
        std::vector<std::uint32_t> numbers(keys.size());
        on_.download(keys.data(), other.data(), distinct);
        on_.download(numbers.data(), lengths.data(), distinct);
        for (std::size_t i = 0; i < keys.size(); ++i) {
            maps[keys[i] >> 32][keys[i] & 0xffffffffu] += numbers[i];
        }
    }

    void sum_losses(int m, const Buffer<std::uint32_t>& runs, const Buffer<std::uint32_t>& targets,
                    const Buffer<std::uint32_t>& contexts, const Buffer<std::uint32_t>& counts,
                    Index n, const std::array<Map, 2 * kSubsets>& maps, Totals& totals) const {
        // Logarithms come from the host, so that they are the same to the last bit.
        std::vector<std::uint32_t> values;
        std::vector<std::int64_t> logarithms;
        for (std::uint32_t c = 0; c < HistogramRuns::kDense; ++c) values.push_back(c);
        std::vector<std::uint32_t> large;
        for (const std::size_t h : {std::size_t{0}, static_cast<std::size_t>(kSubsets)}) {
            for (auto it = maps[h].lower_bound(HistogramRuns::kDense); it != maps[h].end(); ++it) {
                large.push_back(static_cast<std::uint32_t>(it->first));
            }
        }
        std::sort(large.begin(), large.end());
        large.erase(std::unique(large.begin(), large.end()), large.end());
        values.insert(values.end(), large.begin(), large.end());
        for (const std::uint32_t value : values) logarithms.push_back(scaled_logarithm(value));
        const auto values_on_device = to_device(on_, std::span<const std::uint32_t>(values));
        const auto logarithms_on_device = to_device(on_, std::span<const std::int64_t>(logarithms));
        Buffer<std::uint64_t> losses(on_, 2 * static_cast<Index>(n_clusters_));
        on_.clear(losses.data(), losses.size());
        const std::size_t shared = losses.bytes();
        const bool fits = shared <= kSharedSums;
        on_.for_blocks(
            (n + SumLosses::kMembers - 1) / SumLosses::kMembers, SumLosses::kThreads,
            fits ? shared : 0,
            SumLosses{runs.data(), targets.data(), contexts.data(), counts.data(), n,
                      values_on_device.data(), logarithms_on_device.data(), values_on_device.size(),
                      HistogramRuns::kDense, n_clusters_, fits, m < depth_, losses.data()});
        std::vector<std::uint64_t> host(2 * static_cast<std::size_t>(n_clusters_));
        on_.download(host.data(), losses.data(), losses.size());
        const auto depth = static_cast<std::size_t>(depth_), order = static_cast<std::size_t>(m);
        for (std::size_t g = 0; g < n_clusters_; ++g) {
            totals.losses[g * depth + order - 1] += host[g];
            if (m < depth_) totals.losses[g * depth + order] += host[n_clusters_ + g];
        }
    }

    Executor& on_;
    Index vocab_size_;
    int depth_;
    Index n_documents_;
    std::uint32_t n_clusters_;
    std::optional<SuffixSorter<Executor, Token>> sorter_;
    Buffer<Index> firsts_, lasts_, ends_;
    Buffer<std::uint8_t> quarters_;
    Buffer<std::uint32_t> clusters_, labels_;
};

}  // namespace ngramstat::gpu
