#include "ngramstat/suffixes/kneser_ney.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

namespace {

// Positions whose text is fetched ahead.
constexpr Index kAhead = 24;
constexpr Index kNodeAhead = 8;       // whose context is looked up ahead
constexpr Index kBetweenLooks = 512;  // read between two looks at what is resident

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

void tally(OrderCounts& order, Count count) {
    ++order.distinct;
    if (count <= 4) ++order.number[count - 1];
}

void merge(OrderCounts& into, const OrderCounts& from) {
    into.distinct += from.distinct;
    for (std::size_t c = 0; c < from.number.size(); ++c) into.number[c] += from.number[c];
}

double discount(const OrderDiscounts& discounts, Count count) {
    return count == 0 ? 0.0 : discounts[std::min<Count>(count, 3) - 1];
}

// One level of interpolation; a context without counts leaves the lower order as it is.
double interpolate(const FollowerCounts& context, Count count, const OrderDiscounts& discounts,
                   double lower) {
    if (context.sum == 0) return lower;
    double freed = 0.0;
    for (std::size_t c = 0; c < 3; ++c) {
        freed += discounts[c] * static_cast<double>(context.number[c]);
    }
    const double kept = std::max(static_cast<double>(count) - discount(discounts, count), 0.0);
    return (kept + freed * lower) / static_cast<double>(context.sum);
}

}  // namespace

