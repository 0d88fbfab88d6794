// ContextCounts::interpolate: absolute discounting of one context after the other.
#include <algorithm>
#include <bit>

#include "branch_sums.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/base/id_set.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/mixing/context_counts.hpp"
#include "ngramstat/mixing/packed_logits.hpp"

namespace ngramstat {

namespace {

// Paths of up to this many decisions have a code.
constexpr std::uint32_t kMaxCoded = 64;
// Contexts with more followers have them sorted by leaf; else each is compared with each target.
constexpr std::size_t kMaxCompared = 96;

// The paths of all tokens through a tree.
struct Paths {
    std::vector<std::uint64_t> code;    // one bit per decision from the highest on: went right
    std::vector<std::uint32_t> length;  // decisions
    std::uint32_t longest = 0;

    explicit Paths(const TokenTree& tree) : code(tree.leaf_of.size()), length(tree.leaf_of.size()) {
        for (std::size_t token = 0; token < code.size(); ++token) {
            const std::uint32_t leaf = tree.leaf_of[token];
            std::uint32_t n = 0;
            for (PathNode node(tree, leaf); !node.is_leaf(); node.descend(tree, leaf), ++n) {
                if (n < kMaxCoded) {
                    code[token] |= std::uint64_t{node.right} << (kMaxCoded - 1 - n);
                }
            }
            length[token] = n;
            longest = std::max(longest, n);
        }
    }
    bool coded() const { return longest <= kMaxCoded; }
    // Decisions that two paths share: 64 if they are the same.
    std::int32_t shared(std::size_t a, std::size_t b) const {
        return std::countl_zero(code[a] ^ code[b]);
    }
};

// What is subtracted from a count, by min(count, 3).
struct DiscountOfCount {
    std::array<double, 4> of;

    explicit DiscountOfCount(const std::array<double, 3>& discounts)
        : of{0.0, std::min(discounts[0], 1.0), std::min(discounts[1], 2.0),
             std::min(discounts[2], 3.0)} {}
    double operator()(std::uint32_t count) const { return of[std::min(count, 3u)]; }
};

// Followers of one context in the order of a tree's leaves, as running sums: what followed it in a
// subtree, a range of leaves, is the difference of two entries.
struct RunningSums {
    struct Entry {
        std::uint32_t leaf = 0;  // of the follower; the entry after the last has none
        // Sums over the followers before it: counts, and raw and continuation counts after
        // discounting.
        double count = 0.0, raw = 0.0, continuation = 0.0;
    };
    std::vector<Entry> entries{1};
    std::size_t size = 0;

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

}  // namespace

// One worker: interpolates the targets of one shard of the contexts after the other.
class ContextCounts::Interpolator {
  public:
    Interpolator(const ContextCounts& counts, const TokenTree& tree, const Paths& paths,
                 const Discounts& discounts, const Decisions& decisions)
        : counts_(counts),
          tree_(tree),
          paths_(paths),
          raw_discount_(discounts.raw),
          continuation_discount_(discounts.continuation),
          decisions_(decisions),
          loops_(path_loops()),
          leaves_(tree.leaf_of.size()),
          follower_of_(tree.leaf_of.size()),
          written_(tree.leaf_of.size(), {0, 0}) {
        const std::size_t padded = (paths.longest + kPathVector - 1) / kPathVector * kPathVector;
        sums_.resize(padded);
        scratch_.resize(2 * padded);
        packed_.resize(padded);
        fallback_.resize(padded);
        parent_.resize(padded, 0);
    }

