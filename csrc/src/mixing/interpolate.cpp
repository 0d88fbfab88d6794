// ContextCounts::interpolate: absolute discounting of one context after the other.
#include <algorithm>
#include <bit>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/mixing/context_counts.hpp"
#include "ngramstat/mixing/packed_logits.hpp"
#include "radix_sort.hpp"

namespace ngramstat {

namespace {

// Followers of one context in the order of a tree's leaves, as running sums: what followed it in a
// subtree, a range of leaves, is the difference of two entries.
struct FollowerSums {
    struct Entry {
        std::uint32_t leaf = 0;  // of the follower; the entry after the last has none
        // Sums over the followers before it: counts, and raw and continuation counts after
        // discounting.
        Count count = 0;
        double raw = 0.0, continuation = 0.0;

        Entry operator-(const Entry& before) const {
            return {0, count - before.count, raw - before.raw, continuation - before.continuation};
        }
    };
    struct Totals {  // over all followers
        double count = 0.0, freed = 0.0;

        // The factor by which weights become probabilities.
        double scale() const { return count > 0 ? 1.0 / count : 1.0; }
        // Adds a count; returns it after discounting.
        double add(Count follower_count, const std::array<double, 3>& discounts) {
            if (follower_count == 0) return 0.0;
            const double value = static_cast<double>(follower_count);
            const double discount =
                std::min(discounts[std::min<Count>(follower_count, 3) - 1], value);
            count += value;
            freed += discount;
            return value - discount;
        }
        // The weight of a subtree, from its discounted counts and its parent's probability.
        double weight(double discounted, double parent) const {
            return count > 0 ? discounted + freed * parent : parent;
        }
    };
    std::vector<Entry> entries{1};
    std::size_t size = 0;
    Totals raw, continuation;

    void clear(std::size_t max_size) {
        if (entries.size() <= max_size) entries.resize(max_size + 1);
        size = 0;
        entries[0] = {};
        raw = continuation = {};
    }
    void add(std::uint32_t leaf, Count count, Count continuation_count,
             const Discounts& discounts) {
        if (count == 0) return;  // it was seen in the leave-one-out part alone
        entries[size].leaf = leaf;
        const Entry& entry = entries[size];
        entries[size + 1] = {
            0, entry.count + count, entry.raw + raw.add(count, discounts.raw),
            entry.continuation + continuation.add(continuation_count, discounts.continuation)};
        ++size;
    }
    // The first of the followers [low, high) whose leaf is not below this one. Branch-free.
    std::size_t lower_bound(std::size_t low, std::size_t high, std::uint32_t leaf) const {
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            const bool below = entries[middle].leaf < leaf;
            low = below ? middle + 1 : low;
            high = below ? high : middle;
        }
        return low;
    }
};

// Probabilities of the branch taken and of its sibling.
struct Branches {
    double taken, sibling;
};

}  // namespace

// One worker: interpolates the targets of one shard of the contexts after the other.
class ContextCounts::Interpolator {
  public:
    Interpolator(const ContextCounts& counts, const TokenTree& tree, const Discounts& discounts,
                 const Decisions& decisions)
        : counts_(counts),
          tree_(tree),
          discounts_(discounts),
          decisions_(decisions),
          leaf_bits_(std::bit_width(tree.leaf_of.size() - 1)),
          pack_(pack_logits_function()) {}

    void interpolate_shard(std::size_t p) {
        const FollowerCounts& shard = counts_.shards_[p];
        const std::size_t first_context = counts_.first_context(p);
        const std::size_t last_context = counts_.first_context(p + 1);
        const std::span<const Index> begins = counts_.index_.target_begins();
        targets_ = counts_.index_.targets();
        const Index last_target = begins[last_context];
        std::size_t last_left_out = 0;
        for (std::size_t context = first_context; context < last_context; ++context) {
            const std::size_t first_follower = shard.first(context - first_context);
            const std::size_t last_follower = shard.last(context - first_context);
            const std::size_t first_left_out = last_left_out;
            while (last_left_out < shard.left_out.size() &&
                   shard.left_out[last_left_out].follower < last_follower) {
                ++last_left_out;
            }
            sort_by_leaf(shard, first_follower, last_follower);
            // Targets that are scored leave-one-out come first.
            const Index begin = begins[context], end = begins[context + 1];
            const Index middle = std::lower_bound(targets_.begin() + begin, targets_.begin() + end,
                                                  counts_.n_leave_one_out_) -
                                 targets_.begin();
            if (middle < end) {
                sum_followers(shard, first_follower, {});
                write_targets(middle, end, last_target);
            }
            if (middle > begin) {
                left_out_.assign(last_follower - first_follower, FollowerCounts::LeftOut{0, 0, 0});
                for (std::size_t k = first_left_out; k < last_left_out; ++k) {
                    left_out_[shard.left_out[k].follower - first_follower] = shard.left_out[k];
                }
                sum_followers(shard, first_follower, left_out_);
                write_targets(begin, middle, last_target);
            }
        }
    }

