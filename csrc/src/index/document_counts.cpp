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
    explicit DocumentSet(std::size_t documents) : words_(documents / 64 + 1) {}
    void add(std::size_t document) {
        std::uint64_t& word = words_[document / 64];
        if (word == 0) met_.push_back(document / 64);
        word |= std::uint64_t{1} << (document % 64);
    }
    bool has(std::size_t document) const { return words_[document / 64] >> (document % 64) & 1; }
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
void count_documents(Shards<Token> shards, std::span<const ShardDocuments> documents,
                     const TokenSlices& ngrams, std::span<Index> counts, int threads) {
    require(documents.size() == shards.size(), "every shard needs its documents");
    std::fill(counts.begin(), counts.end(), 0);
    // Whether the last document of the shard before, which may go on in this one, holds an n-gram.
    std::vector<std::uint8_t> in_last(counts.size(), 0);
    for (std::size_t s = 0; s < shards.size(); ++s) {
        const auto& index = shards[s];
        const auto ends = documents[s].ends;
        const bool continues = documents[s].continues;
        const Index n = ngrams.size();
        const auto count = [&](Index i, SuffixRange range, DocumentSet& met) {
            for (Index rank = range.first; rank < range.last; ++rank) {
                const Index position = index.suffixes[static_cast<std::size_t>(rank)];
                const auto end = std::upper_bound(ends.begin(), ends.end(), position);
                if (end == ends.end()) {
                    throw std::invalid_argument(
                        "the index is damaged: a position lies outside its documents");
                }
                met.add(static_cast<std::size_t>(end - ends.begin()));
            }
            std::uint8_t& last = in_last[static_cast<std::size_t>(i)];
            const bool was_met = continues && last;
            const bool again = was_met && met.has(0);
            last = !ends.empty() && (met.has(ends.size() - 1) || (was_met && ends.size() == 1));
            counts[static_cast<std::size_t>(i)] += met.count_and_clear() - (again ? 1 : 0);
        };
        parallel_with((n + kQueriesPerTask - 1) / kQueriesPerTask, threads,
                      [&] { return DocumentSet(ends.size()); },
                      [&](Index task, DocumentSet& met) {
                          const Index first = task * kQueriesPerTask;
                          search_shard(index, ngrams, first, std::min(first + kQueriesPerTask, n),
                                       [&](Index i, SuffixRange range) { count(i, range, met); });
                      });
    }
}

#define NGRAMSTAT_INSTANTIATE(Token)                                              \
    template void count_documents(Shards<Token>, std::span<const ShardDocuments>, \
                                  const TokenSlices&, std::span<Index>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