    void interpolate_shard(std::size_t p) {
        const ContextFollowers& shard = counts_.shards_[p];
        const std::size_t first_context = counts_.first_context(p);
        const std::size_t last_context = counts_.first_context(p + 1);
        const std::span<const Index> begins = counts_.index_.target_begins();
        targets_ = counts_.index_.targets();
        const Index last_target = begins[last_context];
        std::size_t last_left_out = 0;
        for (std::size_t context = first_context; context < last_context; ++context) {
            first_ = shard.first(context - first_context);
            last_ = shard.last(context - first_context);
            const std::size_t first_left_out = last_left_out;
            while (last_left_out < shard.left_out.size() &&
                   shard.left_out[last_left_out].follower < last_) {
                ++last_left_out;
            }
            // Targets that are scored leave-one-out come first.
            const Index begin = begins[context], end = begins[context + 1];
            const Index middle = std::lower_bound(targets_.begin() + begin, targets_.begin() + end,
                                                  counts_.n_leave_one_out_) -
                                 targets_.begin();
            if (middle < end) {
                left_out_.clear();
                read_followers(shard);
                write_targets(middle, end, last_target);
            }
            if (middle > begin) {
                left_out_.assign(last_ - first_, ContextFollowers::LeftOut{0, 0, 0});
                for (std::size_t k = first_left_out; k < last_left_out; ++k) {
                    left_out_[shard.left_out[k].follower - first_] = shard.left_out[k];
                }
                read_followers(shard);
                write_targets(begin, middle, last_target);
            }
        }
    }

    // Targets without a context: they have what the pattern falls back on.
    void interpolate_without_context(Index first, Index last) {
        tokens_ = {};
        targets_ = counts_.targets_without_context_;
        write_targets(first, last, last);
    }

  private:
    // The followers of one context, less what is left out.
    void read_followers(const ContextFollowers& shard) {
        const std::size_t n = last_ - first_;
        resize_followers(n);
        const std::uint32_t* tokens = shard.tokens.data() + first_;
        const std::uint32_t* counts = shard.counts.data() + first_;
        const std::uint32_t* lower =
            counts_.has_continuation_ ? shard.continuation_counts.data() + first_ : nullptr;
        std::uint32_t* seen = follower_tokens_.data();
        float* raw_counts = followers_.count.data();
        float *raw = followers_.raw.data(), *continuation = followers_.continuation.data();
        double freed_raw = 0.0, freed_continuation = 0.0;
        std::size_t j = 0;
        for (std::size_t k = 0; k < n; ++k) {
            std::uint32_t count = counts[k], lower_count = lower == nullptr ? 0 : lower[k];
            if (!left_out_.empty()) {
                count -= left_out_[k].count;
                lower_count -= left_out_[k].continuation_count;
            }
            const double discount = raw_discount_(count);
            const double lower_discount = continuation_discount_(lower_count);
            seen[j] = tokens[k];
            raw_counts[j] = static_cast<float>(count);
            raw[j] = static_cast<float>(count - discount);
            continuation[j] = static_cast<float>(lower_count - lower_discount);
            freed_raw += discount;
            freed_continuation += lower_discount;
            j += count > 0;  // else it was seen in the leave-one-out part alone
        }
        tokens_ = std::span<const std::uint32_t>(follower_tokens_).first(j);
        freed_ = {static_cast<float>(freed_raw), static_cast<float>(freed_continuation)};
        sorted_ = j > kMaxCompared || !paths_.coded();
        if (sorted_) sort_followers();
    }

    void resize_followers(std::size_t n) {
        if (n <= followers_.depth.size()) return;
        followers_.depth.resize(n);
        follower_tokens_.resize(n);
        for (auto* values : {&followers_.count, &followers_.raw, &followers_.continuation}) {
            values->resize(n);
        }
    }

    void sort_followers() {
        for (std::size_t j = 0; j < tokens_.size(); ++j) {
            const std::uint32_t leaf = tree_.leaf_of[tokens_[j]];
            leaves_.add(leaf);
            follower_of_[leaf] = static_cast<std::uint32_t>(j);
        }
        running_.size = tokens_.size();
        running_.entries.resize(std::max(running_.entries.size(), tokens_.size() + 1));
        RunningSums::Entry* entry = running_.entries.data();
        *entry = {};
        leaves_.take([&](std::uint32_t leaf) {
            const std::uint32_t j = follower_of_[leaf];
            entry->leaf = leaf;
            entry[1] = {0, entry->count + static_cast<double>(followers_.count[j]),
                        entry->raw + static_cast<double>(followers_.raw[j]),
                        entry->continuation + static_cast<double>(followers_.continuation[j])};
            ++entry;
        });
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
            if (!decisions_.parent_logits.empty()) prefetch(decisions_.parent_logits.data() + e);
            if (!decisions_.fallback_logits.empty()) {
                prefetch(decisions_.fallback_logits.data() + e);
            }
        }
    }

