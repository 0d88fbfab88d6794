#include "ngramstat/mixing/token_tree.hpp"

#include <algorithm>
#include <stdexcept>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/key_table.hpp"
#include "ngramstat/base/parallel.hpp"

namespace ngramstat {

void check_tree(const TokenTree& tree) {
    const std::size_t n = tree.leaf_of.size();
    require(n >= 1 && n < KeyTable::kAbsent, "a tree needs at least one token");
    require(tree.split.size() == n - 1, "a tree of V tokens has V - 1 inner nodes");
    std::vector<bool> seen(n, false);
    for (const std::uint32_t leaf : tree.leaf_of) {
        require(leaf < n && !seen[leaf], "leaf_of must be a permutation");
        seen[leaf] = true;
    }
    struct Leaves {
        std::size_t first, last;
    };
    std::vector<Leaves> stack{{0, n}};
    std::size_t node = 0;
    while (!stack.empty()) {
        const Leaves leaves = stack.back();
        stack.pop_back();
        if (leaves.last - leaves.first <= 1) continue;
        const std::size_t split = tree.split[node++];
        require(split > leaves.first && split < leaves.last,
                "a split must lie inside the leaves of its node");
        stack.push_back({split, leaves.last});
        stack.push_back({leaves.first, split});
    }
}

std::vector<std::uint32_t> path_lengths(const TokenTree& tree) {
    check_tree(tree);
    std::vector<std::uint32_t> lengths(tree.leaf_of.size(), 0);
    for (std::size_t token = 0; token < lengths.size(); ++token) {
        const std::uint32_t leaf = tree.leaf_of[token];
        for (PathNode node(tree, leaf); !node.is_leaf(); node.descend(tree, leaf)) ++lengths[token];
    }
    return lengths;
}

void write_decision_states(const TokenTree& tree, std::span<const std::uint32_t> tokens,
                           std::span<const Index> offsets, std::uint32_t max_depth,
                           std::uint32_t max_nodes, const DecisionStates& states, int threads) {
    constexpr std::uint32_t kStates = 1u << 16;
    require(max_depth >= 1 && max_depth <= kStates && max_nodes >= 1 && max_nodes <= kStates,
            "states have 16 bits");
    const std::vector<std::uint32_t> lengths = path_lengths(tree);
    require(offsets.size() == tokens.size() + 1 && offsets.front() == 0,
            "one decision offset per token, and an end");
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] >= lengths.size()) throw std::out_of_range("a token is not in the tree");
        require(offsets[i + 1] - offsets[i] == lengths[tokens[i]],
                "decision offsets must follow the paths to the tokens");
    }
    const std::size_t n = static_cast<std::size_t>(offsets.back());
    require(states.depth.size() == n && states.node.size() == n, "states must be (decisions)");
    constexpr Index kTask = 1 << 14;
    const Index n_tokens = static_cast<Index>(tokens.size());
    parallel_for((n_tokens + kTask - 1) / kTask, threads, [&](Index task) {
        const Index end = std::min((task + 1) * kTask, n_tokens);
        for (Index i = task * kTask; i < end; ++i) {
            const std::size_t token = static_cast<std::size_t>(i);
            const std::uint32_t leaf = tree.leaf_of[tokens[token]];
            std::size_t decision = static_cast<std::size_t>(offsets[token]);
            std::uint32_t depth = 0;
            for (PathNode at(tree, leaf); !at.is_leaf(); at.descend(tree, leaf)) {
                states.depth[decision] = static_cast<std::uint16_t>(std::min(depth, max_depth - 1));
                states.node[decision] = static_cast<std::uint16_t>(at.node % max_nodes);
                ++decision;
                ++depth;
            }
        }
    });
}

}  // namespace ngramstat
