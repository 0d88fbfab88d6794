#include "ngramstat/suffixes/kneser_ney.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <mutex>

#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

constexpr int kUpperHalf = 32;
// Suffixes that are handled at a time, so that they stay in the cache, and the distances at which
// the tokens and the counts of later ones are prefetched.
constexpr std::size_t kChunk = 2048;
constexpr std::size_t kTokensAhead = 24;
constexpr std::size_t kCountsAhead = 12;
constexpr Index kEstimatesAhead = 16;

void atomic_add(Count& target, Count value) {
    std::atomic_ref<Count>(target).fetch_add(value, std::memory_order_relaxed);
}

std::size_t kind_of(Count count) { return std::min<Count>(count, 3) - 1; }

// A suffix, read backward: the n-grams that end at a position of the training stream.
template <class Position>
struct Suffix {
    Position position;
    // The longest of its contexts and of its n-grams that the held-out tokens have: nodes and
    // levels.
    SymbolTrie::Node context, ngram;
    std::uint8_t context_level, ngram_level;
    std::uint8_t shared;  // symbols that it shares with the suffix before
    std::uint8_t length : 7;
    std::uint8_t ends_with_stop : 1;  // of more than one symbol, the last is the stop token
};

// The model before each that is the smallest to hold its part.
std::vector<std::size_t> parents_of(std::span<const Segment> parts) {
    std::vector<std::size_t> parents(parts.size(), 0);
    for (std::size_t p = 1; p < parts.size(); ++p) {
        const auto holds = [&](std::size_t q) {
            return parts[q].first <= parts[p].first && parts[p].last <= parts[q].last;
        };
        std::size_t parent = p;
        while (parent > 0 && !holds(--parent)) {
        }
        require(holds(parent), "the first part must hold all others");
        for (std::size_t q = parent + 1; q < p; ++q) {
            require(parts[q].last <= parts[p].first || parts[p].last <= parts[q].first,
                    "parts must be nested or disjoint, each after those that hold it");
        }
        parents[p] = parent;
    }
    return parents;
}

}  // namespace

template <class Token>
KneserNey<Token>::Followers::Followers(const FollowerCounts& raw,
                                       const FollowerCounts& continuation)
    : raw_sum(raw.sum - raw.number[0] - 2 * raw.number[1]),
      continuation_sum(continuation.sum - continuation.number[0] - 2 * continuation.number[1]) {
    for (std::size_t c = 0; c < 3; ++c) {
        number[c] = raw.number[c] | continuation.number[c] << kUpperHalf;
    }
}

template <class Token>
void KneserNey<Token>::Followers::add(Count raw, Count continuation) {
    const std::size_t raw_kind = kind_of(raw), continuation_kind = kind_of(continuation);
    const Count one = 1;
    if (raw_kind == continuation_kind) {
        atomic_add(number[raw_kind], one | one << kUpperHalf);
    } else {
        atomic_add(number[raw_kind], one);
        atomic_add(number[continuation_kind], one << kUpperHalf);
    }
    if (raw >= 3) atomic_add(raw_sum, raw);
    if (continuation >= 3) atomic_add(continuation_sum, continuation);
}

template <class Token>
void KneserNey<Token>::Followers::add(const Followers& more) {
    for (std::size_t c = 0; c < 3; ++c) number[c] += more.number[c];
    raw_sum += more.raw_sum;
    continuation_sum += more.continuation_sum;
}

template <class Token>
void KneserNey<Token>::Followers::add_once() {
    atomic_add(number[0], Count{1} | Count{1} << kUpperHalf);
}

template <class Token>
FollowerCounts KneserNey<Token>::Followers::raw() const {
    FollowerCounts result;
    for (std::size_t c = 0; c < 3; ++c) result.number[c] = static_cast<std::uint32_t>(number[c]);
    result.sum = result.number[0] + 2 * result.number[1] + raw_sum;
    return result;
}