template <class Token>
KneserNey<Token>::KneserNey(std::span<const Token> held_out, std::span<const std::int32_t> document,
                            Index vocab_size, int order, Index stop_token)
    : held_out_(held_out.begin(), held_out.end()),
      document_(document.begin(), document.end()),
      vocab_size_(vocab_size),
      order_(order),
      stop_token_(stop_token) {
    require(order >= 1 && order <= kMaxOrder, "order must lie in 1 .. 16");
    require(vocab_size > 0, "vocab_size must be positive");
    require(document.size() == held_out.size(), "document must have one entry per held-out token");
    require(stop_token >= -1 && stop_token <= vocab_size, "stop_token must be -1 or a token");
    counts_.raw.resize(static_cast<std::size_t>(order));
    counts_.lower.resize(static_cast<std::size_t>(order) - 1);

    const Index n = static_cast<Index>(held_out.size());
    const std::size_t cells = static_cast<std::size_t>(n) * static_cast<std::size_t>(order);
    position_nodes_.assign(cells, KeyTable::kAbsent);
    position_ngrams_.assign(cells, KeyTable::kAbsent);
    for (Index i = 0; i < n; ++i) {
        const Index token = static_cast<Index>(held_out_[i]);
        const bool separator_symbol = token == vocab_size && token == stop_token;
        if (token >= vocab_size && !separator_symbol) {
            throw_token_out_of_range(held_out_[i], i, vocab_size);
        }
        if (document_[i] < 0) continue;
        require(token < vocab_size, "a token outside the vocabulary cannot be scored");
        std::uint32_t node = 0;
        for (int m = 1; m <= order; ++m) {
            if (m > 1) {
                const Index at = i - m + 1;
                // The symbol before this one may have been the stop token: then nothing precedes.
                if (at < 0 || (m > 2 && static_cast<Index>(held_out_[at + 1]) == stop_token)) break;
                node = nodes_.insert(pack(node, held_out_[at])) + 1;
            }
            position_nodes_[i * order + m - 1] = node;
            position_ngrams_[i * order + m - 1] =
                ngrams_.insert(pack(node, static_cast<std::uint64_t>(token)));
        }
    }
    raw_contexts_.resize(nodes_.size() + 1);
    lower_contexts_.resize(nodes_.size() + 1);
    raw_ngrams_.assign(ngrams_.size(), 0);
    lower_ngrams_.assign(ngrams_.size(), 0);
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

template <class Token>
template <class Position>
void KneserNey<Token>::sweep(std::span<const Token> training, Index first_event, TokenRange range,
                             int threads) {
    // A separator symbol equal to vocab_size is a token of the stream, though never an event.
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
            KneserNeyCounts mine;
            mine.raw.resize(counts_.raw.size());
            mine.lower.resize(counts_.lower.size());
            // The open n-gram of each order m: where it began, its distinct left neighbours so far,
            // and the node of its context in the held-out trie (kAbsent: never asked for).
            std::array<Index, kMaxOrder + 2> start{};
            std::array<Count, kMaxOrder + 2> children{};
            std::array<std::uint32_t, kMaxOrder + 2> node{};
            const SortedSuffixes<Position> sorted = blocks.sort(block, scratch);
            const auto positions = sorted.positions;
            const auto lcp = sorted.lcp;
            const Index n = static_cast<Index>(lcp.size());
            const bool reads_text = blocks.known_symbols() < order_;
            const auto symbol = [&](Index place, int m) {
                return blocks.symbol(sorted, static_cast<std::size_t>(place), m);
            };
            std::uint64_t word = 0;  // the last token of the open n-grams

            // Closes the n-gram of order m whose positions are the sorted places [start[m], end).
            auto close = [&](int m, Index end) {
                const Count count = static_cast<Count>(end - start[m]);
                tally(mine.raw[m - 1], count);
                Count lower = 0;
                if (m < order_) {
                    const bool begins = m > 1 && symbol(end - 1, m - 1) == stop_token_;
                    lower = begins ? count : children[m];
                    tally(mine.lower[m - 1], lower);
                }
                if (node[m] == KeyTable::kAbsent) return;
                add_count(raw_contexts_[node[m]], count);
                if (m < order_) add_count(lower_contexts_[node[m]], lower);
                const std::uint32_t ngram = ngrams_.find(pack(node[m], word));
                if (ngram == KeyTable::kAbsent) return;
                raw_ngrams_[ngram] = count;
                if (m < order_) lower_ngrams_[ngram] = lower;
            };
            // Symbols that the suffix at place k has, at most order_.
            auto symbols_at = [&](Index k) {
                int m = 1;
                while (m < order_ && symbol(k, m) >= 0) ++m;
                return m;
            };

            // The node of the context that one more token makes of a parent's.
            auto child_of = [&](std::uint32_t parent, Index before) {
                if (parent == KeyTable::kAbsent) return parent;
                const std::uint32_t child =
                    nodes_.find(pack(parent, static_cast<std::uint64_t>(before)));
                return child == KeyTable::kAbsent ? child : child + 1;
            };
            // What a place will look up first that is likely not in the cache: its context of two
            // tokens.
            auto fetch_node = [&](Index k) {
                if (order_ < 3) return;
                const Index first = symbol(k, 1), second = first < 0 ? first : symbol(k, 2);
                if (second < 0) return;
                const std::uint32_t parent = child_of(0, first);
                if (parent == KeyTable::kAbsent) return;
                nodes_.prefetch(pack(parent, static_cast<std::uint64_t>(second)));
            };

            // N-grams that occur once, by the orders from and to which a position has them; they
            // are never opened.
            std::array<Count, kMaxOrder + 2> once_from{};
            std::array<Count, kMaxOrder + 2> once_to{};
            auto count_once = [&](Index k, int from, int to) {
                ++once_from[from];
                ++once_to[to + 1];
                std::uint32_t here = from == 1 ? 0 : child_of(node[from - 1], symbol(k, from - 1));
                for (int m = from; here != KeyTable::kAbsent;) {
                    add_count(raw_contexts_[here], 1);
                    if (m < order_) add_count(lower_contexts_[here], 1);
                    const std::uint32_t ngram = ngrams_.find(pack(here, word));
                    if (ngram != KeyTable::kAbsent) {
                        raw_ngrams_[ngram] = 1;
                        if (m < order_) lower_ngrams_[ngram] = 1;
                    }
                    if (++m > to) break;
                    here = child_of(here, symbol(k, m - 1));
                }
            };

            int open = 0;  // orders 1 .. open have an open n-gram
            for (Index k = 0; k <= n; ++k) {
                const int shared = k < n ? lcp[k] : 0;
                for (int m = open; m > shared; --m) close(m, k);
                if (k == n) break;
                if (reads_text) {
                    if (k + kAhead < n) prefetch(&training[positions[k + kAhead]]);
                    // Every position may bring in pages of its own.
                    if (k % kBetweenLooks == 0) release_pages_if_needed();
                }
                if (k + kNodeAhead < n && lcp[k + kNodeAhead] < 3) fetch_node(k + kNodeAhead);
                if (shared == 0) word = static_cast<std::uint64_t>(symbol(k, 0));
                const int next = k + 1 < n ? lcp[k + 1] : 0;
                for (int m = shared + 1; m <= next; ++m) {
                    start[m] = k;
                    children[m] = 0;
                    if (m > 1) ++children[m - 1];
                    node[m] = m == 1 ? 0 : child_of(node[m - 1], symbol(k, m - 1));
                }
                open = std::max(shared, next);
                const int reach = symbols_at(k);
                // What stands before the longest n-gram that is open; the beginning of the stream
                // is a left neighbour like any other.
                if (open > 0 && open < order_) ++children[open];
                if (open < reach) count_once(k, open + 1, reach);
            }
            Count once = 0;
            for (int m = 1; m <= order_; ++m) {
                once += once_from[m] - once_to[m];
                mine.raw[m - 1].distinct += once;
                mine.raw[m - 1].number[0] += once;
                if (m == order_) break;
                mine.lower[m - 1].distinct += once;
                mine.lower[m - 1].number[0] += once;
            }
            const std::lock_guard<std::mutex> lock(mutex);
            for (std::size_t m = 0; m < mine.raw.size(); ++m) merge(counts_.raw[m], mine.raw[m]);
            for (std::size_t m = 0; m < mine.lower.size(); ++m)
                merge(counts_.lower[m], mine.lower[m]);
        });
}

