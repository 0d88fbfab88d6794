#include "ngramstat/suffixes/held_out_ngrams.hpp"

#include <algorithm>

#include "ngramstat/base/error.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

namespace {

// Calls visit(position, shared, length, symbol) for the positions of some segments, sorted by the
// `depth` symbols that end at them.
template <class Token, class Visit>
void for_sorted(std::span<const Token> tokens, Index symbols, int depth, Index stop_token,
                std::span<const Segment> segments, Visit&& visit) {
    using Position = std::uint64_t;
    const SuffixBlocks<Token, Position> blocks(
        tokens, symbols, SuffixOrder{depth, true, stop_token}, {0, symbols}, segments, 1);
    SuffixScratch<Position> scratch;
    for (Index block = 0; block < blocks.n_blocks(); ++block) {
        const SortedSuffixes<Position> sorted = blocks.sort(block, scratch);
        for (std::size_t k = 0; k < sorted.lcp.size(); ++k) {
            const auto symbol = [&](int m) { return blocks.symbol(sorted, k, m); };
            int length = 1;
            while (length < depth && symbol(length) >= 0) ++length;
            visit(static_cast<std::size_t>(sorted.positions[k]), int{sorted.lcp[k]}, length,
                  symbol);
        }
    }
}

}  // namespace

template <class Token>
HeldOutNgrams<Token>::HeldOutNgrams(std::span<const Token> held_out, const Documents& documents,
                                    Index vocab_size, int order, Index stop_token) {
    check(held_out, documents, vocab_size, stop_token);
    const Index symbols = stop_token == vocab_size ? vocab_size + 1 : vocab_size;
    std::vector<Segment> scored, before;
    for (Index d = 0; d < documents.size(); ++d) {
        const Index first = documents.content_starts()[d], last = documents.content_ends()[d];
        if (first == last) continue;
        scored.push_back({first, last});
        before.push_back({std::max<Index>(first - 1, 0), std::max<Index>(last - 1, 0)});
    }
    using End = SymbolTrie::Builder::End;
    // By position: the longest context that ends there.
    std::vector<End, HugePageAllocator<End>> ends(held_out.size());
    if (order > 1) {
        SymbolTrie::Builder builder;
        for_sorted(held_out, symbols, order - 1, stop_token, before,
                   [&](std::size_t position, int shared, int length, auto&& symbol) {
                       // As the last token of a context, the stop token is all of it.
                       const bool is_stop = symbol(0) == stop_token;
                       ends[position] = builder.add(is_stop ? std::min(shared, 1) : shared,
                                                    is_stop ? 1 : length, symbol);
                   });
        contexts_ = builder.finish(symbols);
    }

    SymbolTrie::Builder builder;
    std::vector<std::vector<Node>> contexts(static_cast<std::size_t>(order) + 1);
    longest_.resize(held_out.size());
    std::vector<std::uint8_t> levels(held_out.size());
    for_sorted(held_out, symbols, order, stop_token, scored,
               [&](std::size_t position, int shared, int length, auto&& symbol) {
                   Node context = SymbolTrie::kRoot;
                   if (position > 0 && length > 1) {
                       const End& longest = ends[position - 1];
                       context = contexts_.level_begin(longest.level) + longest.number;
                   }
                   const auto first_new = static_cast<std::size_t>(shared) + 1;
                   for (auto level = static_cast<std::size_t>(length); level >= first_new;
                        --level) {
                       contexts[level].push_back(context);
                       context = contexts_.parent(context);
                   }
                   const End end = builder.add(shared, length, symbol);
                   longest_[position] = end.number;
                   levels[position] = end.level;
               });
    ngrams_ = builder.finish(symbols);
    context_of_.reserve(ngrams_.size());
    context_of_.push_back(SymbolTrie::kRoot);
    for (const auto& level : contexts) {
        context_of_.insert(context_of_.end(), level.begin(), level.end());
    }
    for (std::size_t i = 0; i < longest_.size(); ++i) {
        if (levels[i] > 0) longest_[i] += ngrams_.level_begin(levels[i]);
    }
}

template <class Token>
void HeldOutNgrams<Token>::check(std::span<const Token> held_out, const Documents& documents,
                                 Index vocab_size, Index stop_token) const {
    const Index n = static_cast<Index>(held_out.size());
    for (Index i = 0; i < n; ++i) {
        const Index token = static_cast<Index>(held_out[i]);
        const bool separator_symbol = token == vocab_size && token == stop_token;
        if (token >= vocab_size && !separator_symbol) {
            throw_token_out_of_range(held_out[i], i, vocab_size);
        }
    }
    for (Index d = 0; d < documents.size(); ++d) {
        for (Index i = documents.content_starts()[d]; i < documents.content_ends()[d]; ++i) {
            require(static_cast<Index>(held_out[i]) < vocab_size,
                    "a token outside the vocabulary cannot be scored");
        }
    }
}

template class HeldOutNgrams<std::uint16_t>;
template class HeldOutNgrams<std::uint32_t>;

}  // namespace ngramstat
