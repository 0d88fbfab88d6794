#include "ngramstat/worlds/ngram_sampler.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/base/random.hpp"

namespace ngramstat {

namespace {

// Tokens per task, in whole documents.
constexpr Index kTaskTokens = 1 << 16;
// Documents that are drawn in turn: the memory that one needs arrives while others are drawn.
constexpr std::size_t kDrawnAtOnce = 16;

void check_source(const NgramSource& source) {
    const std::size_t n_outcomes = source.cumulative.size();
    const std::size_t n_states = source.suffix.size();
    require(n_states >= 1 && source.first.size() == n_states + 1 && source.first.front() == 0 &&
                source.first.back() == static_cast<Index>(n_outcomes),
            "the states' outcomes must cover all outcomes");
    require(source.token.size() == n_outcomes && source.next.size() == n_outcomes,
            "the outcomes' arrays need one length");
    require(source.vocab_size >= 1 && source.first[1] >= source.vocab_size,
            "state 0 needs an outcome for every token");
    require(source.never >= -1 && source.never < source.vocab_size &&
                source.vocab_size - (source.never >= 0) >= 1,
            "no token is left to draw");
    require(source.suffix[0] == 0, "the suffix of state 0 must be 0");
    for (std::size_t s = 0; s < n_states; ++s) {
        require(source.first[s] <= source.first[s + 1], "the states' outcomes must ascend");
        require(s == 0 || source.suffix[s] < s, "a suffix must come before its state");
        for (Index i = source.first[s] + 1; i < source.first[s + 1]; ++i) {
            require(source.cumulative[i - 1] <= source.cumulative[i],
                    "the cumulative probabilities of a state must ascend");
            require(source.token[i - 1] < source.token[i], "the tokens of a state must ascend");
        }
    }
    for (const std::uint32_t next : source.next) {
        require(next < n_states, "an outcome leads to a state that is not there");
    }
    for (Index w = 0; w < source.vocab_size; ++w) {
        require(source.token[w] == static_cast<std::uint32_t>(w),
                "outcome w of state 0 must be token w");
    }
}

// The largest number of states that a token can be left to, one after the other.
Index longest_row(const NgramSource& source) {
    std::vector<std::uint8_t> depth(source.suffix.size(), 1);
    for (std::size_t s = 1; s < depth.size(); ++s) {
        require(depth[source.suffix[s]] < 64, "contexts of more than 63 tokens");
        depth[s] = static_cast<std::uint8_t>(depth[source.suffix[s]] + 1);
    }
    return *std::max_element(depth.begin(), depth.end());
}

// One document that is being drawn.
struct OpenDocument {
    Index at = 0;
    Index end = 0;
    std::uint32_t state = 0;
};

template <class Token>
class NgramSampler {
  public:
    NgramSampler(const NgramSource& source, std::uint64_t key, std::uint64_t first_token,
                 std::span<Token> out)
        : source_(source), key_(key), first_token_(first_token), out_(out) {}

    // Draws documents [from, to).
    void draw(std::span<const Index> ends, Index from, Index to, std::uint32_t start) const {
        std::array<OpenDocument, kDrawnAtOnce> documents;
        std::size_t active = 0;
        Index document = from;
        const auto refill = [&](OpenDocument& current) {
            while (document < to) {
                current = {document == 0 ? 0 : ends[document - 1], ends[document], start};
                ++document;
                if (current.at < current.end) return true;
            }
            return false;
        };
        while (active < kDrawnAtOnce && refill(documents[active])) ++active;
        while (active > 0) {
            for (std::size_t l = 0; l < active; ++l) prefetch_outcomes(documents[l].state);
            for (std::size_t l = 0; l < active;) {
                step(documents[l]);
                if (documents[l].at < documents[l].end || refill(documents[l])) {
                    ++l;
                } else {
                    documents[l] = documents[--active];
                }
            }
        }
    }

  private:
    void prefetch_outcomes(std::uint32_t state) const {
        const Index first = source_.first[state], last = source_.first[state + 1];
        prefetch(source_.cumulative.data() + (first + last) / 2);
        prefetch(source_.next.data() + (first + last) / 2);
        prefetch(source_.token.data() + (first + last) / 2);
        prefetch(source_.suffix.data() + state);
    }

