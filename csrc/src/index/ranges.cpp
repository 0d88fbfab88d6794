#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "search_shard.hpp"

namespace ngramstat {

namespace {

// Queries of a task: enough to keep all searches busy, few enough to share among threads.
constexpr Index kQueriesPerTask = 1024;

constexpr Index task_count(Index n) { return (n + kQueriesPerTask - 1) / kQueriesPerTask; }

}  // namespace

void TokenSlices::check() const {
    require(begins.size() == ends.size(), "every query needs a begin and an end");
    const Index size = static_cast<Index>(tokens.size());
    for (std::size_t i = 0; i < begins.size(); ++i) {
        require(0 <= begins[i] && begins[i] <= ends[i] && ends[i] <= size,
                "a query lies outside the tokens of the queries");
    }
}

template <class Token>
void check_suffix_index(const SuffixIndex<Token>& index) {
    require(index.vocab_size >= 1 && index.vocab_size <= Index{1} << 32,
            "vocab_size has to lie between 1 and 2^32");
    require(index.suffixes.size() <= index.tokens.size() &&
                static_cast<Index>(index.token_starts.size()) == index.vocab_size + 2 &&
                (index.samples.empty() || static_cast<Index>(index.samples.size()) ==
                                              n_samples(static_cast<Index>(index.suffixes.size()))),
            "the index is damaged: the sizes of its arrays do not fit together");
    require(index.depth >= 0, "the depth of an index is at least 1, or 0 for any");
}

template <class Token>
std::vector<std::uint64_t> suffix_samples(const SuffixIndex<Token>& index, int threads) {
    const SamplePacking packing(index.vocab_size, index.depth);
    const Index size = static_cast<Index>(index.suffixes.size());
    std::vector<std::uint64_t> samples(static_cast<std::size_t>(n_samples(size)));
    constexpr Index kPerTask = 1 << 14, kAhead = 16;
    parallel_for((n_samples(size) + kPerTask - 1) / kPerTask, threads, [&](Index task) {
        const Index first = task * kPerTask, last = std::min(first + kPerTask, n_samples(size));
        for (Index i = first; i < last; ++i) {
            if (i + kAhead < last) {
                const auto rank = static_cast<std::size_t>((i + kAhead) * kSampleStride);
                if (index.suffixes[rank] < index.tokens.size()) {
                    prefetch(index.tokens.data() + index.suffixes[rank]);
                }
            }
            const Index rank = i * kSampleStride;
            std::uint64_t sample = 0;
            for (int k = 1; k <= packing.symbols; ++k) {
                if (symbol_at(index, rank, k - 1) == index.stop_token) break;
                const Index token = symbol_at(index, rank, k);
                if (token < 0) break;
                sample |= (static_cast<std::uint64_t>(token) + 1) << packing.shift(k);
            }
            samples[static_cast<std::size_t>(i)] = sample;
        }
    });
    return samples;
}

template <class Token>
void find_ranges(const SuffixIndex<Token>& index, const TokenSlices& ngrams,
                 std::span<SuffixRange> ranges, int threads) {
    parallel_for(task_count(ngrams.size()), threads, [&](Index task) {
        const Index first = task * kQueriesPerTask;
        search_shard(
            index, ngrams, first, std::min(first + kQueriesPerTask, ngrams.size()),
            [&](Index i, SuffixRange range) { ranges[static_cast<std::size_t>(i)] = range; });
    });
}

template <class Token>
void count_occurrences(Shards<Token> shards, const TokenSlices& ngrams, std::span<Index> counts,
                       int threads) {
    parallel_for(task_count(ngrams.size()), threads, [&](Index task) {
        const Index first = task * kQueriesPerTask;
        const Index last = std::min(first + kQueriesPerTask, ngrams.size());
        std::fill(counts.begin() + first, counts.begin() + last, 0);
        for (const auto& index : shards) {
            const Index stops = suffixes_of_token(index, index.vocab_size).size();
            search_shard(index, ngrams, first, last, [&](Index i, SuffixRange range) {
                counts[static_cast<std::size_t>(i)] +=
                    range.size() - (ngrams[i].empty() ? stops : 0);
            });
        }
    });
}

#define NGRAMSTAT_INSTANTIATE(Token)                                                    \
    template void check_suffix_index(const SuffixIndex<Token>&);                        \
    template std::vector<std::uint64_t> suffix_samples(const SuffixIndex<Token>&, int); \
    template void find_ranges(const SuffixIndex<Token>&, const TokenSlices&,            \
                              std::span<SuffixRange>, int);                             \
    template void count_occurrences(Shards<Token>, const TokenSlices&, std::span<Index>, int);
NGRAMSTAT_INSTANTIATE(std::uint16_t)
NGRAMSTAT_INSTANTIATE(std::uint32_t)
#undef NGRAMSTAT_INSTANTIATE

}  // namespace ngramstat