template <class Token>
void KneserNey<Token>::score(std::span<const OrderDiscounts> raw,
                             std::span<const OrderDiscounts> lower, std::span<double> losses,
                             Index n_documents, int threads) const {
    require(static_cast<int>(raw.size()) == order_ && static_cast<int>(lower.size()) == order_ - 1,
            "score: one discount triple per order, and one less for the lower orders");
    require(static_cast<Index>(losses.size()) == n_documents * order_,
            "score: losses must be (documents, order)");
    const Index n = static_cast<Index>(held_out_.size());
    std::fill(losses.begin(), losses.end(), 0.0);
    // Positions of each document, so that every document's sum runs in text order.
    std::vector<Index> first(static_cast<std::size_t>(n_documents) + 1, n);
    Index previous = -1;
    for (Index i = 0; i < n; ++i) {
        const Index d = document_[i];
        if (d < 0) continue;
        require(d < n_documents && d >= previous, "held-out documents must be numbered in order");
        for (Index e = previous + 1; e <= d; ++e) first[e] = i;
        previous = d;
    }
    const double uniform = 1.0 / static_cast<double>(vocab_size_);
    parallel_for(n_documents, threads, [&](Index d) {
        double* loss = losses.data() + d * order_;
        for (Index i = first[d]; i < first[d + 1]; ++i) {
            if (document_[i] != d) continue;
            const std::uint32_t* nodes = position_nodes_.data() + i * order_;
            const std::uint32_t* ngrams = position_ngrams_.data() + i * order_;
            double below = uniform;  // probability under the lower orders up to m - 1
            for (int m = 1; m <= order_; ++m) {
                // A context that cannot reach further leaves the longest lower-order estimate.
                if (nodes[m - 1] == KeyTable::kAbsent) {
                    loss[m - 1] -= std::log(below);
                    continue;
                }
                const double top = interpolate(raw_contexts_[nodes[m - 1]],
                                               raw_ngrams_[ngrams[m - 1]], raw[m - 1], below);
                loss[m - 1] -= std::log(top);
                if (m < order_) {
                    below = interpolate(lower_contexts_[nodes[m - 1]], lower_ngrams_[ngrams[m - 1]],
                                        lower[m - 1], below);
                }
            }
        }
    });
}

template class KneserNey<std::uint16_t>;
template class KneserNey<std::uint32_t>;

}  // namespace ngramstat