    // Targets of one context, all leave-one-out or none: those with the same token are the same.
    void write_targets(Index first, Index last, Index last_to_prefetch) {
        const bool may_repeat = last - first > 1 && !tokens_.empty();
        if (may_repeat && ++group_ == 0) {
            std::fill(written_.begin(), written_.end(), Written{0, 0});
            group_ = 1;
        }
        for (Index j = first; j < last; ++j) {
            prefetch_target(j, last_to_prefetch);
            const Index target = targets_[static_cast<std::size_t>(j)];
            const std::uint32_t token = counts_.target_tokens_[static_cast<std::size_t>(target)];
            const Index place = decisions_.offsets[target];
            const std::size_t n = paths_.length[token];
            if (may_repeat) {
                Written& written = written_[token];
                if (written.group == group_) {
                    copy(written.place, place, n);
                    continue;
                }
                written = {group_, place};
            }
            write(token, place, n);
        }
    }

    void copy(Index from, Index to, std::size_t n) const {
        std::copy_n(decisions_.packed_logits.begin() + from, n,
                    decisions_.packed_logits.begin() + to);
        if (decisions_.fallback_logits.empty()) return;
        std::copy_n(decisions_.fallback_logits.begin() + from, n,
                    decisions_.fallback_logits.begin() + to);
    }

    // The n decisions on the path to a token, from `place` on.
    void write(std::uint32_t token, Index place, std::size_t n) {
        const bool has_parent = !decisions_.parent_logits.empty();
        if (has_parent) std::copy_n(decisions_.parent_logits.begin() + place, n, parent_.begin());
        const bool seen = !tokens_.empty();
        if (!seen && has_parent) {
            loops_.unseen(parent_.data(), n, packed_.data());
            std::copy_n(packed_.begin(), n, decisions_.packed_logits.begin() + place);
            if (decisions_.fallback_logits.empty()) return;
            std::copy_n(parent_.begin(), n, decisions_.fallback_logits.begin() + place);
            return;
        }
        has_parent ? read_parent(n) : uniform_parent(token);
        Freed freed{1.0f, 1.0f};
        if (seen) {
            freed = freed_;
            sorted_ ? search(token) : compare(token, n);
        } else {
            sums_.clear();
        }
        const bool has_children = !decisions_.fallback_logits.empty();
        loops_.logits(sums_, freed, seen, n, scratch_.data(), packed_.data(),
                      has_children ? fallback_.data() : nullptr);
        std::copy_n(packed_.begin(), n, decisions_.packed_logits.begin() + place);
        if (!has_children) return;
        std::copy_n(fallback_.begin(), n, decisions_.fallback_logits.begin() + place);
    }

    // Probabilities of the branches by the pattern that this one falls back on.
    void read_parent(std::size_t n) {
        loops_.probabilities(parent_.data(), n, sums_.parent.taken.data(),
                             sums_.parent.sibling.data());
        float above = 1.0f;
        for (std::size_t k = 0; k < n; ++k) {
            sums_.parent.sibling[k] *= above;
            above = sums_.parent.taken[k] *= above;
        }
    }

    void uniform_parent(std::uint32_t token) {
        const float vocab_size = static_cast<float>(tree_.leaf_of.size());
        const std::uint32_t leaf = tree_.leaf_of[token];
        std::size_t k = 0;
        for (PathNode node(tree_, leaf); !node.is_leaf(); node.descend(tree_, leaf), ++k) {
            const float left = static_cast<float>(node.split - node.first) / vocab_size;
            const float right = static_cast<float>(node.last - node.split) / vocab_size;
            sums_.parent.taken[k] = node.right ? right : left;
            sums_.parent.sibling[k] = node.right ? left : right;
        }
    }

