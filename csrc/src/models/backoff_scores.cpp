#include "ngramstat/models/backoff_scores.hpp"

#include <array>

#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

// N-grams that are looked up together.
constexpr int kLanes = 32;
// Positions of a task.
constexpr Index kTask = Index{1} << 14;
// A range of children that is not larger is read from one end to the other.
constexpr Index kScanned = 8;

struct Children {
    Index first, last;
};

std::uint64_t token_of(const TrieNode& node, std::uint64_t mask) { return node.link & mask; }
std::uint64_t token_of(const TrieLeaf& leaf, std::uint64_t) { return leaf.token; }

// The n-grams that end at up to kLanes positions, of all orders that the trie holds.
class Lanes {
  public:
    explicit Lanes(const NgramTrie& trie)
        : trie_(trie), order_(trie.order), bits_(trie.token_bits()), mask_(trie.token_mask()) {}

    // symbol(lane, m): the m-th token before the last one of the lane's n-gram; -1: it ended.
    template <class Symbol>
    void find(int n, Symbol&& symbol) {
        int active = n;
        for (int j = 0; j < n; ++j) {
            lane_[j] = j;
            entry_[1][j] = symbol(j, 0);
            length_[j] = 1;
            log_prob_[1][j] = trie_.nodes[0][entry_[1][j]].log_prob;
        }
        for (int m = 2; m <= order_ && active > 0; ++m) {
            active = keep_extended(active, m, symbol);
            active = trie_.is_leaf(m) ? search(active, m, trie_.leaves)
                                      : search(active, m, trie_.nodes[m - 1]);
        }
    }

    int length(int lane) const { return length_[lane]; }
    float log_prob(int lane, int m) const { return log_prob_[m][lane]; }
    float log_backoff(int lane, int m) const {
        return trie_.nodes[m - 1][entry_[m][lane]].log_backoff;
    }
    // Makes lane `to` that of `from`.
    void copy(int from, int to) {
        length_[to] = length_[from];
        for (int m = 1; m <= order_; ++m) {
            entry_[m][to] = entry_[m][from];
            log_prob_[m][to] = log_prob_[m][from];
        }
    }

  private:
    // Of the lanes that are active, those whose n-gram has an m-th token and children.
    template <class Symbol>
    int keep_extended(int active, int m, Symbol&& symbol) {
        const auto& nodes = trie_.nodes[m - 2];
        const Index size = trie_.size(m);
        int kept = 0;
        for (int k = 0; k < active; ++k) {
            const int j = lane_[k];
            const Index token = symbol(j, m - 1);
            if (token < 0) continue;
            const Index node = entry_[m - 1][j];
            // A damaged file may hold any link.
            const Index first = std::min(static_cast<Index>(nodes[node].link >> bits_), size);
            const Index last = std::min(static_cast<Index>(nodes[node + 1].link >> bits_), size);
            if (first >= last) continue;
            lane_[kept] = j;
            wanted_[kept] = static_cast<std::uint64_t>(token);
            children_[kept] = {first, last};
            ++kept;
        }
        return kept;
    }

    template <class Entry>
    int search(int active, int m, const std::span<Entry>& level) {
        for (int k = 0; k < active; ++k) {
            const auto [first, last] = children_[k];
            prefetch(&level[last - first <= kScanned ? first : first + (last - first) / 2]);
        }
        // Halve wide ranges, all lanes in step.
        bool wide = true;
        while (wide) {
            wide = false;
            for (int k = 0; k < active; ++k) {
                auto& [first, last] = children_[k];
                if (last - first <= kScanned) continue;
                const Index middle = first + (last - first) / 2;
                const bool right = token_of(level[middle], mask_) <= wanted_[k];
                first = right ? middle : first;
                last = right ? last : middle;
                const Index next = last - first <= kScanned ? first : first + (last - first) / 2;
                prefetch(&level[next]);
                wide |= last - first > kScanned;
            }
        }
        int found = 0;
        for (int k = 0; k < active; ++k) {
            auto [first, last] = children_[k];
            while (first < last && token_of(level[first], mask_) < wanted_[k]) ++first;
            if (first == last || token_of(level[first], mask_) != wanted_[k]) continue;
            const int j = lane_[k];
            entry_[m][j] = first;
            log_prob_[m][j] = level[first].log_prob;
            length_[j] = m;
            lane_[found++] = j;
        }
        return found;
    }

    const NgramTrie& trie_;
    int order_, bits_;
    std::uint64_t mask_;
    // By lane; the last one is that of the position before the first.
    std::array<std::array<Index, kLanes + 1>, kMaxOrder + 1> entry_;
    std::array<std::array<float, kLanes + 1>, kMaxOrder + 1> log_prob_;
    std::array<int, kLanes + 1> length_;
    // By number among the lanes that are active.
    std::array<int, kLanes> lane_;
    std::array<std::uint64_t, kLanes> wanted_;
    std::array<Children, kLanes> children_;
};

// ln p of a lane whose context is the n-gram of another lane, of which `context_length` tokens
// count: put(n, value) for at most n tokens of context, n = 0 .. order - 1.
template <class Put>
void score_lane(const Lanes& lanes, int lane, const Lanes& contexts, int context, int reach,
                int order, bool all_contexts, Put&& put) {
    const int length = lanes.length(lane);
    if (!all_contexts) {
        double value = static_cast<double>(lanes.log_prob(lane, length));
        for (int m = length; m <= reach; ++m) {
            value += static_cast<double>(contexts.log_backoff(context, m));
        }
        put(order - 1, value);
        return;
    }
    double value = 0.0;
    for (int m = 1; m <= order; ++m) {
        if (m > 1 && m - 1 <= reach) {
            value += static_cast<double>(contexts.log_backoff(context, m - 1));
        }
        if (m <= length) value = static_cast<double>(lanes.log_prob(lane, m));
        put(m - 1, value);
    }
}

}  // namespace

