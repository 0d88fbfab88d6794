// The twin of suffixes/kneser_ney.hpp: training n-grams counted for held-out ones on a GPU.
//
// Suffixes that run backward in time are sorted as for n-gram statistics (gpu/suffix_sort.hpp), so
// that the occurrences of an n-gram are neighbours. Order by order, every suffix goes one step down
// both tries of the held-out tokens, and every run of equal n-grams is counted: its length is the
// count, and the runs of one token more that begin inside it are the distinct tokens before it.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/suffix_sort.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"
#include "ngramstat/suffixes/symbol_trie.hpp"

namespace ngramstat::gpu {

inline constexpr std::uint32_t kNoNode = 0xffffffffu;

// A SymbolTrie as plain pointers.
struct TrieView {
    const std::uint32_t *symbols, *first_child;

    // The child of a node with a symbol, or kNoNode.
    NGRAMSTAT_HD std::uint32_t child(std::uint32_t node, std::int64_t symbol) const {
        if (node == kNoNode) return kNoNode;
        const Index begin = first_child[node],
                    n = static_cast<Index>(first_child[node + 1]) - begin;
        const Index at = first_not_below(symbols + begin, n, symbol);
        if (at == n || static_cast<std::int64_t>(symbols[begin + at]) != symbol) return kNoNode;
        return static_cast<std::uint32_t>(begin + at);
    }
};

class TrieOn {
  public:
    template <class Executor>
    TrieOn(Executor& on, const SymbolTrie& trie) {
        std::vector<std::uint32_t> symbols, first_child;
        const auto n = static_cast<SymbolTrie::Node>(trie.size());
        for (SymbolTrie::Node node = 0; node < n; ++node) {
            symbols.push_back(static_cast<std::uint32_t>(trie.symbol(node)));
            first_child.push_back(trie.first_child(node));
        }
        first_child.push_back(trie.first_child(n));
        symbols_ = to_device(on, std::span<const std::uint32_t>(symbols));
        first_child_ = to_device(on, std::span<const std::uint32_t>(first_child));
    }
    TrieView view() const { return {symbols_.data(), first_child_.data()}; }
    Index size() const { return symbols_.size(); }

  private:
    Buffer<std::uint32_t> symbols_, first_child_;
};

// Symbols of each suffix, at most `depth`.
template <class Token>
struct SuffixLengths {
    SuffixReader<Token> reader;
    const std::uint32_t* positions;
    int depth;
    std::uint8_t* lengths;

    NGRAMSTAT_HD void operator()(Index k) const {
        int length = 1;
        while (length < depth && reader.continues(positions[k], length)) ++length;
        lengths[k] = static_cast<std::uint8_t>(length);
    }
};

// 1 where an n-gram of m tokens begins among the sorted suffixes, and a 0 after the last. Suffixes
// of fewer tokens count as if they were different.
struct HeadsOfNgrams {
    const std::uint8_t* lcp;
    int m;
    Index n;
    std::uint32_t* heads;

    NGRAMSTAT_HD void operator()(Index k) const {
        heads[k] = k < n && (k == 0 || lcp[k] < m) ? 1 : 0;
    }
};

// Each suffix's n-gram of m tokens and its context, from those of one token less.
template <class Token>
struct FollowSuffixes {
    SuffixReader<Token> reader;
    const std::uint32_t* positions;
    const std::uint8_t* lengths;
    TrieView contexts, ngrams;
    int m;
    std::uint32_t *context_nodes, *ngram_nodes;

    NGRAMSTAT_HD void operator()(Index k) const {
        if (m == 1) {
            context_nodes[k] = 0;
            ngram_nodes[k] = 0;
        } else if (lengths[k] < m) {
            context_nodes[k] = kNoNode;
        }
        if (context_nodes[k] == kNoNode) {
            ngram_nodes[k] = kNoNode;
            return;
        }
        const std::int64_t symbol = reader.token(positions[k], m - 1);
        if (m > 1) context_nodes[k] = contexts.child(context_nodes[k], symbol);
        ngram_nodes[k] = ngrams.child(ngram_nodes[k], symbol);
    }
};

// Counts every n-gram of m tokens, for the counts of counts, in its context and for itself.
struct CountNgrams {
    static constexpr int kPhases = 3;
    static constexpr int kThreads = 256;
    static constexpr Index kNgrams = 1 << 14;  // of a block
    static constexpr int kKinds = 5;           // counts of 1, 2, 3, 4; all
    static constexpr std::size_t kShared = 2 * kKinds * sizeof(std::uint32_t);
    static constexpr int kFollowers = 4;  // sum of counts; followers with counts 1, 2, 3 and more

