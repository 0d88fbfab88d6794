// What an index is asked: counts of n-grams, tokens that follow, documents, longest known suffixes.
//
// Everything is summed over the shards. Results depend neither on the number of threads nor on how
// the corpus is cut into shards. Queries are refused by the caller where the index cannot answer
// them: tokens are below vocab_size, lengths within the depth.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/index/search.hpp"
#include "ngramstat/index/suffix_index.hpp"

namespace ngramstat {

// Query i is tokens[begins[i] .. ends[i]); queries may overlap.
struct TokenSlices {
    std::span<const std::uint32_t> tokens;
    std::span<const Index> begins;
    std::span<const Index> ends;

    Index size() const { return static_cast<Index>(begins.size()); }
    std::span<const std::uint32_t> operator[](Index i) const {
        const auto at = static_cast<std::size_t>(i);
        return tokens.subspan(static_cast<std::size_t>(begins[at]),
                              static_cast<std::size_t>(ends[at] - begins[at]));
    }
    // Throws std::invalid_argument unless all slices lie within the tokens.
    void check() const;
};

template <class Token>
using Shards = std::span<const SuffixIndex<Token>>;

// Throws std::invalid_argument unless the sizes of the arrays fit together.
template <class Token>
void check_suffix_index(const SuffixIndex<Token>& index);

// Packed symbols of every kSampleStride-th suffix, see SamplePacking: (n_samples) values.
template <class Token>
std::vector<std::uint64_t> suffix_samples(const SuffixIndex<Token>& index, int threads);

// Suffixes of one shard that begin with each n-gram; all of them for the empty one.
template <class Token>
void find_ranges(const SuffixIndex<Token>& index, const TokenSlices& ngrams,
                 std::span<SuffixRange> ranges, int threads);

// Occurrences of each n-gram in all shards; of the empty one, all tokens but inserted stop tokens.
template <class Token>
void count_occurrences(Shards<Token> shards, const TokenSlices& ngrams, std::span<Index> counts,
                       int threads);

// Tokens that follow contexts: those of context i are starts[i] .. starts[i + 1], ascending, each
// once. Inserted stop tokens and the end of the corpus are none.
struct NextTokens {
    std::vector<Index> starts;
    std::vector<std::uint32_t> tokens;
    std::vector<Index> counts;
};

// Reads a suffix per distinct next token, or where there are few, all suffixes of the context.
template <class Token>
NextTokens next_tokens(Shards<Token> shards, const TokenSlices& contexts, int threads);

// The same as rows of vocab_size counts, to which the counts are added.
template <class Token>
void count_next(Shards<Token> shards, const TokenSlices& contexts, std::span<Index> rows,
                int threads);

// Of each context, which is text before a token: the length of its longest suffix that occurs
// anywhere, and how often this suffix occurs, and how often with the token after it. That is the
// infinity-gram of Liu et al. (2024). The token is the last one of a slice, or with every_token
// each one of it, with what stands before it in the slice as the context; results stand in the
// order of these tokens.
//
// No suffix is longer than max_context (0: any). With a stop token, a context begins after the last
// stop in it.
struct SuffixCounts {
    std::span<Index> lengths;
    std::span<Index> contexts;
    std::span<Index> ngrams;
};
template <class Token>
void longest_suffixes(Shards<Token> shards, const TokenSlices& texts, bool every_token,
                      Index max_context, const SuffixCounts& results, int threads);

// The documents of a shard: where each ends in its tokens, and whether the first one is the rest of
// the last one of the shard before.
struct ShardDocuments {
    std::span<const Index> ends;
    bool continues = false;
};

// Documents that hold each n-gram at least once.
template <class Token>
void count_documents(Shards<Token> shards, std::span<const ShardDocuments> documents,
                     const TokenSlices& ngrams, std::span<Index> counts, int threads);

}  // namespace ngramstat
