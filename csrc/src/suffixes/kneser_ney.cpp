#include "ngramstat/suffixes/kneser_ney.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include "ngramstat/suffixes/ngram_sweep.hpp"

namespace ngramstat {

namespace {

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

double probability(const FollowerCounts& context, Count count, const OrderDiscounts& discounts,
                   double lower_order) {
    return interpolate(context.sum, freed_count(context, discounts), count, discounts, lower_order);
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
    counts_ = KneserNeyCounts(order);
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

// A sink of the sweep that looks the n-grams up among those of the held-out tokens.
template <class Token>
class KneserNey<Token>::Lookup {
  public:
    explicit Lookup(KneserNey& model) : model_(model), order_(model.order_) {}

    void open(int m, Index oldest) {
        if (m == 1) token_ = static_cast<std::uint64_t>(oldest);
        node_[m] = m == 1 ? 0 : child_of(node_[m - 1], oldest);
    }
    void close(int m, Count count, Count continuation) {
        if (node_[m] != KeyTable::kAbsent) record(m, node_[m], count, continuation);
    }
    template <class Symbol>
    void once(int first, int last, Symbol symbol) {
        if (first == 1) token_ = static_cast<std::uint64_t>(symbol(0));
        std::uint32_t node = first == 1 ? 0 : child_of(node_[first - 1], symbol(first - 1));
        for (int m = first; node != KeyTable::kAbsent;) {
            record(m, node, 1, 1);
            if (++m > last) break;
            node = child_of(node, symbol(m - 1));
        }
    }
    // The first lookup that is probably not in the cache: the context of two tokens.
    template <class Symbol>
    void expect(Symbol symbol) const {
        if (order_ < 3) return;
        const Index first = symbol(1), second = first < 0 ? first : symbol(2);
        if (second < 0) return;
        const std::uint32_t parent = child_of(0, first);
        if (parent == KeyTable::kAbsent) return;
        model_.nodes_.prefetch(pack(parent, static_cast<std::uint64_t>(second)));
    }

  private:
    // The node of a context that is its parent's with one more token before it.
    std::uint32_t child_of(std::uint32_t parent, Index before) const {
        if (parent == KeyTable::kAbsent) return parent;
        const std::uint32_t child =
            model_.nodes_.find(pack(parent, static_cast<std::uint64_t>(before)));
        return child == KeyTable::kAbsent ? child : child + 1;
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

    KneserNey& model_;
    int order_;
    std::uint64_t token_ = 0;  // the last token of the open n-grams
    // The node of the context of the open n-gram of each order (kAbsent: not a held-out context).
    std::array<std::uint32_t, kMaxOrder + 2> node_{};
};

template <class Token>
void KneserNey<Token>::add_training(std::span<const Token> training, Index first_event,
                                    TokenRange range, int threads, std::span<const Index> prefix) {
    // A separator symbol equal to vocab_size occurs in the stream but is never an event.
    const Index symbols = stop_token_ == vocab_size_ ? vocab_size_ + 1 : vocab_size_;
    require(range.last <= (prefix.empty() ? vocab_size_ : symbols),
            "token range must lie inside [0, vocab_size]");
    const NgramStream<Token> stream{training, first_event, symbols, order_, stop_token_, prefix};
    sweep_ngrams(
        stream, range, threads, [&](Index) { return Lookup(*this); },
        [&](Index, const KneserNeyCounts& of_block) { counts_.merge(of_block); });
}

template <class Token>
void KneserNey<Token>::add_ngram(std::span<const Index> ngram, Count count, Count distinct_before) {
    const int m = static_cast<int>(ngram.size());
    require(m >= 1 && m <= order_ && ngram[0] < vocab_size_, "an n-gram has 1 .. order tokens");
    if (count == 0) return;
    Count continuation = 0;
    counts_.raw[m - 1].add(count);
    if (m < order_) {
        continuation = m > 1 && ngram[m - 1] == stop_token_ ? count : distinct_before;
        counts_.continuation[m - 1].add(continuation);
    }
    Lookup lookup(*this);
    for (int k = 1; k <= m; ++k) lookup.open(k, ngram[k - 1]);
    lookup.close(m, count, continuation);
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
        loss[m - 1] -= std::log(probability(raw_contexts_[nodes[m - 1]], raw_ngrams_[ngrams[m - 1]],
                                            raw[m - 1], lower_order));
        if (m < order_) {
            lower_order =
                probability(continuation_contexts_[nodes[m - 1]],
                            continuation_ngrams_[ngrams[m - 1]], continuation[m - 1], lower_order);
        }
    }
}

template class KneserNey<std::uint16_t>;
template class KneserNey<std::uint32_t>;

}  // namespace ngramstat
