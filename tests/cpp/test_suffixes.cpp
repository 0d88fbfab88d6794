// suffix_array and SuffixBlocks against sorting of whole sequences.
#include <algorithm>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace {

using namespace ngramstat;

struct Sorted {
    std::vector<Index> positions;
    std::vector<std::uint8_t> lcp;
};

template <class Token>
Sorted naive(std::span<const Token> tokens, const std::vector<Index>& positions,
             const SuffixOrder& order) {
    std::vector<std::pair<std::vector<Index>, Index>> keys;
    for (const Index i : positions) {
        keys.emplace_back(check::sequence(tokens, i, order.depth, order.backward, order.stop_token),
                          i);
    }
    std::sort(keys.begin(), keys.end());
    Sorted sorted;
    for (std::size_t k = 0; k < keys.size(); ++k) {
        std::uint8_t shared = 0;
        if (k > 0) {
            const auto& a = keys[k - 1].first;
            const auto& b = keys[k].first;
            while (shared < std::min(a.size(), b.size()) && a[shared] == b[shared]) ++shared;
        }
        sorted.positions.push_back(keys[k].second);
        sorted.lcp.push_back(shared);
    }
    return sorted;
}

std::vector<Index> all_positions(Index n) {
    std::vector<Index> positions;
    for (Index i = 0; i < n; ++i) positions.push_back(i);
    return positions;
}

template <class Token>
void check_suffix_array(const check::Stream<Token>& stream, const SuffixOrder& order) {
    const Sorted expected = naive(stream.span(), all_positions(stream.size()), order);
    for (const int threads : check::kThreads) {
        check::in_case(stream.name + ", depth " + std::to_string(order.depth) +
                       (order.backward ? ", backward" : "") + ", stop " +
                       std::to_string(order.stop_token) + ", threads " + std::to_string(threads));
        std::vector<Index> suffixes(stream.tokens.size(), -1);
        std::vector<std::uint8_t> lcp(stream.tokens.size(), 255);
        suffix_array(stream.span(), stream.vocab_size, order, suffixes, lcp, threads);
        CHECK(suffixes == expected.positions);
        CHECK(lcp == expected.lcp);
    }
}

template <class Position, class Token>
void check_symbols(std::span<const Token> tokens, const SuffixBlocks<Token, Position>& blocks,
                   const SortedSuffixes<Position>& sorted, const Sorted& expected,
                   const SuffixOrder& order) {
    for (std::size_t k = 0; k < expected.positions.size(); ++k) {
        std::vector<Index> symbols;
        for (int m = 0; m < order.depth; ++m) {
            const Index symbol = blocks.symbol(sorted, k, m);
            if (symbol < 0) break;
            symbols.push_back(symbol);
        }
        CHECK(symbols == check::sequence(tokens, expected.positions[k], order.depth, order.backward,
                                         order.stop_token));
    }
}

template <class Position, class Token>
void check_bucket(std::span<const Token> tokens, Index vocab_size, Token token,
                  const SuffixOrder& order, std::span<const Segment> segments,
                  SuffixScratch<Position>& scratch) {
    std::vector<Index> positions;
    for (const Segment& segment : segments) {
        for (Index i = segment.first; i < segment.last; ++i) {
            if (tokens[i] == token) positions.push_back(i);
        }
    }
    const Sorted expected = naive(tokens, positions, order);
    const SuffixBlocks<Token, Position> blocks(tokens, vocab_size, order,
                                               {Index{token}, Index{token} + 1}, segments, 2);
    CHECK(blocks.n_blocks() == 1);
    CHECK(blocks.size(0) == static_cast<Index>(positions.size()));
    const auto sorted = blocks.sort(0, scratch);
    CHECK(std::equal(sorted.positions.begin(), sorted.positions.end(), expected.positions.begin(),
                     expected.positions.end(),
                     [](Position a, Index b) { return static_cast<Index>(a) == b; }));
    CHECK(
        std::equal(sorted.lcp.begin(), sorted.lcp.end(), expected.lcp.begin(), expected.lcp.end()));
    check_symbols(tokens, blocks, sorted, expected, order);
    const SuffixBlocks<Token, Position> symbols_only(
        tokens, vocab_size, order, {Index{token}, Index{token} + 1}, segments, 2, false);
    const auto without = symbols_only.sort(0, scratch);
    CHECK(positions.empty() ||
          without.positions.empty() !=
              SuffixPacking(vocab_size, order.depth).reads_tokens(order.depth));
    CHECK(std::equal(without.lcp.begin(), without.lcp.end(), expected.lcp.begin(),
                     expected.lcp.end()));
    check_symbols(tokens, symbols_only, without, expected, order);
}

