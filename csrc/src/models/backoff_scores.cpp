#include "ngramstat/models/backoff_scores.hpp"

#include <array>

#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

namespace {

// N-grams that are looked up together.
constexpr int kLanes = 64;
// Positions of a task.
constexpr Index kTask = Index{1} << 14;

std::uint64_t token_of(const TrieNode& node, std::uint64_t mask) { return node.link & mask; }
std::uint64_t token_of(const TrieLeaf& leaf, std::uint64_t) { return leaf.token; }

// The n-grams that end at up to kLanes positions, of all orders that the trie holds.
class Lanes {
  public:
    explicit Lanes(const BackoffTrie& of)
        : trie_(of.trie),
          ranks_(of.ranks),
          order_(trie_.order),
          bits_(trie_.token_bits()),
          mask_(trie_.token_mask()) {}

    // symbol(lane, m): the m-th token before the last one of the lane's n-gram; -1: it ended. It is
    // asked for only where the trie holds the n-gram of the tokens after it.
    template <class Symbol>
    void find(int n, Symbol&& symbol) {
        for (int j = 0; j < n; ++j) {
            lane_[j] = j;
            entry_[1][j] = symbol(j, 0);
            length_[j] = 1;
        }
        int active = n;
        for (int m = 2; m <= order_ && active > 0; ++m) {
            if (trie_.is_leaf(m)) {
                active = find_siblings(active, m, trie_.leaves, symbol);
                active = search(active, m, trie_.leaves);
            } else {
                active = find_siblings(active, m, trie_.nodes[m - 1], symbol);
                active = search(active, m, trie_.nodes[m - 1]);
            }
        }
    }

    int length(int lane) const { return length_[lane]; }
    double log_prob(int lane, int m) const {
        const Index entry = entry_[m][lane];
        return static_cast<double>(trie_.is_leaf(m) ? trie_.leaves[entry].log_prob
                                                    : trie_.nodes[m - 1][entry].log_prob);
    }
    double log_backoff(int lane, int m) const {
        return static_cast<double>(trie_.nodes[m - 1][entry_[m][lane]].log_backoff);
    }
    // Makes lane `to` that of `from`.
    void copy(int from, int to) {
        length_[to] = length_[from];
        for (int m = 1; m <= order_; ++m) entry_[m][to] = entry_[m][from];
    }

  private:
    // Keeps the active lanes whose n-gram has an m-th token and extensions, finds these, and asks
    // for the memory that `search` begins with.
    template <class Entry, class Symbol>
    int find_siblings(int active, int m, const std::span<Entry>& level, Symbol&& symbol) {
        const auto& parents = trie_.nodes[m - 2];
        const Index size = static_cast<Index>(level.size());
        const std::uint32_t* guide = has_guide(m) ? trie_.guides[m - 2].data() : nullptr;
        int kept = 0;
        for (int k = 0; k < active; ++k) {
            const int j = lane_[k];
            const Index token = symbol(j, m - 1);
            if (token < 0) continue;
            const Index parent = entry_[m - 1][j];
            // A damaged file may hold any link.
            const Index first = std::min(static_cast<Index>(parents[parent].link >> bits_), size);
            const Index last =
                std::min(static_cast<Index>(parents[parent + 1].link >> bits_), size);
            if (first >= last) continue;
            lane_[kept] = j;
            sought_[kept] = static_cast<std::uint64_t>(token);
            first_[kept] = first;
            last_[kept] = last;
            if (guide != nullptr && last - first >= kUnguided) {
                const GuidePart part(first, last);
                prefetch(guide + part.first + ranks_.place(token, part.places));
            } else {
                prefetch_siblings(level, first, last);
            }
            ++kept;
        }
        if (guide == nullptr) return kept;
        for (int k = 0; k < kept; ++k) {
            if (last_[k] - first_[k] < kUnguided) continue;
            follow_guide(k, guide);
            prefetch_siblings(level, first_[k], last_[k]);
        }
        return kept;
    }

    // What the first two steps of a search read, and the end of few siblings.
    template <class Entry>
    static void prefetch_siblings(const std::span<Entry>& level, Index first, Index last) {
        const Entry* at = level.data() + first;
        const Index n = last - first;
        prefetch(at + n / 2);
        if (n < 3) return;
        prefetch(at + n / 4);
        prefetch(at + n / 2 + n / 4);
    }

    bool has_guide(int m) const { return m - 2 < static_cast<int>(trie_.guides.size()); }

    // Narrows the siblings of a lane to those with its token's rank.
    void follow_guide(int k, const std::uint32_t* guide) {
        const Index first = first_[k], last = last_[k];
        const GuidePart part(first, last);
        const Index place = ranks_.place(static_cast<Index>(sought_[k]), part.places);
        const std::uint32_t* at = guide + part.first + place;
        first_[k] = std::min(first + static_cast<Index>(at[0]), last);
        if (place + 1 < part.places) last_[k] = std::min(first + static_cast<Index>(at[1]), last);
    }

