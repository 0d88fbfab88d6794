// One shard searched for a run of queries, on one thread.
#pragma once

#include "ngramstat/index/interleaved_search.hpp"
#include "ngramstat/index/queries.hpp"

namespace ngramstat {

// Calls found(i, range) for the queries first .. last, in no order. The empty n-gram begins every
// suffix.
template <class Token, class Found>
void search_shard(const SuffixIndex<Token>& index, const TokenSlices& ngrams, Index first,
                  Index last, Found&& found) {
    const SuffixRange all{0, static_cast<Index>(index.suffixes.size())};
    interleave<RangeSearch<Token>>(
        last - first,
        [&](RangeSearch<Token>& search, Index i) {
            const auto ngram = ngrams[first + i];
            if (!ngram.empty()) search.start(index, ngram);
        },
        [&](RangeSearch<Token>& search, Index i) {
            if (ngrams[first + i].empty()) {
                found(first + i, all);
                return true;
            }
            if (!search.step()) return false;
            found(first + i, search.range());
            return true;
        });
}

}  // namespace ngramstat
