#include "ngramstat/suffixes/kneser_ney.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

namespace {

// Distances, in sorted suffixes, at which tokens and context nodes are prefetched.
constexpr Index kTokensAhead = 24;
constexpr Index kNodesAhead = 8;
constexpr Index kBetweenReleases = 512;  // suffixes read between two checks of resident memory

std::uint64_t pack(std::uint32_t node, std::uint64_t token) {
    return std::uint64_t{node} << 32 | token;
}

void atomic_add(Count& target, Count value) {
    std::atomic_ref<Count>(target).fetch_add(value, std::memory_order_relaxed);
}

void add_count(FollowerCounts& context, Count count) {
    atomic_add(context.sum, count);
    atomic_add(context.number[std::min<Count>(count, 3) - 1], 1);
}

double discount(const OrderDiscounts& discounts, Count count) {
    return count == 0 ? 0.0 : discounts[std::min<Count>(count, 3) - 1];
}

// One level of interpolation; a context without counts leaves the lower order's probability as it
// is.
double interpolate(const FollowerCounts& context, Count count, const OrderDiscounts& discounts,
                   double lower_order) {
    if (context.sum == 0) return lower_order;
    double freed = 0.0;  // what the discounts of all followers take off
    for (std::size_t c = 0; c < 3; ++c) {
        freed += discounts[c] * static_cast<double>(context.number[c]);
    }
    const double discounted =
        std::max(static_cast<double>(count) - discount(discounts, count), 0.0);
    return (discounted + freed * lower_order) / static_cast<double>(context.sum);
}

}  // namespace

template <class Token>
KneserNey<Token>::KneserNey(std::span<const Token> held_out, const Documents& documents,
                            Index vocab_size, int order, Index stop_token)
    : held_out_(held_out.begin(), held_out.end()),
      documents_(documents),
      vocab_size_(vocab_size),
      order_(order),
      stop_token_(stop_token) {
    require(order >= 1 && order <= kMaxOrder, "order must lie in 1 .. 16");
    require(vocab_size > 0, "vocab_size must be positive");
    documents_.require_length(static_cast<Index>(held_out.size()));
    require(stop_token >= -1 && stop_token <= vocab_size, "stop_token must be -1 or a token");
    counts_.raw.resize(static_cast<std::size_t>(order));
    counts_.continuation.resize(static_cast<std::size_t>(order) - 1);
    index_held_out();
    raw_contexts_.resize(nodes_.size() + 1);
    continuation_contexts_.resize(nodes_.size() + 1);
    raw_ngrams_.assign(ngrams_.size(), 0);
    continuation_ngrams_.assign(ngrams_.size(), 0);
}

// Numbers every n-gram that ends at a scored token, and its context.
template <class Token>
void KneserNey<Token>::index_held_out() {
    const Index n = static_cast<Index>(held_out_.size());
    const std::size_t cells = held_out_.size() * static_cast<std::size_t>(order_);
    position_nodes_.assign(cells, KeyTable::kAbsent);
    position_ngrams_.assign(cells, KeyTable::kAbsent);
    for (Index i = 0; i < n; ++i) {
        const Index token = static_cast<Index>(held_out_[i]);
        const bool separator_symbol = token == vocab_size_ && token == stop_token_;
        if (token >= vocab_size_ && !separator_symbol) {
            throw_token_out_of_range(held_out_[i], i, vocab_size_);
        }
    }
    for (Index d = 0; d < documents_.size(); ++d) {
        for (Index i = documents_.content_starts()[d]; i < documents_.content_ends()[d]; ++i) {
            index_position(i);
        }
    }
}

template <class Token>
void KneserNey<Token>::index_position(Index i) {
    const Index token = static_cast<Index>(held_out_[i]);
    require(token < vocab_size_, "a token outside the vocabulary cannot be scored");
    std::uint32_t node = 0;
    for (int m = 1; m <= order_; ++m) {
        if (m > 1) {
            const Index at = i - m + 1;
            // Where the oldest symbol so far is the stop token, nothing precedes it.
            if (at < 0 || (m > 2 && static_cast<Index>(held_out_[at + 1]) == stop_token_)) break;
            node = nodes_.insert(pack(node, held_out_[at])) + 1;
        }
        position_nodes_[i * order_ + m - 1] = node;
        position_ngrams_[i * order_ + m - 1] =
            ngrams_.insert(pack(node, static_cast<std::uint64_t>(token)));
    }
}

template <class Token>
void KneserNey<Token>::add_training(std::span<const Token> training, Index first_event,
                                    TokenRange range, int threads) {
    require(range.last <= vocab_size_, "token range must lie inside [0, vocab_size]");
    if (training.size() <= std::size_t{1} << 32) {
        sweep<std::uint32_t>(training, first_event, range, threads);
    } else {
        sweep<std::uint64_t>(training, first_event, range, threads);
    }
}

