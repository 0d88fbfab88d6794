#include <algorithm>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "search_shard.hpp"

namespace ngramstat {

namespace {

constexpr Index kQueriesPerTask = 64;

// Which documents were met, in words of 64 bits that are cleared as they are counted.
class DocumentSet {
  public:
    void resize(std::size_t documents) { words_.resize((documents + 63) / 64); }
    void add(std::size_t document) {
        std::uint64_t& word = words_[document / 64];
        if (word == 0) met_.push_back(document / 64);
        word |= std::uint64_t{1} << (document % 64);
    }
    Index count_and_clear() {
        Index count = 0;
        for (const std::size_t at : met_) {
            count += std::popcount(words_[at]);
            words_[at] = 0;
        }
        met_.clear();
        return count;
    }

  private:
    std::vector<std::uint64_t> words_;
    std::vector<std::size_t> met_;
};

}  // namespace

template <class Token>
void count_documents(Shards<Token> shards, std::span<const std::span<const Index>> document_ends,
                     const TokenSlices& ngrams, std::span<Index> counts, int threads) {
    require(document_ends.size() == shards.size(), "every shard needs its document ends");
    std::fill(counts.begin(), counts.end(), 0);
    for (std::size_t s = 0; s < shards.size(); ++s) {
        const auto& index = shards[s];
        const auto ends = document_ends[s];
        const Index n = ngrams.size();
        parallel_with(
            (n + kQueriesPerTask - 1) / kQueriesPerTask, threads,
            [&] {
                DocumentSet documents;
                documents.resize(ends.size() + 1);
                return documents;
            },
            [&](Index task, DocumentSet& documents) {
                const Index first = task * kQueriesPerTask;
                search_shard(
                    index, ngrams, first, std::min(first + kQueriesPerTask, n),
                    [&](Index i, SuffixRange range) {
                        for (Index rank = range.first; rank < range.last; ++rank) {
                            const Index position = index.suffixes[static_cast<std::size_t>(rank)];
                            const auto end = std::upper_bound(ends.begin(), ends.end(), position);
                            if (end == ends.end()) {
                                throw std::invalid_argument(
                                    "the index is damaged: a position lies outside its documents");
                            }
                            documents.add(static_cast<std::size_t>(end - ends.begin()));
                        }
                        counts[static_cast<std::size_t>(i)] += documents.count_and_clear();
                    });
            });
    }
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                      \
    template void count_documents(Shards<Token>, std::span<const std::span<const Index>>, \
                                  const TokenSlices&, std::span<Index>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