template <class Token>
FollowerCounts KneserNey<Token>::Followers::continuation() const {
    FollowerCounts result;
    for (std::size_t c = 0; c < 3; ++c) result.number[c] = number[c] >> kUpperHalf;
    result.sum = result.number[0] + 2 * result.number[1] + continuation_sum;
    return result;
}

template <class Token>
KneserNey<Token>::KneserNey(std::span<const Token> held_out, const Documents& documents,
                            Index vocab_size, int order, Index stop_token)
    : documents_(documents),
      vocab_size_(vocab_size),
      order_(order),
      stop_token_(stop_token),
      held_out_([&] {
          require(order >= 1 && order <= kMaxOrder, "order must lie in 1 .. 16");
          require(vocab_size > 0, "vocab_size must be positive");
          documents.require_length(static_cast<Index>(held_out.size()));
          require(stop_token >= -1 && stop_token <= vocab_size, "stop_token must be -1 or a token");
          return HeldOutNgrams<Token>(held_out, documents, vocab_size, order, stop_token);
      }()) {
    reset(1, 1);
}

template <class Token>
void KneserNey<Token>::reset(Index n_models, int threads) {
    require(n_models >= 1, "there must be a model");
    models_.resize(static_cast<std::size_t>(n_models));
    parallel_for(n_models, threads, [&](Index m) {
        Model& model = models_[static_cast<std::size_t>(m)];
        model.counts = KneserNeyCounts(order_);
        model.contexts.assign(held_out_.contexts().size(), Followers{});
        model.ngrams.assign(held_out_.ngrams().size(), NgramCount{});
    });
}

template <class Token>
void KneserNey<Token>::set_counts(Index number, const HeldOutCounts& counted) {
    model_at(number);
    Model& model = models_[static_cast<std::size_t>(number)];
    require(counted.raw_contexts.size() == model.contexts.size() &&
                counted.continuation_contexts.size() == model.contexts.size() &&
                counted.raw_ngrams.size() == model.ngrams.size() &&
                counted.continuation_ngrams.size() == model.ngrams.size(),
            "there must be a count for each held-out n-gram and context");
    model.counts = counted.counts;
    for (std::size_t k = 0; k < model.contexts.size(); ++k) {
        model.contexts[k] = Followers(counted.raw_contexts[k], counted.continuation_contexts[k]);
    }
    for (std::size_t k = 0; k < model.ngrams.size(); ++k) {
        model.ngrams[k] = {counted.raw_ngrams[k], counted.continuation_ngrams[k]};
    }
}

template <class Token>
CountsOfRanges KneserNey<Token>::counts_of_ranges(Index number) const {
    const Model& model = model_at(number);
    CountsOfRanges counted;
    counted.counts = model.counts;
    for (std::size_t k = 0; k < model.contexts.size(); ++k) {
        const FollowerCounts raw = model.contexts[k].raw();
        if (raw.sum == 0) continue;
        counted.contexts.push_back(static_cast<Node>(k));
        counted.raw_followers.push_back(raw);
        counted.continuation_followers.push_back(model.contexts[k].continuation());
    }
    for (std::size_t k = 0; k < model.ngrams.size(); ++k) {
        if (model.ngrams[k].raw == 0) continue;
        counted.ngrams.push_back(static_cast<Node>(k));
        counted.raw_ngrams.push_back(model.ngrams[k].raw);
        counted.continuation_ngrams.push_back(model.ngrams[k].continuation);
    }
    return counted;
}

