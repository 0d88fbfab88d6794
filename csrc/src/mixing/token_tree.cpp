#include "ngramstat/mixing/token_tree.hpp"

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/key_table.hpp"

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

}  // namespace ngramstat
