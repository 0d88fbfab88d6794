// Leaves of a tree in ascending order, without comparing them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ngramstat {

// Some leaves with a number each. Leaves are bits of words, and words that are not zero are bits of
// words of a second level: few words are read for few leaves of many.
class LeafSet {
  public:
    explicit LeafSet(std::size_t n_leaves)
        : numbers_(n_leaves), words_(n_leaves / 64 + 1), used_(words_.size() / 64 + 1) {}

    // A leaf that is not in the set yet.
    void add(std::uint32_t leaf, std::uint32_t number) {
        numbers_[leaf] = number;
        words_[leaf / 64] |= std::uint64_t{1} << leaf % 64;
        used_[leaf / 4096] |= std::uint64_t{1} << leaf / 64 % 64;
    }

    // Calls visit(leaf, number) for all leaves, the lowest first, and removes them.
    template <class Visit>
    void take(Visit&& visit) {
        for (std::size_t u = 0; u < used_.size(); ++u) {
            for (std::uint64_t used = std::exchange(used_[u], 0); used != 0; used &= used - 1) {
                const std::size_t w = 64 * u + static_cast<std::size_t>(std::countr_zero(used));
                for (std::uint64_t word = std::exchange(words_[w], 0); word != 0;
                     word &= word - 1) {
                    const std::uint32_t leaf = static_cast<std::uint32_t>(64 * w) +
                                               static_cast<std::uint32_t>(std::countr_zero(word));
                    visit(leaf, numbers_[leaf]);
                }
            }
        }
    }

  private:
    std::vector<std::uint32_t> numbers_;  // by leaf
    std::vector<std::uint64_t> words_, used_;
};

}  // namespace ngramstat
