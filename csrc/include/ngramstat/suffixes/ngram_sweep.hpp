// Counts the n-grams of one block of sorted suffixes. The suffixes run backward in time, so all
// occurrences of an n-gram are neighbours in the order, and so are, among them, those with the same
// token before: one pass yields the counts and the continuation counts of every order.
//
// An n-gram is open from its first occurrence in the order to its last. N-grams that occur once are
// never opened: they are counted at once, which is faster and they are the majority.
#pragma once

#include <algorithm>
#include <array>
#include <mutex>
#include <span>

#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

// Every n-gram is handed to a sink, those of one order as they are sorted (by their last token,
// then the one before, and so on), each after its suffix of one token less. A Sink has
//   void open(int m, Index oldest)   an n-gram of m tokens begins, which extends the one of m - 1
//                                    tokens that is open by its oldest token
//   void close(int m, Count count, Count continuation)   it ends; continuation is 0 for m = order
//   void once(int first, int last, symbol)   n-grams of first .. last tokens that occur once;
//                                    symbol(m - 1) is the oldest token of the one of m tokens
//   void expect(symbol)              the n-grams whose symbols these are will follow soon
// Where the blocks have a prefix, it and the shorter n-grams it begins with are opened and never
// closed: their counts are those of several ranges.
template <class Token, class Position, class Sink>
class NgramSweep {
  public:
    NgramSweep(const SuffixBlocks<Token, Position>& blocks, std::span<const Token> training,
               int order, Index stop_token, Sink& sink)
        : blocks_(blocks),
          training_(training),
          order_(order),
          stop_token_(stop_token),
          sink_(sink),
          counts_(order) {}

    const KneserNeyCounts& count(const SortedSuffixes<Position>& sorted) {
        sorted_ = sorted;
        const auto lcp = sorted.lcp;
        const Index n = static_cast<Index>(lcp.size());
        const bool reads_tokens = blocks_.known_symbols() < order_;
        const int prefix = static_cast<int>(blocks_.prefix().size());
        for (int m = 1; m <= prefix; ++m) sink_.open(m, blocks_.prefix()[m - 1]);
        int open = prefix;  // orders 1 .. open have an open n-gram
        for (Index k = 0; k < n; ++k) {
            const int shared = lcp[k], shared_with_next = k + 1 < n ? lcp[k + 1] : prefix;
            for (int m = open; m > shared; --m) close_ngram(m, k);
            if (reads_tokens) {
                if (k + kTokensAhead < n) prefetch(&training_[sorted.positions[k + kTokensAhead]]);
                // Every position may bring in a page of its own.
                if (k % kBetweenReleases == 0) release_pages_if_needed();
            }
            if (k + kAhead < n && lcp[k + kAhead] < 3) sink_.expect(symbols_at(k + kAhead));
            for (int m = shared + 1; m <= shared_with_next; ++m) open_ngram(m, k);
            open = std::max(shared, shared_with_next);
            const int length = length_at(k);
            // A new token before the longest n-gram that is open. The beginning of the stream
            // counts as a token like any other.
            if (open > 0 && open < order_) ++distinct_before_[open];
            if (open < length) {
                ++singletons_from_[open + 1];
                ++singletons_to_[length + 1];
                sink_.once(open + 1, length, symbols_at(k));
            }
        }
        for (int m = open; m > prefix; --m) close_ngram(m, n);
        add_singletons();
        return counts_;
    }

  private:
    // Distances, in sorted suffixes, at which tokens and n-grams are prefetched.
    static constexpr Index kTokensAhead = 24;
    static constexpr Index kAhead = 8;
    static constexpr Index kBetweenReleases = 512;  // suffixes between two looks at the memory

    Index symbol(Index place, int m) const {
        return blocks_.symbol(sorted_, static_cast<std::size_t>(place), m);
    }
    auto symbols_at(Index place) const {
        return [this, place](int m) { return symbol(place, m); };
    }

    // Symbols of the suffix at place k, at most order_.
    int length_at(Index k) const {
        int m = 1;
        while (m < order_ && symbol(k, m) >= 0) ++m;
        return m;
    }