template <class Token>
void KneserNey<Token>::add_counts(Index number, const CountsOfRanges& counted) {
    model_at(number);
    Model& model = models_[static_cast<std::size_t>(number)];
    const auto all_below = [](const std::vector<std::uint32_t>& nodes, std::size_t size) {
        return std::all_of(nodes.begin(), nodes.end(), [&](Node node) { return node < size; });
    };
    require(counted.raw_followers.size() == counted.contexts.size() &&
                counted.continuation_followers.size() == counted.contexts.size() &&
                counted.raw_ngrams.size() == counted.ngrams.size() &&
                counted.continuation_ngrams.size() == counted.ngrams.size() &&
                counted.counts.raw.size() == model.counts.raw.size() &&
                counted.counts.continuation.size() == model.counts.continuation.size() &&
                all_below(counted.contexts, model.contexts.size()) &&
                all_below(counted.ngrams, model.ngrams.size()),
            "counts must be of a model of the same order for the same held-out tokens");
    model.counts.merge(counted.counts);
    for (std::size_t k = 0; k < counted.contexts.size(); ++k) {
        model.contexts[counted.contexts[k]].add(
            Followers(counted.raw_followers[k], counted.continuation_followers[k]));
    }
    for (std::size_t k = 0; k < counted.ngrams.size(); ++k) {
        NgramCount& ngram = model.ngrams[counted.ngrams[k]];
        ngram.raw += counted.raw_ngrams[k];
        ngram.continuation += counted.continuation_ngrams[k];
    }
}

template <class Token>
auto KneserNey<Token>::model_at(Index model) const -> const Model& {
    require(model >= 0 && model < n_models(), "there is no such model");
    return models_[static_cast<std::size_t>(model)];
}

// Counts the n-grams of one part in the suffixes of one block, for one model. An n-gram is open
// from its first occurrence in the order to its last. N-grams that occur once are never opened:
// they are counted at once, which is faster and they are the majority.
template <class Token>
template <class Position>
class KneserNey<Token>::PartSweep {
  public:
    PartSweep(const HeldOutNgrams<Token>& held_out, int order, Model& model)
        : held_out_(held_out), order_(order), model_(model), counts_(order) {}

    void add(std::span<const Suffix<Position>> suffixes) {
        for (std::size_t k = 0; k < suffixes.size(); ++k) {
            if (k + kCountsAhead < suffixes.size()) {
                prefetch(&model_.contexts[suffixes[k + kCountsAhead].context]);
            }
            if (seen_ > 0) count(suffixes[k].shared);
            last_ = suffixes[k];
            ++seen_;
        }
    }
    // After the last suffix: the counts of counts. N-grams of up to `prefix` tokens go on in other
    // blocks and are not counted.
    const KneserNeyCounts& finish(int prefix) {
        if (seen_ > 0) count(prefix);
        Count singletons = 0;
        for (int m = 1; m <= order_; ++m) {
            singletons += singletons_from_[m] - singletons_to_[m];
            counts_.raw[m - 1].add_singletons(singletons);
            if (m < order_) counts_.continuation[m - 1].add_singletons(singletons);
        }
        return counts_;
    }

  private:
    // Counts the last suffix, which shares this many symbols with the one that follows.
    void count(int shared_with_next) {
        const int shared = last_.shared;
        // A new token before the n-gram that both share. The beginning of the stream counts as a
        // token like any other.
        ++distinct_before_[shared];
        for (int m = shared + 1; m <= shared_with_next; ++m) {
            first_[m] = seen_;
            distinct_before_[m] = 1;
        }
        const int open = std::max(shared, shared_with_next);
        if (open < last_.length) {
            ++singletons_from_[open + 1];
            ++singletons_to_[last_.length + 1];
            record_once(open + 1);
        }
        if (open > shared_with_next) close(open, shared_with_next);
    }

    // N-grams of `from` tokens and more that occur once.
    void record_once(int from) {
        Node context = last_.context;
        for (int m = last_.context_level + 1; m >= from; --m) {
            model_.contexts[context].add_once();
            context = held_out_.contexts().parent(context);
        }
        Node ngram = last_.ngram;
        for (int m = last_.ngram_level; m >= from; --m) {
            model_.ngrams[ngram] = {1, 1};
            ngram = held_out_.ngrams().parent(ngram);
        }
    }