    void compare(std::uint32_t token, std::size_t n) {
        for (std::size_t j = 0; j < tokens_.size(); ++j) {
            followers_.depth[j] = paths_.shared(token, tokens_[j]);
        }
        loops_.add_followers(followers_, tokens_.size(), n, sums_);
    }

    void search(std::uint32_t token) {
        const std::uint32_t leaf = tree_.leaf_of[token];
        // The followers below the current node are [low, high).
        std::size_t low = 0, high = running_.size, k = 0;
        for (PathNode node(tree_, leaf); !node.is_leaf(); node.descend(tree_, leaf), ++k) {
            const std::size_t middle = running_.lower_bound(low, high, node.split);
            const auto& first = running_.entries[node.right ? middle : low];
            const auto& last = running_.entries[node.right ? high : middle];
            const auto& sibling_first = running_.entries[node.right ? low : middle];
            const auto& sibling_last = running_.entries[node.right ? middle : high];
            const auto set = [k](Branches& branches, double taken, double sibling) {
                branches.taken[k] = static_cast<float>(taken);
                branches.sibling[k] = static_cast<float>(sibling);
            };
            set(sums_.count, last.count - first.count, sibling_last.count - sibling_first.count);
            set(sums_.raw, last.raw - first.raw, sibling_last.raw - sibling_first.raw);
            set(sums_.continuation, last.continuation - first.continuation,
                sibling_last.continuation - sibling_first.continuation);
            (node.right ? low : high) = middle;
        }
    }

    struct Written {
        std::uint32_t group;
        Index place;
    };

    const ContextCounts& counts_;
    const TokenTree& tree_;
    const Paths& paths_;
    const DiscountOfCount raw_discount_, continuation_discount_;
    const Decisions decisions_;
    PathLoops loops_;

    std::span<const Index> targets_;  // of the current shard, or those without a context
    // Of the current context, and leave-one-out or not:
    std::size_t first_ = 0, last_ = 0;                 // its followers
    std::vector<ContextFollowers::LeftOut> left_out_;  // by follower; empty: nothing
    std::vector<std::uint32_t> follower_tokens_;
    std::span<const std::uint32_t> tokens_;  // that followed it: the first of them
    Followers followers_;
    Freed freed_{1.0f, 1.0f};
    bool sorted_ = false;
    RunningSums running_;
    IdSet leaves_;                            // of followers
    std::vector<std::uint32_t> follower_of_;  // by leaf
    // By token: where its decisions were written last, and for which group of targets.
    std::vector<Written> written_;
    std::uint32_t group_ = 0;
    // Decisions of one target, padded to whole vectors.
    PathSums sums_;
    std::vector<std::int32_t> scratch_;
    std::vector<std::uint16_t> packed_;
    std::vector<std::int16_t> fallback_, parent_;
};

void ContextCounts::check_decisions(const TokenTree& tree, const Decisions& decisions) const {
    check_tree(tree);
    require(static_cast<Index>(tree.leaf_of.size()) == context_keys_.vocabulary().size,
            "the tree must be one of the vocabulary");
    require(decisions.offsets.size() == target_tokens_.size() + 1,
            "one decision offset per target, and an end");
    const std::size_t n = static_cast<std::size_t>(decisions.offsets.back());
    require(decisions.packed_logits.size() == n, "packed_logits must be (decisions)");
    require(decisions.parent_logits.empty() || decisions.parent_logits.size() == n,
            "parent_logits must be (decisions)");
    require(decisions.fallback_logits.empty() || decisions.fallback_logits.size() == n,
            "fallback_logits must be (decisions)");
    require(decisions.fallback_logits.empty() || has_continuation_,
            "continuation counts need a continuation_offset");
}

void ContextCounts::interpolate(const TokenTree& tree, const Discounts& discounts,
                                const Decisions& decisions, int threads) const {
    check_decisions(tree, decisions);
    const Paths paths(tree);
    for (std::size_t t = 0; t < target_tokens_.size(); ++t) {
        require(decisions.offsets[t + 1] - decisions.offsets[t] == paths.length[target_tokens_[t]],
                "decision offsets must follow the paths to the targets");
    }
    const auto make_worker = [&] { return Interpolator(*this, tree, paths, discounts, decisions); };
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
