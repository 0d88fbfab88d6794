// longest_matches and mark_duplicates against searches for every sequence, and damaged arrays.
#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/index/duplicates.hpp"
#include "ngramstat/index/overlap.hpp"

namespace {

using namespace ngramstat;

template <class Token>
struct Sorted {
    std::vector<Token> tokens;
    std::vector<std::uint32_t> suffixes;
    std::vector<Index> token_starts;
    Index vocab_size;
    Index depth;

    SuffixIndex<Token> index() const { return {tokens, suffixes, token_starts, vocab_size, depth}; }
};

template <class Token>
Sorted<Token> sorted(std::vector<Token> tokens, Index vocab_size, Index depth) {
    Sorted<Token> made{std::move(tokens), {}, {}, vocab_size, depth};
    made.suffixes.resize(made.tokens.size());
    std::iota(made.suffixes.begin(), made.suffixes.end(), 0u);
    const std::span<const Token> text = made.tokens;
    const auto symbols = [&](std::uint32_t at) {
        const std::size_t most = depth > 0 ? static_cast<std::size_t>(depth) : text.size();
        return text.subspan(at, std::min(most, text.size() - at));
    };
    std::stable_sort(made.suffixes.begin(), made.suffixes.end(), [&](auto a, auto b) {
        return std::ranges::lexicographical_compare(symbols(a), symbols(b));
    });
    for (Index token = 0; token < vocab_size + 2; ++token) {
        made.token_starts.push_back(std::ranges::count_if(
            text, [&](Token other) { return static_cast<Index>(other) < token; }));
    }
    return made;
}

struct Answers {
    std::vector<Index> lengths, occurrences, places;
    explicit Answers(std::size_t n) : lengths(n, -2), occurrences(n, -2), places(n, -2) {}
    Matches matches() { return {lengths, occurrences, places}; }
};

std::vector<MatchRange> all_ranges(Index n) {
    std::vector<MatchRange> ranges;
    for (Index i = 0; i < n; ++i) ranges.push_back({i, n});
    return ranges;
}

template <class Token>
void check_matches(const Sorted<Token>& sorted, std::span<const Token> text, bool is_own,
                   int threads) {
    const Index n = static_cast<Index>(text.size());
    const std::vector<MatchRange> ranges = all_ranges(n);
    Answers found(text.size());
    longest_matches<Token>(sorted.index(), {text, ranges, is_own}, found.matches(), threads);
    const Index most = sorted.depth > 0 ? sorted.depth : n;
    for (Index i = 0; i < n; ++i) {
        Index length = 0, number = 0;
        for (std::size_t p = 0; p < sorted.tokens.size(); ++p) {
            if (is_own && static_cast<Index>(p) == i) continue;
            Index shared = 0;
            while (shared < most && i + shared < n && p + shared < sorted.tokens.size() &&
                   text[i + shared] == sorted.tokens[p + shared]) {
                ++shared;
            }
            if (shared > length) number = 0;
            length = std::max(length, shared);
            if (shared == length && length > 0) ++number;
        }
        const auto q = static_cast<std::size_t>(i);
        CHECK(found.lengths[q] == length);
        CHECK(found.occurrences[q] == number);
        CHECK((found.places[q] >= 0) == (length > 0));
        CHECK(!is_own || found.places[q] != i);
        CHECK(length == 0 || std::equal(text.begin() + i, text.begin() + i + length,
                                        sorted.tokens.begin() + found.places[q]));
    }
}

template <class Token>
void check_duplicates(const Sorted<Token>& sorted, Index length, bool later_only, int threads) {
    const Index n = static_cast<Index>(sorted.tokens.size());
    std::vector<std::uint8_t> bits((sorted.tokens.size() + 7) / 8);
    const SuffixIndex<Token> shards[] = {sorted.index()};
    const PositionBits marks[] = {bits};
    mark_duplicates<Token>(shards, {{0, n}}, length, later_only, marks, threads);
    const auto window = [&](Index i) { return sorted.tokens.begin() + i; };
    for (Index i = 0; i < n; ++i) {
        bool expected = false;
        for (Index j = 0; j + length <= n && i + length <= n; ++j) {
            if (later_only ? j < i : j != i) {
                expected |= std::equal(window(i), window(i + length), window(j));
            }
        }
        const auto byte = static_cast<std::size_t>(i) / 8;
        CHECK(((bits[byte] >> (i % 8)) & 1) == expected);
    }
}

template <class Token>
void check_damage(Sorted<Token> sorted, check::Random& random) {
    const std::vector<MatchRange> ranges = all_ranges(static_cast<Index>(sorted.tokens.size()));
    const std::vector<Token> text = sorted.tokens;
    for (int change = 0; change < 3 && !sorted.suffixes.empty(); ++change) {
        const auto at =
            static_cast<std::size_t>(random.below(static_cast<Index>(sorted.suffixes.size())));
        const auto kind = random.below(3);
        if (kind == 0) sorted.suffixes[at] = static_cast<std::uint32_t>(random.below(1 << 30));
        if (kind == 1) sorted.suffixes[at] = 0;
        if (kind == 2) {
            sorted.token_starts[static_cast<std::size_t>(random.below(sorted.vocab_size + 2))] =
                random.below(2000) - 500;
        }
    }
    Answers found(text.size());
    std::vector<std::uint8_t> bits((text.size() + 7) / 8);
    const SuffixIndex<Token> shards[] = {sorted.index()};
    const PositionBits marks[] = {bits};
    for (const bool is_own : {false, true}) {
        try {
            longest_matches<Token>(sorted.index(), {text, ranges, is_own}, found.matches(), 2);
        } catch (const std::invalid_argument&) {
        }
    }
    try {
        const Index n = static_cast<Index>(text.size());
        mark_duplicates<Token>(shards, {{0, n}}, 2, true, marks, 2);
    } catch (const std::invalid_argument&) {
    }
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        check::Random random(3);
        for (const auto& stream : check::streams<Token>()) {
            for (const Index depth : {0, 1, 3, 64}) {
                check::in_case(stream.name + ", depth " + std::to_string(depth));
                const auto made = sorted(stream.tokens, stream.vocab_size, depth);
                std::vector<Token> text;
                for (int i = 0; i < 150; ++i) {
                    text.push_back(static_cast<Token>(random.below(stream.vocab_size)));
                }
                const auto copied = std::min<std::size_t>(100, stream.tokens.size());
                text.insert(text.end(), stream.tokens.end() - copied, stream.tokens.end());
                check_matches<Token>(made, text, false, check::kThreads[depth % 3]);
                check_matches<Token>(made, stream.tokens, true, 2);
                for (const Index length : {1, 2, 3}) {
                    if (depth > 0 && length > depth) continue;
                    check_duplicates(made, length, length == 2, 2);
                }
                for (int i = 0; i < 20; ++i) check_damage(made, random);
            }
        }
        const auto made = sorted<Token>({1, 2, 3}, 4, 0);
        Answers found(1);
        const std::vector<Token> text{5};
        const std::vector<MatchRange> outside{{0, 2}}, inside{{0, 1}};
        CHECK_THROWS(std::invalid_argument,
                     longest_matches<Token>(made.index(), {text, outside}, found.matches(), 1));
        CHECK_THROWS(std::invalid_argument,
                     longest_matches<Token>(made.index(), {text, inside}, found.matches(), 1));
    });
    return 0;
}