    // Targets without a context: they have what the pattern falls back on.
    void interpolate_without_context(Index first, Index last) {
        followers_.clear(0);
        targets_ = counts_.targets_without_context_;
        write_targets(first, last, last);
    }

  private:
    // Fills by_leaf_ for the followers of one context.
    void sort_by_leaf(const FollowerCounts& shard, std::size_t first, std::size_t last) {
        by_leaf_.clear();
        for (std::size_t k = first; k < last; ++k) {
            const std::uint64_t leaf = tree_.leaf_of[shard.tokens[k]];
            by_leaf_.push_back(leaf << 32 | (k - first));
        }
        radix_sort(by_leaf_, buffer_, 32, 32 + leaf_bits_);
    }

    // left_out: what to subtract, by the number of the context's follower; empty: nothing.
    void sum_followers(const FollowerCounts& shard, std::size_t first,
                       std::span<const FollowerCounts::LeftOut> left_out) {
        followers_.clear(by_leaf_.size());
        for (const std::uint64_t entry : by_leaf_) {
            const std::size_t number = static_cast<std::uint32_t>(entry);
            Count count = shard.counts[first + number];
            Count continuation =
                counts_.has_continuation_ ? shard.continuation_counts[first + number] : 0;
            if (!left_out.empty()) {
                count -= left_out[number].count;
                continuation -= left_out[number].continuation_count;
            }
            followers_.add(static_cast<std::uint32_t>(entry >> 32), count, continuation,
                           discounts_);
        }
    }

    // Targets of one context lie anywhere in the stream, and so do their decisions.
    void prefetch_target(Index j, Index end) const {
        constexpr Index kFar = 24, kNear = 12;
        if (j + kFar < end) {
            const Index t = targets_[static_cast<std::size_t>(j + kFar)];
            prefetch(&decisions_.offsets[t]);
            prefetch(&counts_.target_tokens_[t]);
        }
        if (j + kNear < end) {
            const Index e = decisions_.offsets[targets_[static_cast<std::size_t>(j + kNear)]];
            prefetch(decisions_.packed_logits.data() + e);
            for (Index line = 0; line < 32; line += 16) {
                if (!decisions_.parent_mass.empty()) {
                    prefetch(decisions_.parent_mass.data() + 2 * e + line);
                }
                if (!decisions_.mass.empty()) prefetch(decisions_.mass.data() + 2 * e + line);
            }
        }
    }

    void write_targets(Index first, Index last, Index last_to_prefetch) {
        for (Index j = first; j < last; ++j) {
            prefetch_target(j, last_to_prefetch);
            write_target(targets_[static_cast<std::size_t>(j)]);
        }
    }

    // Probabilities of a decision's branches by the pattern that this one falls back on.
    Branches parent_branches(const PathNode& node, std::size_t decision) const {
        if (!decisions_.parent_mass.empty()) {
            return {static_cast<double>(decisions_.parent_mass[2 * decision]),
                    static_cast<double>(decisions_.parent_mass[2 * decision + 1])};
        }
        const double vocab_size = static_cast<double>(counts_.context_keys_.vocabulary().size);
        const double left = static_cast<double>(node.split - node.first) / vocab_size;
        const double right = static_cast<double>(node.last - node.split) / vocab_size;
        return node.right ? Branches{right, left} : Branches{left, right};
    }

