#include "ngramstat/models/kneser_ney_training.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "ngramstat/suffixes/ngram_sweep.hpp"

namespace ngramstat {

namespace {

// Contexts of a task of the estimator.
constexpr Index kContextsOfTask = Index{1} << 15;
// Until it is estimated, an n-gram's log probability is its count: of 31 bits, and a mark above
// them where it is pruned.
constexpr std::uint32_t kPruned = std::uint32_t{1} << 31;

void set_stored_count(TrieNode& node, Count count, bool is_pruned) {
    // Continuation counts are at most the number of symbols, others at most that of documents.
    if (count >= kPruned) throw std::overflow_error("more than 2^31 documents begin alike");
    const std::uint32_t stored = static_cast<std::uint32_t>(count) | (is_pruned ? kPruned : 0);
    std::memcpy(&node.log_prob, &stored, sizeof stored);
}

std::uint32_t stored_count(const TrieNode& node) {
    std::uint32_t stored;
    std::memcpy(&stored, &node.log_prob, sizeof stored);
    return stored;
}

// A leaf holds its count above the bits of its token until it is estimated.
std::uint64_t stored_word(const TrieLeaf& leaf) {
    std::uint64_t word;
    std::memcpy(&word, &leaf, sizeof word);
    return word;
}

struct Ignore {
    void open(int, Index) {}
    void close(int, Count, Count) {}
    template <class Symbol>
    void once(int, int, Symbol) {}
    template <class Symbol>
    void expect(Symbol) {}
};

// A sink of the sweep that writes the n-grams of a block, each level in order.
class Store {
  public:
    Store(const StoredLevels& levels, Index block)
        : levels_(levels), order_(levels.trie.order), bits_(levels.trie.token_bits()) {
        for (int m = 1; m <= order_; ++m) {
            next_[m] = levels.starts[block * order_ + m - 1];
            end_[m] = levels.ends[block * order_ + m - 1];
        }
    }

    void open(int m, Index oldest) { entry_[m] = add(m, oldest); }
    void close(int m, Count count, Count continuation) {
        set_count(m, entry_[m], m == order_ ? count : continuation, count);
    }
    template <class Symbol>
    void once(int first, int last, Symbol symbol) {
        for (int m = first; m <= last; ++m) set_count(m, add(m, symbol(m - 1)), 1, 1);
    }
    template <class Symbol>
    void expect(Symbol) {}

  private:
    Index add(int m, Index token) {
        const Index entry = m == 1 ? token : next_[m];
        if (next_[m] >= end_[m]) {
            throw std::runtime_error("the token stream has changed while it was read");
        }
        ++next_[m];
        token_[m] = static_cast<std::uint64_t>(token);
        if (!levels_.trie.is_leaf(m)) {
            const Index children = m < order_ ? next_[m + 1] : 0;
            levels_.trie.nodes[m - 1][entry] = {
                static_cast<std::uint64_t>(children) << bits_ | token_[m], 0.0f, 0.0f};
        }
        return entry;
    }
    void set_count(int m, Index entry, Count count, Count raw) {
        if (m == 1) {
            levels_.unigram_counts[entry] = count;
        } else if (levels_.trie.is_leaf(m)) {
            const std::uint64_t word = count << bits_ | token_[m];
            std::memcpy(&levels_.trie.leaves[entry], &word, sizeof word);
        } else {
            set_stored_count(levels_.trie.nodes[m - 1][entry], count,
                             raw < levels_.min_counts[m - 1]);
        }
    }

