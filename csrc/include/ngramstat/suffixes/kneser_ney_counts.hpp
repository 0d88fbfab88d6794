// Counts and the formula of interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

inline constexpr int kMaxOrder = 16;

// What interpolation needs of one context h: the sum of the counts of hw over w, and how many w
// have count 1, 2, and 3 or more.
struct FollowerCounts {
    Count sum = 0;
    std::array<Count, 3> number{};
};

// Numbers of n-grams of one order with counts 1, 2, 3, 4 (for the discounts), and of all of them.
struct OrderCounts {
    std::array<Count, 4> number{};
    Count distinct = 0;

    void add(Count count) {
        ++distinct;
        if (count <= 4) ++number[count - 1];
    }
    void add_singletons(Count singletons) {
        distinct += singletons;
        number[0] += singletons;
    }
    void merge(const OrderCounts& other) {
        distinct += other.distinct;
        for (std::size_t c = 0; c < number.size(); ++c) number[c] += other.number[c];
    }
};

// Discounts D1, D2, D3+ of one order.
using OrderDiscounts = std::array<double, 3>;

// Two kinds of counts for every order m. Raw counts apply where m is the highest order of a model.
// Continuation counts apply everywhere below: the number of distinct tokens seen before the n-gram,
// or the raw count where the n-gram begins with the stop token (no token can precede it).
struct KneserNeyCounts {
    std::vector<OrderCounts> raw;           // [m - 1], m = 1 .. order
    std::vector<OrderCounts> continuation;  // [m - 1], m = 1 .. order - 1

    explicit KneserNeyCounts(int order = 0)
        : raw(static_cast<std::size_t>(order)),
          continuation(static_cast<std::size_t>(std::max(order - 1, 0))) {}
    void merge(const KneserNeyCounts& other) {
        for (std::size_t m = 0; m < raw.size(); ++m) raw[m].merge(other.raw[m]);
        for (std::size_t m = 0; m < continuation.size(); ++m) {
            continuation[m].merge(other.continuation[m]);
        }
    }
};

// What a model counts in training: in all of it, and for the n-grams of the held-out tokens and
// their contexts, by the nodes of their tries.
struct HeldOutCounts {
    KneserNeyCounts counts;
    std::vector<FollowerCounts> raw_contexts, continuation_contexts;
    std::vector<Count> raw_ngrams, continuation_ngrams;
};

// What a model has counted in some ranges of last tokens, of the held-out n-grams and contexts that
// occur there: nodes of their tries, and the counts of each. Those of ranges that partition the
// vocabulary add up to the model.
struct CountsOfRanges {
    KneserNeyCounts counts;
    std::vector<std::uint32_t> contexts;
    std::vector<FollowerCounts> raw_followers, continuation_followers;  // by context
    std::vector<std::uint32_t> ngrams;
    std::vector<Count> raw_ngrams, continuation_ngrams;  // by n-gram
};

inline double discount(const OrderDiscounts& discounts, Count count) {
    return count == 0 ? 0.0 : discounts[std::min<Count>(count, 3) - 1];
}

// What the discounts of all followers of a context take off.
template <class Followers>
double freed_count(const Followers& context, const OrderDiscounts& discounts) {
    double freed = 0.0;
    for (std::size_t c = 0; c < 3; ++c) {
        freed += discounts[c] * static_cast<double>(context.number[c]);
    }
    return freed;
}

// One level of interpolation; a context without counts leaves the lower order's probability as it
// is. `freed` is freed_count(context, discounts), or more where n-grams have been left out.
inline double interpolate(Count sum, double freed, Count count, const OrderDiscounts& discounts,
                          double lower_order) {
    if (sum == 0) return lower_order;
    const double discounted =
        std::max(static_cast<double>(count) - discount(discounts, count), 0.0);
    return (discounted + freed * lower_order) / static_cast<double>(sum);
}

}  // namespace ngramstat
