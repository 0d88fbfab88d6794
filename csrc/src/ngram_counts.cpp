#include "ngramstat/ngram_counts.hpp"

#include <algorithm>
#include <map>

#include "ngramstat/suffix_sort.hpp"

namespace ngramstat {

namespace {

class Bits {
  public:
    explicit Bits(Index n) : words_(static_cast<std::size_t>(n) / 64 + 1, 0) {}
    void set(Index i) { words_[static_cast<std::size_t>(i) >> 6] |= std::uint64_t{1} << (i & 63); }
    bool test(Index i) const { return words_[static_cast<std::size_t>(i) >> 6] >> (i & 63) & 1; }

  private:
    std::vector<std::uint64_t> words_;
};

// The positions at the edges of documents where an n-gram may end that is no target, or no context
// of a target. All other positions with max_context - 1 tokens before them are both.
struct Population {
    Bits outside;
    Bits not_target;
    Bits not_context;

    Population(Index n_tokens, std::span<const Index> ends, int max_context)
        : outside(n_tokens), not_target(n_tokens), not_context(n_tokens) {
        Index start = 0;
        for (const Index end : ends) {
            const Index first_target = std::min<Index>(start + max_context, end);
            const Index first_context = max_context == 0 ? start : first_target - 1;
            for (Index i = start; i < first_context; ++i) outside.set(i);
            if (first_target == end) {  // no target at all: nothing of this document counts
                for (Index i = std::max(first_context, start); i < end; ++i) outside.set(i);
            } else {
                for (Index i = first_context; i < first_target; ++i) not_target.set(i);
                not_context.set(end - 1);
            }
            start = end;
        }
    }
};

// Histogram of counts that is dense where nearly all of them are.
class Histogram {
  public:
    void add(Count count) {
        if (count == 0) return;
        if (count < kDense) {
            ++dense_[count];
        } else {
            ++large_[count];
        }
    }

    void merge(const Histogram& other) {
        for (std::size_t c = 0; c < kDense; ++c) dense_[c] += other.dense_[c];
        for (const auto& [count, number] : other.large_) large_[count] += number;
    }

    CountsOfCounts counts() const {
        CountsOfCounts result;
        for (std::size_t c = 1; c < kDense; ++c) {
            if (dense_[c] != 0) result.emplace_back(c, dense_[c]);
        }
        result.insert(result.end(), large_.begin(), large_.end());
        return result;
    }

  private:
    static constexpr std::size_t kDense = 256;
    std::vector<Count> dense_ = std::vector<Count>(kDense, 0);
    std::map<Count, Count> large_;
};

struct Partial {
    std::vector<Histogram> ngrams;
    std::vector<Histogram> contexts;
    Count targets = 0;
};

template <class Token, class Position>
NgramCounts count(std::span<const Token> tokens, Index vocab_size, int max_context,
                  const Population& population, TokenRange range, int threads) {
    auto index = index_positions<Token, Position>(tokens, range, vocab_size, threads);
    const int depth = max_context + 1;
    const SuffixOrder order{depth, true, -1};
    const auto tasks = bucket_tasks(index);
    const Index n_tasks = static_cast<Index>(tasks.size()) - 1;
    std::vector<Partial> partial(static_cast<std::size_t>(n_tasks));

    parallel_for(n_tasks, threads, [&](Index task) {
        Partial& mine = partial[task];
        mine.ngrams.resize(static_cast<std::size_t>(depth));
        mine.contexts.resize(static_cast<std::size_t>(depth));
        SuffixScratch scratch;
        std::vector<std::uint8_t> lcp;
        std::vector<Position> bucket;
        // Targets and contexts seen before the open group of each depth began.
        std::vector<Count> target_start(static_cast<std::size_t>(depth) + 1);
        std::vector<Count> context_start(static_cast<std::size_t>(depth) + 1);
        for (Index g = tasks[task]; g < tasks[task + 1]; ++g) {
            bucket.clear();
            for (const Position p : index.group(g)) {
                if (!population.outside.test(static_cast<Index>(p))) bucket.push_back(p);
            }
            if (bucket.empty()) continue;
            lcp.resize(bucket.size());
            sort_bucket(tokens, vocab_size, order, std::span<Position>(bucket),
                        std::span<std::uint8_t>(lcp), scratch);
            Count targets = 0;
            Count contexts = 0;
            std::fill(target_start.begin(), target_start.end(), 0);
            std::fill(context_start.begin(), context_start.end(), 0);
            for (std::size_t k = 0; k <= bucket.size(); ++k) {
                const int shared = k < bucket.size() ? lcp[k] : 0;
                for (int m = depth; k > 0 && m > shared; --m) {
                    mine.ngrams[m - 1].add(targets - target_start[m]);
                    target_start[m] = targets;
                    if (m < depth) mine.contexts[m].add(contexts - context_start[m]);
                    context_start[m] = contexts;
                }
                if (k == bucket.size()) break;
                const Index position = static_cast<Index>(bucket[k]);
                targets += population.not_target.test(position) ? 0 : 1;
                contexts += population.not_context.test(position) ? 0 : 1;
            }
            mine.targets += targets;
        }
    });

    NgramCounts counts;
    for (int n = 0; n < depth; ++n) {
        Histogram ngrams;
        Histogram contexts;
        for (const auto& part : partial) {
            ngrams.merge(part.ngrams[n]);
            contexts.merge(part.contexts[n]);
        }
        counts.ngrams.push_back(ngrams.counts());
        counts.contexts.push_back(contexts.counts());
    }
    for (const auto& part : partial) counts.targets += part.targets;
    return counts;
}

}  // namespace

template <class Token>
NgramCounts count_ngrams(std::span<const Token> tokens, Index vocab_size, int max_context,
                         std::span<const Index> document_ends, TokenRange range, int threads) {
    require(max_context >= 0 && max_context < kMaxDepth, "max_context must lie in 0 .. 254");
    Index last = 0;
    for (const Index end : document_ends) {
        require(end > last, "document_ends must be strictly increasing");
        last = end;
    }
    require(last == static_cast<Index>(tokens.size()),
            "the last document must end where the stream ends");
    const Population population(static_cast<Index>(tokens.size()), document_ends, max_context);
    if (tokens.size() <= std::size_t{1} << 32) {
        return count<Token, std::uint32_t>(tokens, vocab_size, max_context, population, range,
                                           threads);
    }
    return count<Token, std::uint64_t>(tokens, vocab_size, max_context, population, range, threads);
}

template NgramCounts count_ngrams(std::span<const std::uint16_t>, Index, int,
                                  std::span<const Index>, TokenRange, int);
template NgramCounts count_ngrams(std::span<const std::uint32_t>, Index, int,
                                  std::span<const Index>, TokenRange, int);

}  // namespace ngramstat