    const std::uint32_t* starts;  // of the n-grams, and the end
    const std::uint32_t* longer;  // n-grams of m + 1 tokens that begin before each suffix
    const std::uint8_t* lengths;
    const std::uint32_t *context_nodes, *ngram_nodes;
    Index n;
    int m;
    bool with_continuation;
    std::uint64_t* numbers;                        // (raw and continuation, kKinds)
    std::uint64_t *raw_contexts, *lower_contexts;  // (nodes, kFollowers)
    std::uint64_t *raw_ngrams, *lower_ngrams;      // by node

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* sums = at.shared_as<std::uint32_t>();
        if constexpr (kPhase == 0) {
            if (at.thread < 2 * kKinds) sums[at.thread] = 0;
        } else if constexpr (kPhase == 1) {
            std::uint32_t mine[2 * kKinds] = {};
            const Index begin = at.block * kNgrams;
            const Index end = begin + kNgrams < n ? begin + kNgrams : n;
            for (Index r = begin + at.thread; r < end; r += at.threads) count(r, mine);
            for (int c = 0; c < 2 * kKinds; ++c) {
                if (mine[c] != 0) add(&sums[c], mine[c]);
            }
        } else if (at.thread < 2 * kKinds && sums[at.thread] != 0) {
            add(&numbers[at.thread], std::uint64_t{sums[at.thread]});
        }
    }

    NGRAMSTAT_HD void count(Index r, std::uint32_t* mine) const {
        const Index first = starts[r], last = starts[r + 1];
        if (lengths[first] < m) return;
        const auto raw = static_cast<std::uint64_t>(last - first);
        // As the beginning of an n-gram the stop token is the end of all suffixes that have it, and
        // each of these counts by itself.
        const std::uint64_t continuation = with_continuation ? longer[last] - longer[first] : 0;
        for (std::uint64_t c = 1; c < kKinds; ++c) {
            mine[c - 1] += raw == c;
            mine[kKinds + c - 1] += continuation == c;
        }
        ++mine[kKinds - 1];
        if (with_continuation) ++mine[2 * kKinds - 1];
        const std::uint32_t context = context_nodes[first], ngram = ngram_nodes[first];
        if (context == kNoNode) return;
        follow(raw_contexts + static_cast<Index>(context) * kFollowers, raw);
        if (with_continuation) {
            follow(lower_contexts + static_cast<Index>(context) * kFollowers, continuation);
        }
        if (ngram == kNoNode) return;
        raw_ngrams[ngram] = raw;
        if (with_continuation) lower_ngrams[ngram] = continuation;
    }
    NGRAMSTAT_HD static void follow(std::uint64_t* context, std::uint64_t count) {
        add(&context[0], count);
        add(&context[count < 3 ? count : 3], std::uint64_t{1});
    }
};

template <class Executor, class Token>
class HeldOutCounterOn : public HeldOutCounter {
  public:
    HeldOutCounterOn(Executor& on, const Stream<Token>& training, const HeldOutTries& held_out)
        : on_(on),
          vocab_size_(held_out.vocab_size),
          order_(held_out.order),
          reader_{nullptr, training.size, held_out.stop_token, true},
          contexts_(on, held_out.contexts),
          ngrams_(on, held_out.ngrams),
          // A separator symbol equal to vocab_size occurs in the stream but is never an event.
          sorter_(on, training, vocab_size_ + (held_out.stop_token == vocab_size_ ? 1 : 0),
                  SuffixOrder{order_, true, held_out.stop_token}) {
        reader_.tokens = sorter_.tokens();
    }
    // The tokens that kernels read may be the caller's.
    ~HeldOutCounterOn() override { on_.synchronize(); }

    HeldOutCounts count(Segment part) override {
        const auto active = on_.activate();
        const Index bounds[2] = {std::min(part.first, reader_.n), std::min(part.last, reader_.n)};
        const Buffer<Index> segment = to_device(on_, std::span<const Index>(bounds));
        constexpr int kFollowers = CountNgrams::kFollowers;
        Totals totals{Buffer<std::uint64_t>(on_, order_ * 2 * CountNgrams::kKinds),
                      Buffer<std::uint64_t>(on_, contexts_.size() * kFollowers),
                      Buffer<std::uint64_t>(on_, contexts_.size() * kFollowers),
                      Buffer<std::uint64_t>(on_, ngrams_.size()),
                      Buffer<std::uint64_t>(on_, ngrams_.size())};
        for (auto* buffer : totals.all()) on_.clear(buffer->data(), buffer->size());
        const Index budget =
            std::max<Index>(1, static_cast<Index>(on_.available()) / kBytesOfPosition);
        for_ranges_that_fit(sorter_.counts(), {0, vocab_size_}, budget,
                            [&](TokenRange range) { add(range, segment.data(), totals); });
        return to_host(totals);
    }

  private:
    // Sorted positions, common prefixes and lengths (6), nodes (8), beginnings of n-grams (12), and
    // scratch for sums.
    static constexpr Index kBytesOfPosition = 30;

    struct Totals {
        Buffer<std::uint64_t> numbers;  // (order, 2, kKinds)
        Buffer<std::uint64_t> raw_contexts, lower_contexts, raw_ngrams, lower_ngrams;