// The number of symbols that fit one sorting key follows from vocab_size: every such number, on
// both sides of each power of two.
template <class Token>
void check_key_widths() {
    check::Random random(23);
    SuffixScratch<std::uint32_t> scratch;  // reused by all calls, as by a worker
    SuffixScratch<std::uint64_t> wide_scratch;
    for (int bits = 1; bits <= static_cast<int>(8 * sizeof(Token)); ++bits) {
        for (const Index vocab : {(Index{1} << bits) - 1, Index{1} << bits}) {
            std::vector<Token> tokens;
            for (int i = 0; i < 260; ++i) {
                // Few ids, among them the highest, and repeats of earlier runs.
                const Index id = std::max<Index>(vocab - 1 - random.below(3), 0);
                tokens.push_back(i >= 80 && random.below(12) != 0 ? tokens[i - 80]
                                                                  : static_cast<Token>(id));
            }
            for (const int depth : {2, 4, 7, 255}) {
                for (const bool backward : {false, true}) {
                    const Token token = static_cast<Token>(vocab - 1);
                    const SuffixOrder order{depth, backward, random.below(2) ? vocab - 1 : -1};
                    check::in_case("vocab_size " + std::to_string(vocab) + ", depth " +
                                   std::to_string(depth));
                    const std::span<const Token> span(tokens);
                    const std::vector<Segment> all{{0, 260}}, some{{0, 0}, {3, 90}, {91, 230}};
                    check_bucket<std::uint32_t>(span, vocab, token, order, all, scratch);
                    check_bucket<std::uint64_t>(span, vocab, token, order, some, wide_scratch);
                }
            }
        }
    }
}

// Blocks of more than 2^15 positions are split by their keys, and streams of more than 2^18 tokens
// tell positions by cells.
void check_large_buckets() {
    check::Random random(29);
    const auto word = check::fibonacci_word(110'000);
    check_suffix_array(check::make_stream<std::uint16_t>("long Fibonacci word", word, 2, random),
                       {9, false, -1});
    std::vector<Index> values;
    for (int i = 0; i < 80'000; ++i) {
        values.push_back(random.below(10) == 0 ? random.below(3000) : 7);
    }
    check_suffix_array(check::make_stream<std::uint32_t>("one token often", values, 3000, random),
                       {9, true, 0});
    for (int i = 0; i < 450'000; ++i) values.push_back(random.below(5) * random.below(1500));
    check_suffix_array(check::make_stream<std::uint16_t>("several cells", values, 8192, random),
                       {5, true, -1});
    check_suffix_array(check::make_stream<std::uint32_t>("several cells", values, 70'000, random),
                       {5, false, 0});
}

// Which symbols are sorted without reading the token stream again.
void packs_symbols() {
    check::in_case("packing");
    const SuffixPacking short_contexts(8192, 4), contexts(8192, 6), long_contexts(8192, 32);
    CHECK(short_contexts.entry_bytes() == 8 && short_contexts.known() == 4);
    CHECK(contexts.entry_bytes() == 16 && contexts.known() == 6);
    CHECK(long_contexts.entry_bytes() == 8 && long_contexts.known() == 4);
    CHECK(SuffixPacking(262'144, 6).known() == 6);
    CHECK(SuffixPacking(Index{1} << 32, 2).known() == 2);
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> tokens{0, 1, 2};
    std::vector<Index> suffixes(3);
    std::vector<std::uint8_t> lcp(3);
    auto sort = [&](int depth, Index vocab_size) {
        suffix_array(std::span<const std::uint16_t>(tokens), vocab_size, {depth, false, -1},
                     suffixes, lcp, 1);
    };
    CHECK_THROWS(std::invalid_argument, sort(0, 3));
    CHECK_THROWS(std::invalid_argument, sort(256, 3));
    CHECK_THROWS(std::out_of_range, sort(2, 2));
    suffixes.pop_back();
    CHECK_THROWS(std::invalid_argument, sort(2, 3));
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            for (const int depth : {1, 2, 7, 64}) {
                for (const bool backward : {false, true}) {
                    for (const Index stop : {Index{-1}, stream.separator}) {
                        check_suffix_array(stream, {depth, backward, stop});
                    }
                }
            }
        }
        check_key_widths<Token>();
    });
    check_large_buckets();
    packs_symbols();
    refuses_bad_arguments();
}