    // N-grams of `open` down to `still_open` + 1 tokens end with the last suffix.
    void close(int open, int still_open) {
        Node context = last_.context, ngram = last_.ngram;
        int context_level = last_.context_level, ngram_level = last_.ngram_level;
        for (int m = open; m > still_open; --m) {
            const Count count = seen_ + 1 - first_[m];
            counts_.raw[m - 1].add(count);
            Count continuation = 1;
            if (m < order_) {
                const bool begins_with_stop = last_.ends_with_stop && m == last_.length;
                continuation = begins_with_stop ? count : distinct_before_[m];
                counts_.continuation[m - 1].add(continuation);
            }
            for (; context_level >= m; --context_level) {
                context = held_out_.contexts().parent(context);
            }
            for (; ngram_level > m; --ngram_level) ngram = held_out_.ngrams().parent(ngram);
            if (context_level == m - 1) model_.contexts[context].add(count, continuation);
            if (ngram_level == m) model_.ngrams[ngram] = {count, continuation};
        }
    }

    const HeldOutNgrams<Token>& held_out_;
    int order_;
    Model& model_;
    KneserNeyCounts counts_;
    Suffix<Position> last_{};
    Count seen_ = 0;  // suffixes, among which last_
    // Of the open n-gram of each order: the first of its suffixes, from 1 on, and how many distinct
    // tokens have come before it so far.
    std::array<Count, kMaxOrder + 2> first_{};
    std::array<Count, kMaxOrder + 2> distinct_before_{};
    // N-grams that occur once: by the lowest order at which a suffix has them, and by one more than
    // the highest.
    std::array<Count, kMaxOrder + 2> singletons_from_{};
    std::array<Count, kMaxOrder + 2> singletons_to_{};
};

// One worker's pass over sorted blocks: follows the suffixes through the held-out n-grams, and
// hands each to the models of the parts that hold its position.
template <class Token>
template <class Position>
class KneserNey<Token>::BlockSweep {
  public:
    BlockSweep(KneserNey& model, std::span<const Token> training, std::span<const Segment> parts,
               std::span<const std::size_t> parents)
        : model_(model),
          training_(training),
          parts_(parts),
          parents_(parents),
          suffixes_(parts.size(), std::vector<Suffix<Position>>(kChunk)),
          sizes_(parts.size()),
          shared_(parts.size()) {}

    SuffixScratch<Position> scratch;

    void add(const SuffixBlocks<Token, Position>& blocks, Index block, std::mutex& mutex) {
        const SortedSuffixes<Position> sorted = blocks.sort(block, scratch);
        const std::size_t n = sorted.lcp.size();
        TrieWalk contexts(model_.held_out_.contexts()), ngrams(model_.held_out_.ngrams());
        std::vector<PartSweep<Position>> sweeps;
        for (Model& model : model_.models_) {
            sweeps.emplace_back(model_.held_out_, model_.order_, model);
        }
        std::fill(shared_.begin(), shared_.end(), kAll);
        for (std::size_t begin = 0; begin < n; begin += kChunk) {
            follow(blocks, sorted, begin, std::min(begin + kChunk, n), contexts, ngrams);
            for (std::size_t p = 0; p < parts_.size(); ++p) {
                if (p > 0) select(p);
                sweeps[p].add({suffixes_[p].data(), sizes_[p]});
            }
        }
        for (std::size_t p = 0; p < parts_.size(); ++p) {
            const KneserNeyCounts& counts =
                sweeps[p].finish(static_cast<int>(blocks.prefix().size()));
            const std::lock_guard<std::mutex> lock(mutex);
            model_.models_[p].counts.merge(counts);
        }
    }

  private:
    static constexpr std::uint8_t kAll = 255;