    // Writes the decisions on the path to a target's token.
    void write_target(Index t) {
        const std::uint32_t leaf = tree_.leaf_of[counts_.target_tokens_[t]];
        const FollowerSums::Totals &raw = followers_.raw, &continuation = followers_.continuation;
        const double continuation_scale = continuation.scale();
        const Index first = decisions_.offsets[t];
        const std::size_t count = static_cast<std::size_t>(decisions_.offsets[t + 1] - first);
        resize_buffers(count);
        // The followers below the current node are [low, high).
        std::size_t low = 0, high = followers_.size, k = 0;
        for (PathNode node(tree_, leaf); !node.is_leaf(); node.descend(tree_, leaf), ++k) {
            const std::size_t decision = static_cast<std::size_t>(first) + k;
            const std::size_t middle = followers_.lower_bound(low, high, node.split);
            const FollowerSums::Entry& between = followers_.entries[middle];
            FollowerSums::Entry taken = between - followers_.entries[low];
            FollowerSums::Entry sibling = followers_.entries[high] - between;
            if (node.right) std::swap(taken, sibling);
            const Branches parent = parent_branches(node, decision);
            buckets_[k] = count_bucket(taken.count, sibling.count, raw.count > 0);
            odds_[k] = static_cast<float>(raw.weight(taken.raw, parent.taken)) /
                       static_cast<float>(raw.weight(sibling.raw, parent.sibling));
            if (!decisions_.mass.empty()) {
                decisions_.mass[2 * decision] = static_cast<float>(
                    continuation_scale * continuation.weight(taken.continuation, parent.taken));
                decisions_.mass[2 * decision + 1] = static_cast<float>(
                    continuation_scale * continuation.weight(sibling.continuation, parent.sibling));
            }
            (node.right ? low : high) = middle;
        }
        pack_(odds_.data(), buckets_.data(), packed_.data(), padded(count));
        std::copy_n(packed_.begin(), count, decisions_.packed_logits.begin() + first);
    }

    static std::size_t padded(std::size_t n) {
        return (n + kPackedVector - 1) / kPackedVector * kPackedVector;
    }
    void resize_buffers(std::size_t n) {
        if (padded(n) <= odds_.size()) return;
        odds_.resize(padded(n), 1.0f);
        buckets_.resize(padded(n));
        packed_.resize(padded(n));
    }

    const ContextCounts& counts_;
    const TokenTree& tree_;
    const Discounts& discounts_;
    const Decisions decisions_;
    int leaf_bits_;
    PackLogits pack_;

    std::span<const Index> targets_;  // of the current shard, or those without a context
    FollowerSums followers_;
    std::vector<std::uint64_t> by_leaf_, buffer_;    // leaf << 32 | number of the follower
    std::vector<FollowerCounts::LeftOut> left_out_;  // by number of the context's follower
    // Decisions of one target, padded to whole vectors.
    std::vector<float> odds_;
    std::vector<std::int32_t> buckets_, packed_;
};

void ContextCounts::check_decisions(const TokenTree& tree, const Decisions& decisions) const {
    check_tree(tree);
    require(static_cast<Index>(tree.leaf_of.size()) == context_keys_.vocabulary().size,
            "the tree must be one of the vocabulary");
    require(decisions.offsets.size() == target_tokens_.size() + 1,
            "one decision offset per target, and an end");
    const std::size_t n = static_cast<std::size_t>(decisions.offsets.back());
    require(decisions.packed_logits.size() == n, "packed_logits must be (decisions)");
    require(decisions.parent_mass.empty() || decisions.parent_mass.size() == 2 * n,
            "parent_mass must be (decisions, 2)");
    require(decisions.mass.empty() || decisions.mass.size() == 2 * n,
            "mass must be (decisions, 2)");
    require(decisions.mass.empty() || has_continuation_,
            "continuation counts need a continuation_offset");
}

void ContextCounts::interpolate(const TokenTree& tree, const Discounts& discounts,
                                const Decisions& decisions, int threads) const {
    check_decisions(tree, decisions);
    const auto make_worker = [&] { return Interpolator(*this, tree, discounts, decisions); };
    parallel_with(static_cast<Index>(shards_.size()), threads, make_worker,
                  [](Index shard, Interpolator& worker) {
                      worker.interpolate_shard(static_cast<std::size_t>(shard));
                  });
    constexpr Index kTask = 1024;
    const Index n = static_cast<Index>(targets_without_context_.size());
    parallel_with((n + kTask - 1) / kTask, threads, make_worker,
                  [&](Index task, Interpolator& worker) {
                      const Index begin = task * kTask;
                      worker.interpolate_without_context(begin, std::min(begin + kTask, n));
                  });
}

}  // namespace ngramstat
