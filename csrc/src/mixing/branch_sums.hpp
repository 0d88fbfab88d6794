// The arithmetic of interpolation: all decisions on the path to one token at a time, in vectors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Decisions of one path are padded to a multiple of this.
inline constexpr std::size_t kPathVector = 16;

// What followed a context: where its path leaves that of the target, the count, and the raw and
// continuation counts after discounting.
struct Followers {
    std::vector<std::int32_t> depth;  // decisions that the paths share
    std::vector<float> count, raw, continuation;
};

// By decision of a path: of the branch taken and of its sibling.
struct Branches {
    std::vector<float> taken, sibling;

    void resize(std::size_t n) {
        taken.resize(n);
        sibling.resize(n);
    }
};

struct PathSums {
    Branches count, raw, continuation;
    Branches parent;  // probabilities by the pattern that this one falls back on

    std::size_t size() const { return count.taken.size(); }
    void resize(std::size_t n) {
        for (Branches* branches : {&count, &raw, &continuation, &parent}) branches->resize(n);
    }
    // No followers.
    void clear() {
        for (Branches* branches : {&count, &raw, &continuation}) {
            std::fill(branches->taken.begin(), branches->taken.end(), 0.0f);
            std::fill(branches->sibling.begin(), branches->sibling.end(), 0.0f);
        }
    }
};

// What is interpolated with the parent's probabilities: the sums of discounts.
struct Freed {
    float raw, continuation;
};

// The loops as built for this processor.
struct PathLoops {
    // Sums of n followers over the subtrees of a path of `decisions` decisions.
    void (*add_followers)(const Followers& followers, std::size_t n, std::size_t decisions,
                          PathSums& sums);
    // Conditional probabilities of the branches from fallback logits.
    void (*probabilities)(const std::int16_t* logits, std::size_t decisions, Branches& out);
    // Packed logits and fallback logits of a context that was seen, or was not; padded.
    void (*logits)(const PathSums& sums, const Freed& freed, bool seen, std::size_t decisions,
                   std::uint16_t* packed_logits, std::int16_t* fallback_logits);
    // The packed logits where nothing followed: those of the parent.
    void (*unseen)(const std::int16_t* parent_logits, std::size_t decisions,
                   std::uint16_t* packed_logits);
};
PathLoops path_loops();

}  // namespace ngramstat