    // The suffixes at sorted places [begin, end), for the first part.
    void follow(const SuffixBlocks<Token, Position>& blocks, const SortedSuffixes<Position>& sorted,
                std::size_t begin, std::size_t end, TrieWalk& contexts, TrieWalk& ngrams) {
        const int order = model_.order_;
        const std::size_t n = end - begin;
        const bool reads_tokens = blocks.known_symbols() < order;
        if (reads_tokens) release_pages_if_needed();  // every position may bring in a page
        for (std::size_t k = 0; k < n; ++k) {
            if (reads_tokens && begin + k + kTokensAhead < sorted.lcp.size()) {
                prefetch(&training_[sorted.positions[begin + k + kTokensAhead]]);
            }
            const auto symbol = [&](int m) { return blocks.symbol(sorted, begin + k, m); };
            int length = order;
            if (order > 1 && symbol(order - 1) < 0) {
                length = 1;
                while (symbol(length) >= 0) ++length;
            }
            Suffix<Position>& suffix = suffixes_[0][k];
            suffix.position = sorted.positions.empty() ? Position{0} : sorted.positions[begin + k];
            suffix.shared = sorted.lcp[begin + k];
            suffix.length = static_cast<std::uint8_t>(length) & 127;
            suffix.ends_with_stop =
                model_.stop_token_ >= 0 && length > 1 && symbol(length - 1) == model_.stop_token_;
        }
        // With a prefix, the first suffix shares it with one of another block.
        const auto shared = [&](std::size_t k) {
            return begin + k == 0 ? 0 : int{sorted.lcp[begin + k]};
        };
        // A context's first symbol is the second of the n-gram.
        contexts.follow(
            n, order - 1, [&](std::size_t k) { return shared(k) - 1; },
            [&](std::size_t k, int level) { return blocks.symbol(sorted, begin + k, level); },
            nodes_, levels_);
        for (std::size_t k = 0; k < n; ++k) {
            suffixes_[0][k].context = nodes_[k];
            suffixes_[0][k].context_level = levels_[k];
        }
        ngrams.follow(
            n, order, shared,
            [&](std::size_t k, int level) { return blocks.symbol(sorted, begin + k, level - 1); },
            nodes_, levels_);
        for (std::size_t k = 0; k < n; ++k) {
            suffixes_[0][k].ngram = nodes_[k];
            suffixes_[0][k].ngram_level = levels_[k];
        }
        sizes_[0] = n;
    }

    // The suffixes of a part, from those of the smallest part that holds it. One shares with the
    // one before what all between them share.
    void select(std::size_t part) {
        const Segment within = parts_[part];
        const auto& from = suffixes_[parents_[part]];
        auto& to = suffixes_[part];
        const std::size_t n = sizes_[parents_[part]];
        std::size_t selected = 0;
        std::uint8_t shared = shared_[part];
        for (std::size_t k = 0; k < n; ++k) {
            const Index position = static_cast<Index>(from[k].position);
            const bool inside = position >= within.first && position < within.last;
            shared = std::min(shared, from[k].shared);
            to[selected] = from[k];
            to[selected].shared = shared;
            selected += inside;
            shared = inside ? kAll : shared;
        }
        shared_[part] = shared;
        sizes_[part] = selected;
    }

    KneserNey& model_;
    std::span<const Token> training_;
    std::span<const Segment> parts_;
    std::span<const std::size_t> parents_;
    // By part: the suffixes of the chunk that it holds, their number, and what all suffixes since
    // its last one share.
    std::vector<std::vector<Suffix<Position>>> suffixes_;
    std::vector<std::size_t> sizes_;
    std::vector<std::uint8_t> shared_;
    // Of the chunk: what it is in a trie.
    std::vector<Node> nodes_ = std::vector<Node>(kChunk);
    std::vector<std::uint8_t> levels_ = std::vector<std::uint8_t>(kChunk);
};

template <class Token>
void KneserNey<Token>::add_training(std::span<const Token> training, std::span<const Segment> parts,
                                    TokenRange range, int threads, std::span<const Index> prefix) {
    require(!prefix.empty() || range.last <= vocab_size_,
            "token range must lie inside [0, vocab_size]");
    require(parts.size() == models_.size(), "there must be one part for each model");
    sweep(training, parts.first(1), parts, range, threads, prefix);
}

