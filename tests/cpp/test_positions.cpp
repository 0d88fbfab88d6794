// token_counts and position indexes against one loop over the stream.
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/position_index.hpp"

namespace {

using namespace ngramstat;

constexpr Index kSaturated = 0xffffffff;

template <class Token, class Position>
void check_index(const check::Stream<Token>& stream, const PositionIndex<Position>& index,
                 TokenRange range, bool with_documents) {
    const Index classes = with_documents ? 2 : 1;
    std::vector<std::vector<Index>> positions(static_cast<std::size_t>(range.size() * classes));
    auto remaining = positions;
    std::size_t d = 0;
    for (Index i = 0; i < stream.size(); ++i) {
        while (i >= stream.ends[d]) ++d;
        const Index token = stream.tokens[i];
        if (token < range.first || token >= range.last) continue;
        const Index group =
            (token - range.first) * classes + (with_documents ? stream.classes[d] : 0);
        const bool inside = i >= stream.content_starts[d] && i < stream.content_ends[d];
        positions[group].push_back(i);
        remaining[group].push_back(inside ? std::min(stream.content_ends[d] - 1 - i, kSaturated)
                                          : 0);
    }
    CHECK(index.range.first == range.first && index.range.last == range.last);
    CHECK(index.n_classes == classes);
    CHECK(index.offsets.size() == positions.size() + 1 && index.offsets.front() == 0);
    CHECK(index.offsets.back() == static_cast<Index>(index.positions.size()));
    CHECK(index.remaining.size() == (with_documents ? index.positions.size() : 0));
    for (std::size_t g = 0; g < positions.size(); ++g) {
        const auto group = index.group(static_cast<Index>(g));
        CHECK(group.size() == positions[g].size());
        for (std::size_t k = 0; k < group.size(); ++k) {
            CHECK(static_cast<Index>(group[k]) == positions[g][k]);
            if (with_documents) CHECK(index.remaining[index.offsets[g] + k] == remaining[g][k]);
        }
    }
}

template <class Token>
void check_stream(const check::Stream<Token>& stream) {
    std::vector<Index> counts(static_cast<std::size_t>(stream.vocab_size), 0);
    for (const Token token : stream.tokens) ++counts[token];
    auto ranges = check::partition(stream.vocab_size);
    ranges.push_back({0, stream.vocab_size});
    ranges.push_back({stream.vocab_size, stream.vocab_size});
    for (const int threads : check::kThreads) {
        check::in_case(stream.name + ", threads " + std::to_string(threads));
        const auto tokens = stream.span();
        const Index vocab = stream.vocab_size;
        CHECK(token_counts(tokens, vocab, threads) == counts);
        for (const TokenRange range : ranges) {
            check_index(stream,
                        index_positions<Token, std::uint32_t>(tokens, range, vocab, threads), range,
                        false);
            check_index(stream,
                        index_positions<Token, std::uint64_t>(tokens, range, vocab, threads), range,
                        false);
            check_index(stream,
                        index_document_positions<Token, std::uint32_t>(tokens, range, vocab,
                                                                       stream.documents(), threads),
                        range, true);
            check_index(stream,
                        index_document_positions<Token, std::uint64_t>(tokens, range, vocab,
                                                                       stream.documents(), threads),
                        range, true);
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
                    index_positions<std::uint16_t, std::uint32_t>(span, range, 9, threads);
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
        index_positions<std::uint32_t, std::uint32_t>(tokens, range, vocab, 1);
    };
    CHECK_THROWS(std::invalid_argument, token_counts(tokens, 0, 1));
    CHECK_THROWS(std::invalid_argument, index({0, 0}, 0));
    CHECK_THROWS(std::invalid_argument, index({-1, 2}, 3));
    CHECK_THROWS(std::invalid_argument, index({2, 1}, 3));
    CHECK_THROWS(std::invalid_argument, index({0, 4}, 3));

    using Ends = std::vector<Index>;
    using Classes = std::vector<std::uint8_t>;
    auto documents = [&](const Ends& ends, const Ends& starts, const Ends& stops,
                         const Classes& classes) {
        check_documents({ends, starts, stops, classes}, 3);
    };
    documents({2, 3}, {0, 2}, {1, 3}, {0, 1});
    documents({3}, {1}, {1}, {1});
    CHECK_THROWS(std::invalid_argument, documents({}, {}, {}, {}));
    CHECK_THROWS(std::invalid_argument, documents({2}, {0}, {2}, {0}));
    CHECK_THROWS(std::invalid_argument, documents({4}, {0}, {3}, {0}));
    CHECK_THROWS(std::invalid_argument, documents({3, 3}, {0, 3}, {3, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({0, 3}, {0, 0}, {0, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 1}, {2, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {3, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {1, 2}, {0, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {2, 3}, {0, 2}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0}, {2, 3}, {0, 0}));
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
