// token_counts and position indexes against one loop over the stream.
#include <algorithm>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace {

using namespace ngramstat;

constexpr Index kSaturated = 0xffffffff;

// An index computed in one loop over the stream.
struct Naive {
    std::vector<Index> offsets{0};
    std::vector<Index> positions;
    std::vector<Index> remaining;
};

template <class Token>
Naive naive(const check::Stream<Token>& stream, TokenRange range) {
    std::map<Index, std::vector<std::pair<Index, Index>>> groups;
    std::size_t d = 0;
    for (Index i = 0; i < stream.size(); ++i) {
        while (i >= stream.ends[d]) ++d;
        const Index token = stream.tokens[i];
        if (token < range.first || token >= range.last) continue;
        const bool inside = i >= stream.content_starts[d] && i < stream.content_ends[d];
        const Index left = inside ? std::min(stream.content_ends[d] - 1 - i, kSaturated) : 0;
        groups[(token - range.first) * 2 + stream.halves[d]].emplace_back(i, left);
    }
    Naive index{{0}, {}, {}};
    for (Index g = 0; g < range.size() * 2; ++g) {
        const auto group = groups.find(g);
        if (group != groups.end()) {
            for (const auto& [position, left] : group->second) {
                index.positions.push_back(position);
                index.remaining.push_back(left);
            }
        }
        index.offsets.push_back(static_cast<Index>(index.positions.size()));
    }
    return index;
}

template <class Position>
void check_index(const PositionIndex<Position>& index, TokenRange range, const Naive& expected) {
    CHECK(index.range.first == range.first && index.range.last == range.last);
    CHECK(index.offsets == expected.offsets);
    CHECK(std::ranges::equal(index.positions, expected.positions, {},
                             [](Position p) { return static_cast<Index>(p); }));
    CHECK(std::ranges::equal(index.remaining, expected.remaining, {},
                             [](std::uint32_t left) { return Index{left}; }));
}

template <class Token>
void check_stream(const check::Stream<Token>& stream) {
    const auto tokens = stream.span();
    const Index vocab = stream.vocab_size;
    std::vector<Index> counts(static_cast<std::size_t>(vocab), 0);
    for (const Token token : stream.tokens) ++counts[token];
    for (const int threads : check::kThreads) {
        check::in_case(stream.name + ", threads " + std::to_string(threads));
        CHECK(token_counts(tokens, vocab, threads) == counts);
    }
    for (const TokenRange range :
         {TokenRange{0, vocab}, TokenRange{vocab / 3, vocab / 2 + 1}, TokenRange{vocab, vocab}}) {
        const Naive expected = naive(stream, range);
        auto check_width = [&]<class Position>(int threads) {
            check_index(index_document_positions<Token, Position>(tokens, range, vocab,
                                                                  stream.documents(), threads),
                        range, expected);
        };
        for (const int threads : check::kThreads) {
            check::in_case(stream.name + ", threads " + std::to_string(threads) + ", first token " +
                           std::to_string(range.first));
            check_width.template operator()<std::uint32_t>(threads);
            check_width.template operator()<std::uint64_t>(threads);
        }
    }
}

void refuses_tokens_beyond_the_vocabulary() {
    check::in_case("token beyond the vocabulary");
    // Two bad tokens in different chunks: the first one is named, whatever the threads.
    std::vector<std::uint16_t> tokens(500'000, 3);
    tokens[300'000] = 9;
    tokens[499'999] = 10;
    const std::string expected = "token 9 at position 300000 is not below vocab_size 9";
    const std::span<const std::uint16_t> span(tokens);
    for (const int threads : check::kThreads) {
        // Even where the range does not hold it.
        const TokenRange range{0, 2};
        for (const bool index : {false, true}) {
            std::string message;
            try {
                if (index) {
                    index_document_positions<std::uint16_t, std::uint32_t>(
                        span, range, 9, Documents::single(500'000), threads);
                } else {
                    token_counts(span, 9, threads);
                }
            } catch (const std::out_of_range& error) {
                message = error.what();
            }
            CHECK(message == expected);
        }
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint32_t> values{0, 1, 2};
    const std::span<const std::uint32_t> tokens(values);
    auto index = [&](TokenRange range, Index vocab) {
        index_document_positions<std::uint32_t, std::uint32_t>(tokens, range, vocab,
                                                               Documents::single(3), 1);
    };
    CHECK_THROWS(std::invalid_argument, token_counts(tokens, 0, 1));
    CHECK_THROWS(std::invalid_argument, index({0, 0}, 0));
    CHECK_THROWS(std::invalid_argument, index({-1, 2}, 3));
    CHECK_THROWS(std::invalid_argument, index({2, 1}, 3));
    CHECK_THROWS(std::invalid_argument, index({0, 4}, 3));
    CHECK_THROWS(std::invalid_argument, index_document_positions<std::uint32_t, std::uint32_t>(
                                            tokens, {0, 3}, 3, Documents::single(2), 1));
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) check_stream(stream);
        // Long enough to be cut into a chunk for each of seven threads.
        check::Random random(3);
        std::vector<Index> values;
        for (Index i = 0; i < 7 * 65536 + 1; ++i) values.push_back(random.below(50));
        check_stream(check::make_stream<Token>("long", values, 50, random));
    });
    refuses_tokens_beyond_the_vocabulary();
    refuses_bad_arguments();
}