        std::array<Buffer<std::uint64_t>*, 5> all() {
            return {&numbers, &raw_contexts, &lower_contexts, &raw_ngrams, &lower_ngrams};
        }
    };
    // What an order needs: allocated before anything is counted.
    struct Scratch {
        Buffer<std::uint8_t> lengths;
        Buffer<std::uint32_t> contexts, ngrams, begun, longer, starts;

        Scratch(Executor& on, Index n)
            : lengths(on, n),
              contexts(on, n),
              ngrams(on, n),
              begun(on, n + 1),
              longer(on, n + 1),
              starts(on, n + 1) {}
    };

    void add(TokenRange range, const Index* segment, Totals& totals) {
        const Sorted sorted = sorter_.sort(range, segment, segment + 1, 1);
        const Index n = sorted.n;
        if (n == 0) return;
        Scratch scratch(on_, n);
        on_.for_each(n, SuffixLengths<Token>{reader_, sorted.positions.data(), order_,
                                             scratch.lengths.data()});
        // Nothing has been counted where the memory does not suffice for sums of this length.
        begin_ngrams(sorted, 1, scratch.longer);
        for (int m = 1; m <= order_; ++m) {
            scratch.begun.swap(scratch.longer);
            if (m < order_) begin_ngrams(sorted, m + 1, scratch.longer);
            count_order(m, sorted, scratch, totals);
        }
    }

    // The number of n-grams of m tokens that begin before each suffix, and of all.
    void begin_ngrams(const Sorted& sorted, int m, Buffer<std::uint32_t>& begun) {
        on_.for_each(sorted.n + 1, HeadsOfNgrams{sorted.lcp.data(), m, sorted.n, begun.data()});
        on_.exclusive_sum(begun.data(), sorted.n + 1);
    }

    void count_order(int m, const Sorted& sorted, Scratch& scratch, Totals& totals) {
        const Index n = sorted.n;
        on_.for_each(n + 1, StartsOfRuns{scratch.begun.data(), n, scratch.starts.data()});
        std::uint32_t n_ngrams = 0;
        on_.download(&n_ngrams, scratch.begun.data() + n, 1);
        on_.for_each(
            n, FollowSuffixes<Token>{reader_, sorted.positions.data(), scratch.lengths.data(),
                                     contexts_.view(), ngrams_.view(), m, scratch.contexts.data(),
                                     scratch.ngrams.data()});
        using Body = CountNgrams;
        on_.for_blocks(
            (static_cast<Index>(n_ngrams) + Body::kNgrams - 1) / Body::kNgrams, Body::kThreads,
            Body::kShared,
            Body{scratch.starts.data(), scratch.longer.data(), scratch.lengths.data(),
                 scratch.contexts.data(), scratch.ngrams.data(), static_cast<Index>(n_ngrams), m,
                 m < order_, totals.numbers.data() + (m - 1) * 2 * Body::kKinds,
                 totals.raw_contexts.data(), totals.lower_contexts.data(), totals.raw_ngrams.data(),
                 totals.lower_ngrams.data()});
    }

    std::vector<std::uint64_t> downloaded(const Buffer<std::uint64_t>& buffer) const {
        std::vector<std::uint64_t> host(static_cast<std::size_t>(buffer.size()));
        on_.download(host.data(), buffer.data(), buffer.size());
        return host;
    }
    static std::vector<FollowerCounts> followers(const std::vector<std::uint64_t>& numbers) {
        std::vector<FollowerCounts> contexts;
        for (std::size_t at = 0; at < numbers.size(); at += CountNgrams::kFollowers) {
            contexts.push_back({numbers[at], {numbers[at + 1], numbers[at + 2], numbers[at + 3]}});
        }
        return contexts;
    }
    HeldOutCounts to_host(const Totals& totals) const {
        HeldOutCounts result;
        result.counts = KneserNeyCounts(order_);
        const auto numbers = downloaded(totals.numbers);
        const auto kinds = [&](std::size_t row) {
            const std::uint64_t* at = numbers.data() + row * CountNgrams::kKinds;
            return OrderCounts{{at[0], at[1], at[2], at[3]}, at[4]};
        };
        for (std::size_t m = 0; m < result.counts.raw.size(); ++m) {
            result.counts.raw[m] = kinds(2 * m);
            if (m < result.counts.continuation.size()) {
                result.counts.continuation[m] = kinds(2 * m + 1);
            }
        }
        result.raw_contexts = followers(downloaded(totals.raw_contexts));
        result.continuation_contexts = followers(downloaded(totals.lower_contexts));
        result.raw_ngrams = downloaded(totals.raw_ngrams);
        result.continuation_ngrams = downloaded(totals.lower_ngrams);
        return result;
    }

    Executor& on_;
    Index vocab_size_;
    int order_;
    SuffixReader<Token> reader_;
    TrieOn contexts_, ngrams_;
    SuffixSorter<Executor, Token> sorter_;
};

}  // namespace ngramstat::gpu