    const StoredLevels& levels_;
    int order_, bits_;
    // By order: the next entry, the end of the block's part, the open n-gram and the token of the
    // last one that was added.
    std::array<Index, kMaxOrder + 2> next_{}, end_{}, entry_{};
    std::array<std::uint64_t, kMaxOrder + 2> token_{};
};

template <class Token>
NgramStream<Token> ngrams_of(const TrainingStream<Token>& stream) {
    require(stream.order >= 1 && stream.order <= kMaxOrder, "order must lie in 1 .. 16");
    require(stream.vocab_size > 0, "vocab_size must be positive");
    require(stream.stop_token >= -1 && stream.stop_token <= stream.vocab_size,
            "stop_token must be -1 or a token");
    const Index symbols = stream.vocab_size + (stream.stop_token == stream.vocab_size);
    return {stream.tokens, stream.first_event, symbols, stream.order, stream.stop_token};
}

}  // namespace

template <class Token>
LevelSizes count_trie_levels(const TrainingStream<Token>& stream, TokenRange range, int threads) {
    require(range.last <= stream.vocab_size, "token range must lie inside [0, vocab_size]");
    LevelSizes sizes{KneserNeyCounts(stream.order), {}};
    const std::size_t order = static_cast<std::size_t>(stream.order);
    sweep_ngrams(
        ngrams_of(stream), range, threads, [](Index) { return Ignore{}; },
        [&](Index block, const KneserNeyCounts& counts) {
            sizes.counts.merge(counts);
            const std::size_t row = static_cast<std::size_t>(block) * order;
            if (sizes.by_block.size() < row + order) sizes.by_block.resize(row + order, 0);
            for (std::size_t m = 0; m < order; ++m) {
                sizes.by_block[row + m] = static_cast<Index>(counts.raw[m].distinct);
            }
        });
    return sizes;
}

template <class Token>
void store_ngrams(const TrainingStream<Token>& stream, TokenRange range, const StoredLevels& levels,
                  int threads) {
    levels.trie.check();
    const NgramStream<Token> ngrams = ngrams_of(stream);
    const int order = stream.order;
    require(levels.trie.order == order && levels.trie.symbols == ngrams.symbols &&
                levels.trie.vocab_size == stream.vocab_size,
            "the trie is not of this stream");
    require(static_cast<Index>(levels.unigram_counts.size()) == ngrams.symbols &&
                static_cast<int>(levels.min_counts.size()) == order,
            "unigram_counts: one per symbol; min_counts: one per order");
    require(levels.starts.size() == levels.ends.size(), "starts and ends must have one size");
    for (std::size_t k = 0; k < levels.starts.size(); ++k) {
        const int m = static_cast<int>(k % static_cast<std::size_t>(order)) + 1;
        require(0 <= levels.starts[k] && levels.starts[k] <= levels.ends[k] &&
                    levels.ends[k] <= levels.trie.size(m),
                "starts and ends must lie inside the levels");
    }
    const Index blocks = static_cast<Index>(levels.starts.size()) / order;
    sweep_ngrams(
        ngrams, range, threads,
        [&](Index block) {
            require(block < blocks, "starts and ends must have a row for every block");
            return Store(levels, block);
        },
        [](Index, const KneserNeyCounts&) {});
}

KneserNeyEstimator::KneserNeyEstimator(MutableNgramTrie trie, std::span<const Count> unigram_counts,
                                       std::vector<OrderDiscounts> discounts,
                                       std::vector<Count> min_counts)
    : trie_(std::move(trie)),
      discounts_(std::move(discounts)),
      min_counts_(std::move(min_counts)),
      bits_(trie_.token_bits()) {
    trie_.check();
    require(static_cast<Index>(unigram_counts.size()) == trie_.symbols &&
                static_cast<int>(discounts_.size()) == trie_.order &&
                static_cast<int>(min_counts_.size()) == trie_.order,
            "unigram_counts: one per symbol; discounts and min_counts: one per order");
    complete_unigrams(unigram_counts);
    if (trie_.order > 1) index_bigrams();
}

void KneserNeyEstimator::complete_unigrams(std::span<const Count> counts) {
    FollowerCounts followers;
    for (const Count count : counts) {
        if (count == 0) continue;
        followers.sum += count;
        ++followers.number[std::min<Count>(count, 3) - 1];
    }
    const double uniform = 1.0 / static_cast<double>(trie_.vocab_size);
    const double freed = freed_count(followers, discounts_[0]);
    unigrams_.resize(static_cast<std::size_t>(trie_.vocab_size));
    const auto& nodes = trie_.nodes[0];
    // Tokens that do not occur have no children: where they would begin, those of the next do.
    std::uint64_t children = trie_.order > 1 ? static_cast<std::uint64_t>(trie_.size(2)) : 0;
    nodes[trie_.symbols] = {children << bits_, 0.0f, 0.0f};
    for (Index t = trie_.symbols - 1; t >= 0; --t) {
        if (counts[t] > 0) children = nodes[t].link >> bits_;
        nodes[t] = {children << bits_ | static_cast<std::uint64_t>(t),
                    -std::numeric_limits<float>::infinity(), 0.0f};
        if (t == trie_.vocab_size) continue;
        unigrams_[t] = interpolate(followers.sum, freed, counts[t], discounts_[0], uniform);
        nodes[t].log_prob = static_cast<float>(std::log(unigrams_[t]));
    }
    for (int m = 2; m < trie_.order; ++m) {
        const auto size = static_cast<std::uint64_t>(trie_.size(m + 1));
        trie_.nodes[m - 1].back() = {size << bits_, 0.0f, 0.0f};
    }
}

void KneserNeyEstimator::index_bigrams() {
    const Index n = trie_.size(2);
    bigram_starts_.assign(static_cast<std::size_t>(trie_.symbols) + 1, 0);
    for (Index entry = 0; entry < n; ++entry) ++bigram_starts_[token(2, entry) + 1];
    for (Index t = 0; t < trie_.symbols; ++t) bigram_starts_[t + 1] += bigram_starts_[t];
    std::vector<Index> next(bigram_starts_.begin(), bigram_starts_.end() - 1);
    bigram_entries_.resize(static_cast<std::size_t>(n));
    bigram_tokens_.resize(static_cast<std::size_t>(n));
    for (Index last = 0; last < trie_.symbols; ++last) {
        for (Index entry = first_child(1, last); entry < first_child(1, last + 1); ++entry) {
            const Index at = next[token(2, entry)]++;
            bigram_entries_[at] = entry;
            bigram_tokens_[at] = static_cast<std::uint32_t>(last);
        }
    }
}

Index KneserNeyEstimator::token(int m, Index entry) const {
    const std::uint64_t word =
        trie_.is_leaf(m) ? stored_word(trie_.leaves[entry]) : trie_.nodes[m - 1][entry].link;
    return static_cast<Index>(word & trie_.token_mask());
}

Count KneserNeyEstimator::count(int m, Index entry) const {
    if (trie_.is_leaf(m)) return stored_word(trie_.leaves[entry]) >> bits_;
    return stored_count(trie_.nodes[m - 1][entry]) & ~kPruned;
}

bool KneserNeyEstimator::is_pruned(int m, Index entry) const {
    if (trie_.is_leaf(m)) return count(m, entry) < min_counts_[m - 1];
    return (stored_count(trie_.nodes[m - 1][entry]) & kPruned) != 0;
}

void KneserNeyEstimator::set_log_prob(int m, Index entry, double value) {
    if (trie_.is_leaf(m)) {
        trie_.leaves[entry] = {static_cast<std::uint32_t>(token(m, entry)),
                               static_cast<float>(value)};
    } else {
        trie_.nodes[m - 1][entry].log_prob = static_cast<float>(value);
    }
}

// The node of level m in [from, last) that adds this token.
Index KneserNeyEstimator::find_context(int m, Index from, Index last, Index sought) const {
    const bool is_empty = from >= last;
    // The contexts of siblings ascend, and the next one is rarely far.
    Index step = 1;
    while (from + step < last && token(m, from + step) <= sought) {
        from += step;
        step *= 2;
    }
    last = std::min(last, from + step);
    while (last - from > 1) {
        const Index middle = from + (last - from) / 2;
        (token(m, middle) <= sought ? from : last) = middle;
    }
    if (is_empty || token(m, from) != sought) {
        throw std::runtime_error("the token stream has changed while it was read");
    }
    return from;
}

// Cuts a range of tokens into tasks with about equal numbers of contexts; returns the bounds.
std::vector<Index> KneserNeyEstimator::tasks(TokenRange range) const {
    std::vector<Index> bounds{range.first};
    Index contexts = 0;
    for (Index t = range.first; t < range.last; ++t) {
        Index first = t, last = t + 1;
        for (int m = 1; m + 1 < trie_.order; ++m) {
            first = first_child(m, first);
            last = first_child(m, last);
            contexts += last - first;
        }
        if (++contexts >= kContextsOfTask || t + 1 == range.last) {
            bounds.push_back(t + 1);
            contexts = 0;
        }
    }
    return bounds;
}

void KneserNeyEstimator::find_contexts(Contexts& contexts, TokenRange range) const {
    Index first = range.first, last = range.last;
    for (int m = 1; m < trie_.order; ++m) {
        if (m > 1) {
            first = first_child(m - 1, first);
            last = first_child(m - 1, last);
        }
        contexts.low[m] = first;
        contexts.high[m] = last;
        contexts.followers[m].assign(static_cast<std::size_t>(last - first), Followers{});
    }
}

// One n-gram, after a context of m - 1 tokens; returns its probability.
template <KneserNeyEstimator::Pass pass>
double KneserNeyEstimator::visit(int m, Index entry, Contexts& contexts, Index context,
                                 double lower_order) {
    Followers& followers = contexts.at(m - 1, context);
    const Count own = count(m, entry);
    if constexpr (pass == Pass::kCount) {
        followers.sum += own;
        if (is_pruned(m, entry)) {
            followers.left_out += own;
        } else {
            ++followers.number[std::min<Count>(own, 3) - 1];
        }
        return 0.0;
    }
    if (is_pruned(m, entry)) {
        set_log_prob(m, entry, std::numeric_limits<double>::quiet_NaN());
        return 0.0;
    }
    const double freed =
        freed_count(followers, discounts_[m - 1]) + static_cast<double>(followers.left_out);
    const double value = interpolate(followers.sum, freed, own, discounts_[m - 1], lower_order);
    set_log_prob(m, entry, std::log(value));
    return value;
}

// All n-grams that extend one of m tokens, whose context is `context` and probability `value`.
template <KneserNeyEstimator::Pass pass>
void KneserNeyEstimator::visit_extensions(int m, Index entry, Contexts& contexts, Index context,
                                          double value) {
    if (m == trie_.order) return;
    Index next = first_child(m - 1, context);
    const Index last = first_child(m - 1, context + 1);
    for (Index child = first_child(m, entry); child < first_child(m, entry + 1); ++child) {
        next = find_context(m, next, last, token(m + 1, child));
        const double extended = visit<pass>(m + 1, child, contexts, next, value);
        visit_extensions<pass>(m + 1, child, contexts, next, extended);
    }
}

template <KneserNeyEstimator::Pass pass>
void KneserNeyEstimator::visit_bigrams(TokenRange range, Contexts& contexts) {
    for (Index context = range.first; context < range.last; ++context) {
        for (Index k = bigram_starts_[context]; k < bigram_starts_[context + 1]; ++k) {
            const Index entry = bigram_entries_[k];
            const double value =
                visit<pass>(2, entry, contexts, context, unigrams_[bigram_tokens_[k]]);
            visit_extensions<pass>(2, entry, contexts, context, value);
        }
    }
}

void KneserNeyEstimator::set_backoffs(Contexts& contexts) {
    for (int m = 1; m < trie_.order; ++m) {
        for (Index context = contexts.low[m]; context < contexts.high[m]; ++context) {
            const Followers& followers = contexts.at(m, context);
            if (followers.sum == 0) continue;
            const double freed =
                freed_count(followers, discounts_[m]) + static_cast<double>(followers.left_out);
            trie_.nodes[m - 1][context].log_backoff =
                static_cast<float>(std::log(freed / static_cast<double>(followers.sum)));
        }
    }
}

void KneserNeyEstimator::estimate(TokenRange range, int threads) {
    require(range.first >= 0 && range.first <= range.last && range.last <= trie_.symbols,
            "token range must lie inside the symbols");
    if (trie_.order == 1) return;
    const std::vector<Index> bounds = tasks(range);
    parallel_with(
        static_cast<Index>(bounds.size()) - 1, threads, [] { return Contexts(); },
        [&](Index task, Contexts& contexts) {
            const TokenRange tokens{bounds[task], bounds[task + 1]};
            find_contexts(contexts, tokens);
            visit_bigrams<Pass::kCount>(tokens, contexts);
            visit_bigrams<Pass::kEstimate>(tokens, contexts);
            set_backoffs(contexts);
        });
}

std::vector<Index> remove_pruned_ngrams(MutableNgramTrie trie) {
    trie.check();
    const int bits = trie.token_bits();
    const std::uint64_t mask = trie.token_mask();
    std::vector<Index> sizes(static_cast<std::size_t>(trie.order), trie.symbols);
    for (int m = trie.order; m > 1; --m) {
        const auto& parents = trie.nodes[m - 2];
        Index kept = 0, entry = 0;
        const auto keep = [&](auto& level) {
            for (std::size_t p = 0; p + 1 < parents.size(); ++p) {
                const Index last = static_cast<Index>(parents[p + 1].link >> bits);
                parents[p].link =
                    static_cast<std::uint64_t>(kept) << bits | (parents[p].link & mask);
                for (; entry < last; ++entry) {
                    if (!std::isnan(level[entry].log_prob)) level[kept++] = level[entry];
                }
            }
            parents.back().link = static_cast<std::uint64_t>(kept) << bits;
        };
        if (trie.is_leaf(m)) {
            keep(trie.leaves);
        } else {
            auto& level = trie.nodes[m - 1];
            const TrieNode end = level.back();
            keep(level);
            level[kept] = end;
        }
        sizes[m - 1] = kept;
    }
    return sizes;
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                      \
    template LevelSizes count_trie_levels(const TrainingStream<Token>&, TokenRange, int); \
    template void store_ngrams(const TrainingStream<Token>&, TokenRange, const StoredLevels&, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