// Counts the n-grams of one block of sorted suffixes. The suffixes run backward in time, so all
// occurrences of an n-gram are neighbours in the order, and so are, among them, those with the same
// token before: one pass yields the counts and the continuation counts of every order.
//
// An n-gram is open from its first occurrence in the order to its last. N-grams that occur once are
// never opened: they are counted at once, which is faster and they are the majority.
template <class Token>
template <class Position>
class KneserNey<Token>::BlockSweep {
  public:
    BlockSweep(KneserNey& model, const SuffixBlocks<Token, Position>& blocks,
               std::span<const Token> training)
        : model_(model), blocks_(blocks), training_(training), order_(model.order_) {
        counts_.raw.resize(model.counts_.raw.size());
        counts_.continuation.resize(model.counts_.continuation.size());
    }

    const KneserNeyCounts& count(const SortedSuffixes<Position>& sorted) {
        sorted_ = sorted;
        const auto lcp = sorted.lcp;
        const Index n = static_cast<Index>(lcp.size());
        const bool reads_tokens = blocks_.known_symbols() < order_;
        int open = 0;  // orders 1 .. open have an open n-gram
        for (Index k = 0; k < n; ++k) {
            const int shared = lcp[k], shared_with_next = k + 1 < n ? lcp[k + 1] : 0;
            for (int m = open; m > shared; --m) close_ngram(m, k);
            if (reads_tokens) {
                if (k + kTokensAhead < n) prefetch(&training_[sorted.positions[k + kTokensAhead]]);
                // Every position may bring in a page of its own.
                if (k % kBetweenReleases == 0) release_pages_if_needed();
            }
            if (k + kNodesAhead < n && lcp[k + kNodesAhead] < 3) prefetch_node(k + kNodesAhead);
            if (shared == 0) token_ = static_cast<std::uint64_t>(symbol(k, 0));
            for (int m = shared + 1; m <= shared_with_next; ++m) open_ngram(m, k);
            open = std::max(shared, shared_with_next);
            const int length = length_at(k);
            // A new token before the longest n-gram that is open. The beginning of the stream
            // counts as a token like any other.
            if (open > 0 && open < order_) ++distinct_before_[open];
            if (open < length) count_singletons(k, open + 1, length);
        }
        for (int m = open; m > 0; --m) close_ngram(m, n);
        add_singletons();
        return counts_;
    }

  private:
    Index symbol(Index place, int m) const {
        return blocks_.symbol(sorted_, static_cast<std::size_t>(place), m);
    }

    // Symbols of the suffix at place k, at most order_.
    int length_at(Index k) const {
        int m = 1;
        while (m < order_ && symbol(k, m) >= 0) ++m;
        return m;
    }

    // The node of a context that is its parent's with one more token before it.
    std::uint32_t child_of(std::uint32_t parent, Index before) const {
        if (parent == KeyTable::kAbsent) return parent;
        const std::uint32_t child =
            model_.nodes_.find(pack(parent, static_cast<std::uint64_t>(before)));
        return child == KeyTable::kAbsent ? child : child + 1;
    }

    // The first lookup of a place that is probably not in the cache: its context of two tokens.
    void prefetch_node(Index k) const {
        if (order_ < 3) return;
        const Index first = symbol(k, 1), second = first < 0 ? first : symbol(k, 2);
        if (second < 0) return;
        const std::uint32_t parent = child_of(0, first);
        if (parent == KeyTable::kAbsent) return;
        model_.nodes_.prefetch(pack(parent, static_cast<std::uint64_t>(second)));
    }

    void open_ngram(int m, Index k) {
        start_[m] = k;
        distinct_before_[m] = 0;
        if (m > 1) ++distinct_before_[m - 1];
        node_[m] = m == 1 ? 0 : child_of(node_[m - 1], symbol(k, m - 1));
    }

    // Counts the n-gram of order m that occupies the sorted places [start_[m], end).
    void close_ngram(int m, Index end) {
        const Count count = static_cast<Count>(end - start_[m]);
        counts_.raw[m - 1].add(count);
        Count continuation = 0;
        if (m < order_) {
            const bool begins_with_stop = m > 1 && symbol(end - 1, m - 1) == model_.stop_token_;
            continuation = begins_with_stop ? count : distinct_before_[m];
            counts_.continuation[m - 1].add(continuation);
        }
        if (node_[m] != KeyTable::kAbsent) record(m, node_[m], count, continuation);
    }

    // Counts an n-gram in its context and, if the held-out tokens contain it, for itself.
    void record(int m, std::uint32_t node, Count count, Count continuation) {
        add_count(model_.raw_contexts_[node], count);
        if (m < order_) add_count(model_.continuation_contexts_[node], continuation);
        const std::uint32_t ngram = model_.ngrams_.find(pack(node, token_));
        if (ngram == KeyTable::kAbsent) return;
        model_.raw_ngrams_[ngram] = count;
        if (m < order_) model_.continuation_ngrams_[ngram] = continuation;
    }

    // N-grams of orders first .. last that occur at place k alone.
    void count_singletons(Index k, int first, int last) {
        ++singletons_from_[first];
        ++singletons_to_[last + 1];
        std::uint32_t node = first == 1 ? 0 : child_of(node_[first - 1], symbol(k, first - 1));
        for (int m = first; node != KeyTable::kAbsent;) {
            record(m, node, 1, 1);
            if (++m > last) break;
            node = child_of(node, symbol(k, m - 1));
        }
    }