    template <class Entry>
    int search(int active, int m, const std::span<Entry>& level) {
        int found = 0;
        for (int k = 0; k < active; ++k) {
            const std::uint64_t sought = sought_[k];
            Index first = first_[k], n = last_[k] - first;
            if (n <= 0) continue;
            // Without branches: which half it is cannot be predicted.
            while (n > 1) {
                const Index half = n / 2;
                first += half & -static_cast<Index>(token_of(level[first + half], mask_) <= sought);
                n -= half;
            }
            if (token_of(level[first], mask_) != sought) continue;
            const int j = lane_[k];
            entry_[m][j] = first;
            length_[j] = m;
            lane_[found++] = j;
        }
        return found;
    }

    const NgramTrie& trie_;
    const TokenRanks& ranks_;
    int order_, bits_;
    std::uint64_t mask_;
    // By lane; the last one is that of the position before the first.
    std::array<std::array<Index, kLanes + 1>, kMaxOrder + 1> entry_;
    std::array<int, kLanes + 1> length_;
    // By number among the lanes that are active.
    std::array<int, kLanes> lane_;
    std::array<std::uint64_t, kLanes> sought_;
    std::array<Index, kLanes> first_, last_;
};

// ln p of a lane whose context is the n-gram of another lane, of which `reach` tokens count.
double score(const Lanes& lanes, int lane, const Lanes& contexts, int context, int reach) {
    const int length = lanes.length(lane);
    double value = lanes.log_prob(lane, length);
    for (int m = length; m <= reach; ++m) value += contexts.log_backoff(context, m);
    return value;
}

// The same for at most n = 0 .. order - 1 tokens of context.
void score_all(const Lanes& lanes, int lane, int context, int reach, std::span<double> result) {
    double value = 0.0;
    for (int m = 1; m <= static_cast<int>(result.size()); ++m) {
        if (m <= lanes.length(lane)) {
            value = lanes.log_prob(lane, m);
        } else if (m - 1 <= reach) {
            value += lanes.log_backoff(context, m - 1);
        }
        result[m - 1] = value;
    }
}

template <class Token>
void score_positions(const BackoffTrie& of, std::span<const Token> tokens, Index stop_token,
                     Segment positions, bool all_contexts, double* result) {
    const int order = of.trie.order;
    const auto is_stop = [&](Index i) { return static_cast<Index>(tokens[i]) == stop_token; };
    Lanes lanes(of);
    Index first = positions.first;
    const auto symbol = [&](int lane, int m) -> Index {
        const Index at = first + lane - m;
        if (at < 0 || (m > 1 && is_stop(at + 1))) return -1;
        return static_cast<Index>(tokens[at]);
    };
    if (first > 0) {
        --first;
        lanes.find(1, symbol);
        lanes.copy(0, kLanes);
        ++first;
    }
    for (; first < positions.last; first += kLanes) {
        const int size = static_cast<int>(std::min<Index>(kLanes, positions.last - first));
        lanes.find(size, symbol);
        for (int j = 0; j < size; ++j) {
            const Index i = first + j;
            const int context = j == 0 ? kLanes : j - 1;
            // Tokens of the longest context that the trie holds.
            int reach = i == 0 ? 0 : is_stop(i - 1) ? 1 : lanes.length(context);
            reach = std::min(reach, order - 1);
            if (all_contexts) {
                score_all(lanes, j, context, reach,
                          {result + i * order, static_cast<std::size_t>(order)});
            } else {
                result[i] = score(lanes, j, lanes, context, reach);
            }
        }
        lanes.copy(size - 1, kLanes);
    }
}

// The tokens before the next one: at most order - 1, back to the last stop token.
struct History {
    std::array<Index, kMaxOrder> tokens{};  // the newest first
    int size = 0;