template <class Token>
void KneserNey<Token>::add_windows(std::span<const Token> tokens, Index head,
                                   std::span<const Segment> parts, TokenRange range, int threads) {
    require(range.last <= vocab_size_, "token range must lie inside [0, vocab_size]");
    require(parts.size() == models_.size(), "there must be one part for each model");
    const Index n = static_cast<Index>(tokens.size());
    require(0 <= head && head <= n && (n - head) % order_ == 0,
            "there must be whole windows after the head");
    const auto holds_whole_windows = [&](const Segment& part) {
        const auto between = [&](Index i) { return i <= head || (i - head) % order_ == 0; };
        return between(part.first) && between(part.last);
    };
    require(std::all_of(parts.begin(), parts.end(), holds_whole_windows),
            "parts must hold whole windows");
    const Segment all = parts.front();
    std::vector<Segment> counted;
    if (all.first < head) counted.push_back({all.first, std::min(head, all.last)});
    for (Index end = std::max(all.first, head) + order_; end <= all.last; end += order_) {
        counted.push_back({end - 1, end});
    }
    sweep(tokens, counted, parts, range, threads, {});
}

template <class Token>
void KneserNey<Token>::add_ngram(Index number, std::span<const Index> ngram, Count count,
                                 Count distinct_before) {
    require(number >= 0 && number < n_models(), "there is no such model");
    Model& model = models_[static_cast<std::size_t>(number)];
    const int m = static_cast<int>(ngram.size());
    require(m >= 1 && m <= order_ && ngram[0] < vocab_size_, "an n-gram has 1 .. order tokens");
    if (count == 0) return;
    const bool begins_with_stop = m > 1 && ngram[m - 1] == stop_token_;
    Count continuation = 1;
    model.counts.raw[m - 1].add(count);
    if (m < order_) {
        continuation = begins_with_stop ? count : distinct_before;
        model.counts.continuation[m - 1].add(continuation);
    }
    const auto unrelated = [](std::size_t) { return 0; };
    std::array<Node, 1> context, node;
    std::array<std::uint8_t, 1> context_level, level;
    TrieWalk(held_out_.contexts())
        .follow(
            1, m - 1, unrelated, [&](std::size_t, int at) { return ngram[at]; }, context,
            context_level);
    TrieWalk(held_out_.ngrams())
        .follow(1, m, unrelated, [&](std::size_t, int at) { return ngram[at - 1]; }, node, level);
    if (context_level[0] == m - 1) model.contexts[context[0]].add(count, continuation);
    if (level[0] == m) model.ngrams[node[0]] = {count, continuation};
}

template <class Token>
void KneserNey<Token>::sweep(std::span<const Token> training, std::span<const Segment> segments,
                             std::span<const Segment> parts, TokenRange range, int threads,
                             std::span<const Index> prefix) {
    if (training.size() <= std::size_t{1} << 32) {
        sweep_blocks<std::uint32_t>(training, segments, parts, range, threads, prefix);
    } else {
        sweep_blocks<std::uint64_t>(training, segments, parts, range, threads, prefix);
    }
}

template <class Token>
template <class Position>
void KneserNey<Token>::sweep_blocks(std::span<const Token> training,
                                    std::span<const Segment> segments,
                                    std::span<const Segment> parts, TokenRange range, int threads,
                                    std::span<const Index> prefix) {
    // A separator symbol equal to vocab_size occurs in the stream but is never an event.
    const Index symbols = stop_token_ == vocab_size_ ? vocab_size_ + 1 : vocab_size_;
    const std::vector<std::size_t> parents = parents_of(parts);
    const SuffixBlocks<Token, Position> blocks(training, symbols,
                                               SuffixOrder{order_, true, stop_token_, prefix},
                                               range, segments, threads, parts.size() > 1);
    std::mutex mutex;
    parallel_with(
        blocks.n_blocks(), threads,
        [&] { return BlockSweep<Position>(*this, training, parts, parents); },
        [&](Index block, BlockSweep<Position>& worker) { worker.add(blocks, block, mutex); });
}