    // The outcome that a word draws in a state; the state's last one + 1 leaves it to the suffix.
    Index drawn(std::uint32_t state, std::uint64_t word) const {
        const auto* cumulative = source_.cumulative.data();
        return std::upper_bound(cumulative + source_.first[state],
                                cumulative + source_.first[state + 1], word) -
               cumulative;
    }

    // The token of a uniform draw, which is also its outcome of state 0.
    Index uniform(std::uint64_t word) const {
        const auto choices =
            static_cast<unsigned __int128>(source_.vocab_size - (source_.never >= 0));
        const auto token = static_cast<Index>((word * choices) >> 64);
        return source_.never >= 0 && token >= source_.never ? token + 1 : token;
    }

    void step(OpenDocument& current) const {
        std::uint64_t word = (first_token_ + static_cast<std::uint64_t>(current.at)) *
                             static_cast<std::uint64_t>(source_.words);
        std::uint32_t state = current.state;
        Index outcome = 0;
        while (true) {
            outcome = drawn(state, random_word(key_, word++));
            if (outcome < source_.first[state + 1]) break;
            if (state == 0) {
                outcome = uniform(random_word(key_, word));
                break;
            }
            state = source_.suffix[state];
        }
        const std::uint32_t token = source_.token[outcome];
        current.state = next_state(current.state, state, token, source_.next[outcome]);
        out_[current.at++] = static_cast<Token>(token);
        prefetch(source_.first.data() + current.state);
    }

    // The longest context after `token`, which `drawer` drew for `state`: a context between the two
    // may have seen the token as well, and then leads to a longer context than the drawer does.
    std::uint32_t next_state(std::uint32_t state, std::uint32_t drawer, std::uint32_t token,
                             std::uint32_t next) const {
        if (state == drawer) return next;
        if (state >= source_.first_full) state = source_.suffix[state];
        for (; state != drawer; state = source_.suffix[state]) {
            const auto* tokens = source_.token.data();
            const auto* last = tokens + source_.first[state + 1];
            const auto* found = std::lower_bound(tokens + source_.first[state], last, token);
            if (found != last && *found == token) return source_.next[found - tokens];
        }
        return next;
    }

    const NgramSource& source_;
    std::uint64_t key_;
    std::uint64_t first_token_;
    std::span<Token> out_;
};

// Documents cut into runs of about kTaskTokens tokens.
std::vector<Index> task_bounds(std::span<const Index> ends) {
    std::vector<Index> bounds{0};
    Index done = 0;
    for (std::size_t d = 0; d < ends.size(); ++d) {
        if (ends[d] - done >= kTaskTokens || d + 1 == ends.size()) {
            bounds.push_back(static_cast<Index>(d) + 1);
            done = ends[d];
        }
    }
    return bounds;
}

}  // namespace

template <class Token>
void sample_ngrams(const NgramSource& source, std::uint64_t key, std::uint64_t first_token,
                   std::uint32_t start, std::span<const Index> ends, std::span<Token> out,
                   int threads) {
    check_source(source);
    require(longest_row(source) + 1 <= source.words, "too few random words for a token");
    require(static_cast<std::uint64_t>(source.vocab_size) - 1 <= std::numeric_limits<Token>::max(),
            "the tokens do not fit the token type");
    require(start < source.suffix.size(), "documents start in a state that is not there");
    for (std::size_t d = 0; d < ends.size(); ++d) {
        require(ends[d] >= (d == 0 ? 0 : ends[d - 1]), "the documents' ends must ascend");
    }
    require((ends.empty() ? 0 : ends.back()) == static_cast<Index>(out.size()),
            "the documents must fill out");
    const NgramSampler<Token> sampler(source, key, first_token, out);
    const std::vector<Index> bounds = task_bounds(ends);
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads,
                 [&](Index task) { sampler.draw(ends, bounds[task], bounds[task + 1], start); });
}

template void sample_ngrams(const NgramSource&, std::uint64_t, std::uint64_t, std::uint32_t,
                            std::span<const Index>, std::span<std::uint16_t>, int);
template void sample_ngrams(const NgramSource&, std::uint64_t, std::uint64_t, std::uint32_t,
                            std::span<const Index>, std::span<std::uint32_t>, int);

}  // namespace ngramstat