    History(std::span<const Index> context, int order, Index stop_token) {
        for (auto at = context.size(); at > 0 && size < order - 1; --at) {
            tokens[static_cast<std::size_t>(size++)] = context[at - 1];
            if (context[at - 1] == stop_token) break;
        }
    }
    Index operator[](int m) const {
        return m < size ? tokens[static_cast<std::size_t>(m)] : Index{-1};
    }
};

void score_next(const BackoffTrie& of, const History& history, Segment tokens, double* result) {
    Lanes contexts(of), lanes(of);
    int reach = 0;
    if (history.size > 0) {
        contexts.find(1, [&](int, int m) { return history[m]; });
        reach = contexts.length(0);
    }
    for (Index first = tokens.first; first < tokens.last; first += kLanes) {
        const int size = static_cast<int>(std::min<Index>(kLanes, tokens.last - first));
        lanes.find(size, [&](int lane, int m) { return m == 0 ? first + lane : history[m - 1]; });
        for (int j = 0; j < size; ++j) result[first + j] = score(lanes, j, contexts, 0, reach);
    }
}

template <class Level>
void fill_guide(const NgramTrie& trie, int m, const Level& level, const TokenRanks& ranks,
                Segment parents, std::span<std::uint32_t> guide) {
    const auto& nodes = trie.nodes[m - 2];
    const int bits = trie.token_bits();
    const std::uint64_t mask = trie.token_mask();
    for (Index node = parents.first; node < parents.last; ++node) {
        const Index first = static_cast<Index>(nodes[node].link >> bits);
        const Index last = static_cast<Index>(nodes[node + 1].link >> bits);
        if (last - first < kUnguided) continue;
        require(last <= trie.size(m), "a link points beyond its level");
        const GuidePart part(first, last);
        Index place = 0;
        for (Index child = first; child < last; ++child) {
            const auto token = static_cast<Index>(token_of(level[child], mask));
            require(token < trie.symbols, "a token of the trie is no symbol");
            const Index own = ranks.place(token, part.places);
            for (; place <= own; ++place) {
                guide[part.first + place] = static_cast<std::uint32_t>(child - first);
            }
        }
        for (; place < part.places; ++place) {
            guide[part.first + place] = static_cast<std::uint32_t>(last - first);
        }
    }
}

}  // namespace

template <class Token>
void backoff_scores(const BackoffTrie& of, std::span<const Token> tokens, Index stop_token,
                    bool all_contexts, std::span<double> result, int threads) {
    const Index n = static_cast<Index>(tokens.size());
    require(static_cast<Index>(result.size()) == n * (all_contexts ? of.trie.order : 1),
            "result: one number per token, or one per token and order");
    for (Index i = 0; i < n; ++i) {
        if (static_cast<Index>(tokens[i]) >= of.trie.symbols) {
            throw_token_out_of_range(tokens[i], i, of.trie.symbols);
        }
    }
    parallel_for((n + kTask - 1) / kTask, threads, [&](Index task) {
        const Segment positions{task * kTask, std::min(n, (task + 1) * kTask)};
        score_positions(of, tokens, stop_token, positions, all_contexts, result.data());
    });
}

void backoff_next_scores(const BackoffTrie& of, std::span<const Index> tokens,
                         std::span<const Index> ends, Index stop_token, std::span<double> result,
                         int threads) {
    const Index vocab_size = of.trie.vocab_size;
    require(result.size() == ends.size() * static_cast<std::size_t>(vocab_size),
            "result: one number per context and token of the vocabulary");
    Index before = 0;
    for (const Index end : ends) {
        require(before <= end && end <= static_cast<Index>(tokens.size()),
                "ends must ascend up to the number of tokens");
        before = end;
    }
    for (Index i = 0; i < static_cast<Index>(tokens.size()); ++i) {
        if (tokens[i] < 0 || tokens[i] >= of.trie.symbols) {
            throw_token_out_of_range(static_cast<std::uint64_t>(tokens[i]), i, of.trie.symbols);
        }
    }
    const Index parts = (vocab_size + kTask - 1) / kTask;
    parallel_for(static_cast<Index>(ends.size()) * parts, threads, [&](Index task) {
        const Index c = task / parts, begin = task % parts * kTask;
        const Index from = c == 0 ? 0 : ends[c - 1];
        const History history(tokens.subspan(static_cast<std::size_t>(from),
                                             static_cast<std::size_t>(ends[c] - from)),
                              of.trie.order, stop_token);
        score_next(of, history, {begin, std::min(vocab_size, begin + kTask)},
                   result.data() + c * vocab_size);
    });
}

void make_guide(const NgramTrie& trie, int m, std::span<std::uint32_t> guide, int threads) {
    require(m >= 2 && m <= trie.order, "level 1 has no guide");
    require(static_cast<Index>(guide.size()) == guide_size(trie.size(m)),
            "the guide must have one place for every four n-grams");
    std::fill(guide.begin(), guide.end(), 0);
    const TokenRanks ranks(trie);
    const Index n = trie.size(m - 1);
    parallel_for((n + kTask - 1) / kTask, threads, [&](Index task) {
        const Segment parents{task * kTask, std::min(n, (task + 1) * kTask)};
        if (trie.is_leaf(m)) {
            fill_guide(trie, m, trie.leaves, ranks, parents, guide);
        } else {
            fill_guide(trie, m, trie.nodes[m - 1], ranks, parents, guide);
        }
    });
}

template void backoff_scores(const BackoffTrie&, std::span<const std::uint16_t>, Index, bool,
                             std::span<double>, int);
template void backoff_scores(const BackoffTrie&, std::span<const std::uint32_t>, Index, bool,
                             std::span<double>, int);

}  // namespace ngramstat