template <class Token>
void KneserNey<Token>::score(Index number, std::span<const OrderDiscounts> raw,
                             std::span<const OrderDiscounts> continuation, std::span<double> losses,
                             int threads) const {
    const Model& model = model_at(number);
    require(static_cast<int>(raw.size()) == order_ &&
                static_cast<int>(continuation.size()) == order_ - 1,
            "score: one raw discount triple per order, and one less for the continuation counts");
    require(static_cast<Index>(losses.size()) == documents_.size() * order_,
            "score: losses must be (documents, order)");
    const SymbolTrie& ngrams = held_out_.ngrams();
    std::vector<Estimate, HugePageAllocator<Estimate>> estimates(ngrams.size());
    const double uniform = 1.0 / static_cast<double>(vocab_size_);
    estimates[SymbolTrie::kRoot] = {-std::log(uniform), uniform, true};
    for (int m = 1; m <= order_; ++m) {
        const Index begin = ngrams.level_begin(m), end = ngrams.level_begin(m + 1);
        constexpr Index kTask = 1 << 14;
        parallel_for((end - begin + kTask - 1) / kTask, threads, [&](Index task) {
            const Index last = std::min(begin + (task + 1) * kTask, end);
            for (Index k = begin + task * kTask; k < last; ++k) {
                const Index ahead = std::min<Index>(k + kEstimatesAhead, end - 1);
                prefetch(&model.contexts[held_out_.context_of(static_cast<Node>(ahead))]);
                const Node ngram = static_cast<Node>(k);
                const Followers& context = model.contexts[held_out_.context_of(ngram)];
                const Estimate& below = estimates[ngrams.parent(ngram)];
                estimates[ngram] =
                    estimate(context, model.ngrams[ngram], raw[m - 1],
                             m < order_ ? continuation[m - 1] : OrderDiscounts{}, below);
            }
        });
    }
    std::fill(losses.begin(), losses.end(), 0.0);
    // Every document's sum runs in the order of the stream, whatever the threads.
    parallel_for(documents_.size(), threads, [&](Index d) {
        double* of_document = losses.data() + d * order_;
        for (Index i = documents_.content_starts()[d]; i < documents_.content_ends()[d]; ++i) {
            Node ngram = held_out_.longest_at(i);
            int level = order_;
            // Where the context is cut off, the estimate from all of it stands.
            for (; ngram < ngrams.level_begin(level); --level) {
                of_document[level - 1] -= std::log(estimates[ngram].lower);
            }
            for (; level >= 1; --level, ngram = ngrams.parent(ngram)) {
                of_document[level - 1] += estimates[ngram].loss;
            }
        }
    });
}

// That of an n-gram from those of its suffix of one token less.
template <class Token>
auto KneserNey<Token>::estimate(const Followers& context, const NgramCount& count,
                                const OrderDiscounts& raw, const OrderDiscounts& continuation,
                                const Estimate& below) -> Estimate {
    const FollowerCounts highest = context.raw();
    if (highest.sum == 0) {
        // So has the longer context been seen nowhere, and the logarithm is the same.
        return {below.unseen ? below.loss : -std::log(below.lower), below.lower, true};
    }
    const FollowerCounts lower = context.continuation();
    const double p =
        interpolate(highest.sum, freed_count(highest, raw), count.raw, raw, below.lower);
    return {-std::log(p),
            interpolate(lower.sum, freed_count(lower, continuation), count.continuation,
                        continuation, below.lower),
            false};
}

template class KneserNey<std::uint16_t>;
template class KneserNey<std::uint32_t>;

}  // namespace ngramstat