    void open_ngram(int m, Index k) {
        start_[m] = k;
        distinct_before_[m] = 0;
        if (m > 1) ++distinct_before_[m - 1];
        sink_.open(m, symbol(k, m - 1));
    }

    // Counts the n-gram of order m that occupies the sorted places [start_[m], end).
    void close_ngram(int m, Index end) {
        const Count count = static_cast<Count>(end - start_[m]);
        counts_.raw[m - 1].add(count);
        Count continuation = 0;
        if (m < order_) {
            const bool begins_with_stop = m > 1 && symbol(end - 1, m - 1) == stop_token_;
            continuation = begins_with_stop ? count : distinct_before_[m];
            counts_.continuation[m - 1].add(continuation);
        }
        sink_.close(m, count, continuation);
    }

    void add_singletons() {
        Count singletons = 0;
        for (int m = 1; m <= order_; ++m) {
            singletons += singletons_from_[m] - singletons_to_[m];
            counts_.raw[m - 1].add_singletons(singletons);
            if (m < order_) counts_.continuation[m - 1].add_singletons(singletons);
        }
    }

    const SuffixBlocks<Token, Position>& blocks_;
    std::span<const Token> training_;
    int order_;
    Index stop_token_;
    Sink& sink_;
    KneserNeyCounts counts_;
    SortedSuffixes<Position> sorted_;
    // The open n-gram of each order m: where it began, and how many distinct tokens came before it
    // so far.
    std::array<Index, kMaxOrder + 2> start_{};
    std::array<Count, kMaxOrder + 2> distinct_before_{};
    // N-grams that occur once: by the lowest order at which a position has them, and by one more
    // than the highest.
    std::array<Count, kMaxOrder + 2> singletons_from_{};
    std::array<Count, kMaxOrder + 2> singletons_to_{};
};

// The tokens whose n-grams are counted.
//   symbols      ids that occur in the stream; a separator that is no event may be one more than
//                the vocabulary
//   first_event  tokens before it only serve as context
//   prefix       of the n-grams, last token first: see SuffixOrder
template <class Token>
struct NgramStream {
    std::span<const Token> tokens;
    Index first_event;
    Index symbols;
    int order;
    Index stop_token;
    std::span<const Index> prefix = {};

    // Calls body(blocks) with the sorted blocks of the range.
    template <class Body>
    void with_blocks(TokenRange range, int threads, Body&& body) const {
        if (tokens.size() <= std::size_t{1} << 32) {
            body(blocks<std::uint32_t>(range, threads));
        } else {
            body(blocks<std::uint64_t>(range, threads));
        }
    }

  private:
    template <class Position>
    SuffixBlocks<Token, Position> blocks(TokenRange range, int threads) const {
        const Index n = static_cast<Index>(tokens.size());
        const Segment events{std::min(first_event, n), n};
        return SuffixBlocks<Token, Position>(tokens, symbols,
                                             SuffixOrder{order, true, stop_token, prefix}, range,
                                             {&events, 1}, threads, false);
    }
};

// The n-grams whose last token lies in a range, block by block. `sink_of(block)` makes the sink of
// a block, `done(block, counts)` is called for one block at a time, in any order.
template <class Token, class SinkOf, class Done>
void sweep_ngrams(const NgramStream<Token>& stream, TokenRange range, int threads, SinkOf&& sink_of,
                  Done&& done) {
    std::mutex mutex;
    stream.with_blocks(
        range, threads, [&]<class Position>(const SuffixBlocks<Token, Position>& blocks) {
            parallel_with(
                blocks.n_blocks(), threads, [] { return SuffixScratch<Position>(); },
                [&](Index block, SuffixScratch<Position>& scratch) {
                    auto sink = sink_of(block);
                    NgramSweep<Token, Position, decltype(sink)> sweep(
                        blocks, stream.tokens, stream.order, stream.stop_token, sink);
                    const KneserNeyCounts& counts = sweep.count(blocks.sort(block, scratch));
                    const std::lock_guard<std::mutex> lock(mutex);
                    done(block, counts);
                });
        });
}

}  // namespace ngramstat