    void add_singletons() {
        Count singletons = 0;
        for (int m = 1; m <= order_; ++m) {
            singletons += singletons_from_[m] - singletons_to_[m];
            counts_.raw[m - 1].add_singletons(singletons);
            if (m < order_) counts_.continuation[m - 1].add_singletons(singletons);
        }
    }

    KneserNey& model_;
    const SuffixBlocks<Token, Position>& blocks_;
    std::span<const Token> training_;
    int order_;
    KneserNeyCounts counts_;
    SortedSuffixes<Position> sorted_;
    std::uint64_t token_ = 0;  // the last token of the open n-grams
    // The open n-gram of each order m: where it began, how many distinct tokens came before it so
    // far, and the node of its context in the held-out trie (kAbsent: not a held-out context).
    std::array<Index, kMaxOrder + 2> start_{};
    std::array<Count, kMaxOrder + 2> distinct_before_{};
    std::array<std::uint32_t, kMaxOrder + 2> node_{};
    // N-grams that occur once: by the lowest order at which a position has them, and by one more
    // than the highest.
    std::array<Count, kMaxOrder + 2> singletons_from_{};
    std::array<Count, kMaxOrder + 2> singletons_to_{};
};

template <class Token>
template <class Position>
void KneserNey<Token>::sweep(std::span<const Token> training, Index first_event, TokenRange range,
                             int threads) {
    // A separator symbol equal to vocab_size occurs in the stream but is never an event.
    const Index symbols = stop_token_ == vocab_size_ ? vocab_size_ + 1 : vocab_size_;
    const Index n_training = static_cast<Index>(training.size());
    const Segment events{std::min(first_event, n_training), n_training};
    const SuffixBlocks<Token, Position> blocks(training, symbols,
                                               SuffixOrder{order_, true, stop_token_}, range,
                                               {&events, 1}, threads, false);
    std::mutex mutex;
    parallel_with(
        blocks.n_blocks(), threads, [] { return SuffixScratch<Position>(); },
        [&](Index block, SuffixScratch<Position>& scratch) {
            BlockSweep<Position> block_sweep(*this, blocks, training);
            const KneserNeyCounts& of_block = block_sweep.count(blocks.sort(block, scratch));
            const std::lock_guard<std::mutex> lock(mutex);
            merge(of_block);
        });
}

template <class Token>
void KneserNey<Token>::merge(const KneserNeyCounts& of_block) {
    for (std::size_t m = 0; m < of_block.raw.size(); ++m) counts_.raw[m].merge(of_block.raw[m]);
    for (std::size_t m = 0; m < of_block.continuation.size(); ++m) {
        counts_.continuation[m].merge(of_block.continuation[m]);
    }
}

template <class Token>
void KneserNey<Token>::score(std::span<const OrderDiscounts> raw,
                             std::span<const OrderDiscounts> continuation, std::span<double> losses,
                             int threads) const {
    require(static_cast<int>(raw.size()) == order_ &&
                static_cast<int>(continuation.size()) == order_ - 1,
            "score: one raw discount triple per order, and one less for the continuation counts");
    require(static_cast<Index>(losses.size()) == documents_.size() * order_,
            "score: losses must be (documents, order)");
    std::fill(losses.begin(), losses.end(), 0.0);
    // Every document's sum runs in the order of the stream, whatever the threads.
    parallel_for(documents_.size(), threads, [&](Index d) {
        for (Index i = documents_.content_starts()[d]; i < documents_.content_ends()[d]; ++i) {
            score_position(i, raw, continuation, losses.data() + d * order_);
        }
    });
}

// Adds -ln p of one token to loss[m - 1], for the models of all orders m.
template <class Token>
void KneserNey<Token>::score_position(Index i, std::span<const OrderDiscounts> raw,
                                      std::span<const OrderDiscounts> continuation,
                                      double* loss) const {
    const std::uint32_t* nodes = position_nodes_.data() + i * order_;
    const std::uint32_t* ngrams = position_ngrams_.data() + i * order_;
    // Probability from the continuation counts of orders 1 .. m - 1.
    double lower_order = 1.0 / static_cast<double>(vocab_size_);
    for (int m = 1; m <= order_; ++m) {
        // Where the context is cut off, the estimate from all of it stands.
        if (nodes[m - 1] == KeyTable::kAbsent) {
            loss[m - 1] -= std::log(lower_order);
            continue;
        }
        const double probability = interpolate(raw_contexts_[nodes[m - 1]],
                                               raw_ngrams_[ngrams[m - 1]], raw[m - 1], lower_order);
        loss[m - 1] -= std::log(probability);
        if (m < order_) {
            lower_order =
                interpolate(continuation_contexts_[nodes[m - 1]],
                            continuation_ngrams_[ngrams[m - 1]], continuation[m - 1], lower_order);
        }
    }
}

template class KneserNey<std::uint16_t>;
template class KneserNey<std::uint32_t>;

}  // namespace ngramstat
