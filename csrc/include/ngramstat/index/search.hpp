// Where in the order of suffixes those with a given beginning stand.
//
// An n-gram with the stop token before its last symbol occurs nowhere, since nothing is compared
// after a stop. For all others, a suffix can be compared by its plain tokens: one that holds a stop
// token where the n-gram does not is told apart by it, as in the order of suffixes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "ngramstat/index/suffix_index.hpp"

namespace ngramstat {

// The suffixes of ranks [first, last).
struct SuffixRange {
    Index first = 0;
    Index last = 0;
    Index size() const { return last - first; }
    bool empty() const { return last <= first; }
};

// The token `offset` symbols into the suffix of a rank, or -1 where the text has ended. The rank
// must be below suffixes.size(); its position need not be right. Does not look at the stop token.
template <class Token>
Index symbol_at(const SuffixIndex<Token>& index, Index rank, Index offset) {
    const Index at = static_cast<Index>(index.suffixes[static_cast<std::size_t>(rank)]) + offset;
    return at < static_cast<Index>(index.tokens.size())
               ? static_cast<Index>(index.tokens[static_cast<std::size_t>(at)])
               : -1;
}

// The suffixes that begin with a token; token_starts is checked. A token outside 0 .. vocab_size
// begins none.
template <class Token>
SuffixRange suffixes_of_token(const SuffixIndex<Token>& index, Index token) {
    if (token < 0 || token > index.vocab_size) return {};
    const auto at = static_cast<std::size_t>(token);
    const SuffixRange range{index.token_starts[at], index.token_starts[at + 1]};
    if (range.first < 0 || range.last < range.first ||
        range.last > static_cast<Index>(index.suffixes.size())) {
        throw std::invalid_argument("the index is damaged: its token_starts are not ranks");
    }
    return range;
}

// Of suffixes that share `length` symbols, at least one and fewer than the depth, none of them the
// stop token: those whose next symbol is `token`. About log2(range) reads at random places.
template <class Token>
SuffixRange narrow(const SuffixIndex<Token>& index, SuffixRange range, Index length, Index token) {
    Index low = range.first, high = range.last;
    while (low < high) {
        const Index middle = low + (high - low) / 2;
        if (symbol_at(index, middle, length) < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == range.last || symbol_at(index, low, length) != token) return {low, low};
    // Mostly few suffixes have the same next symbol, so the end is looked for from the start on.
    Index inside = low, step = 1;
    while (inside + step < range.last && symbol_at(index, inside + step, length) == token) {
        inside += step;
        step *= 2;
    }
    Index outside = std::min(range.last, inside + step);
    while (outside - inside > 1) {
        const Index middle = inside + (outside - inside) / 2;
        (symbol_at(index, middle, length) == token ? inside : outside) = middle;
    }
    return {low, outside};
}

// The suffixes that begin with an n-gram of 1 .. depth tokens.
template <class Token>
SuffixRange find_suffixes(const SuffixIndex<Token>& index, std::span<const std::uint32_t> ngram) {
    SuffixRange range = suffixes_of_token(index, ngram[0]);
    for (std::size_t k = 1; k < ngram.size() && !range.empty(); ++k) {
        if (static_cast<Index>(ngram[k - 1]) == index.stop_token) return {};
        range = narrow(index, range, static_cast<Index>(k), static_cast<Index>(ngram[k]));
    }
    return range;
}

}  // namespace ngramstat