template <class Token>
void backoff_scores(const NgramTrie& trie, std::span<const Token> tokens, Index stop_token,
                    bool all_contexts, std::span<double> result, int threads) {
    trie.check();
    const Index n = static_cast<Index>(tokens.size());
    const int order = trie.order;
    require(static_cast<Index>(result.size()) == n * (all_contexts ? order : 1),
            "result: one number per token, or one per token and order");
    for (Index i = 0; i < n; ++i) {
        if (static_cast<Index>(tokens[i]) >= trie.symbols) {
            throw_token_out_of_range(tokens[i], i, trie.symbols);
        }
    }
    const auto is_stop = [&](Index i) { return static_cast<Index>(tokens[i]) == stop_token; };
    parallel_for((n + kTask - 1) / kTask, threads, [&](Index task) {
        const Index begin = task * kTask, end = std::min(n, begin + kTask);
        Lanes lanes(trie);
        Index first = begin;
        const auto symbol = [&](int lane, int m) -> Index {
            const Index at = first + lane - m;
            if (at < 0 || (m > 1 && is_stop(at + 1))) return -1;
            return static_cast<Index>(tokens[at]);
        };
        if (begin > 0) {
            first = begin - 1;
            lanes.find(1, symbol);
            lanes.copy(0, kLanes);
            first = begin;
        }
        for (; first < end; first += kLanes) {
            const int size = static_cast<int>(std::min<Index>(kLanes, end - first));
            lanes.find(size, symbol);
            for (int j = 0; j < size; ++j) {
                const Index i = first + j;
                const int context = j == 0 ? kLanes : j - 1;
                // Tokens of the longest context that the trie holds.
                int reach = i == 0 ? 0 : is_stop(i - 1) ? 1 : lanes.length(context);
                reach = std::min(reach, order - 1);
                score_lane(lanes, j, lanes, context, reach, order, all_contexts,
                           [&](int column, double value) {
                               result[all_contexts ? i * order + column : i] = value;
                           });
            }
            lanes.copy(size - 1, kLanes);
        }
    });
}

void backoff_next_scores(const NgramTrie& trie, std::span<const Index> tokens,
                         std::span<const Index> ends, Index stop_token, std::span<double> result,
                         int threads) {
    trie.check();
    const Index n_contexts = static_cast<Index>(ends.size());
    const int order = trie.order;
    require(static_cast<Index>(result.size()) == n_contexts * trie.vocab_size,
            "result: one number per context and token of the vocabulary");
    Index before = 0;
    for (const Index end : ends) {
        require(before <= end && end <= static_cast<Index>(tokens.size()),
                "ends must ascend up to the number of tokens");
        before = end;
    }
    for (Index i = 0; i < static_cast<Index>(tokens.size()); ++i) {
        if (tokens[i] < 0 || tokens[i] >= trie.symbols) {
            throw_token_out_of_range(static_cast<std::uint64_t>(tokens[i]), i, trie.symbols);
        }
    }
    const Index parts = (trie.vocab_size + kTask - 1) / kTask;
    parallel_for(n_contexts * parts, threads, [&](Index task) {
        const Index c = task / parts, begin = task % parts * kTask;
        const Index end = std::min(trie.vocab_size, begin + kTask);
        const auto context =
            tokens.subspan(c == 0 ? 0 : ends[c - 1], ends[c] - (c == 0 ? 0 : ends[c - 1]));
        const int known =
            static_cast<int>(std::min<Index>(static_cast<Index>(context.size()), order - 1));
        // The m-th token before the next one.
        const auto before_next = [&](int m) -> Index {
            if (m > known) return -1;
            const std::size_t at = context.size() - static_cast<std::size_t>(m);
            return m > 1 && context[at + 1] == stop_token ? -1 : context[at];
        };
        std::array<Index, kMaxOrder> history{};
        int reach = 0;
        while (reach < known && before_next(reach + 1) >= 0) {
            history[reach] = before_next(reach + 1);
            ++reach;
        }
        Lanes contexts(trie), lanes(trie);
        if (reach > 0) {
            contexts.find(1, [&](int, int m) { return m < reach ? history[m] : -1; });
            reach = std::min(contexts.length(0), reach);
        }
        for (Index first = begin; first < end; first += kLanes) {
            const int size = static_cast<int>(std::min<Index>(kLanes, end - first));
            lanes.find(size, [&](int lane, int m) -> Index {
                if (m == 0) return first + lane;
                return before_next(m);
            });
            for (int j = 0; j < size; ++j) {
                score_lane(lanes, j, contexts, 0, reach, order, false, [&](int, double value) {
                    result[c * trie.vocab_size + first + j] = value;
                });
            }
        }
    });
}

template void backoff_scores(const NgramTrie&, std::span<const std::uint16_t>, Index, bool,
                             std::span<double>, int);
template void backoff_scores(const NgramTrie&, std::span<const std::uint32_t>, Index, bool,
                             std::span<double>, int);

}  // namespace ngramstat
