// Numbers such as tokens in ascending order, without comparing them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ngramstat {

// Some ids below a bound. Ids are bits of words, and words that are not zero are bits of words of a
// second level: few words are read for few ids of many.
class IdSet {
  public:
    explicit IdSet(std::size_t bound) : words_(bound / 64 + 1), used_(words_.size() / 64 + 1) {}

    void add(std::uint32_t id) {
        words_[id / 64] |= std::uint64_t{1} << id % 64;
        used_[id / 4096] |= std::uint64_t{1} << id / 64 % 64;
    }

    // Calls visit(id) for all ids, the lowest first, and removes them.
    template <class Visit>
    void take(Visit&& visit) {
        for (std::size_t u = 0; u < used_.size(); ++u) {
            for (std::uint64_t used = std::exchange(used_[u], 0); used != 0; used &= used - 1) {
                const std::size_t w = 64 * u + static_cast<std::size_t>(std::countr_zero(used));
                for (std::uint64_t word = std::exchange(words_[w], 0); word != 0;
                     word &= word - 1) {
                    visit(static_cast<std::uint32_t>(64 * w) +
                          static_cast<std::uint32_t>(std::countr_zero(word)));
                }
            }
        }
    }

  private:
    std::vector<std::uint64_t> words_, used_;
};

// Sorts different ids below the bound of `set`, which is empty before and after.
inline void sort_ids(std::span<std::uint32_t> ids, IdSet& set) {
    constexpr std::size_t kFew = 24;
    if (ids.size() > kFew) {
        for (const std::uint32_t id : ids) set.add(id);
        auto next = ids.begin();
        set.take([&](std::uint32_t id) { *next++ = id; });
        return;
    }
    for (std::size_t k = 1; k < ids.size(); ++k) {
        const std::uint32_t id = ids[k];
        std::size_t to = k;
        for (; to > 0 && ids[to - 1] > id; --to) ids[to] = ids[to - 1];
        ids[to] = id;
    }
}

}  // namespace ngramstat
