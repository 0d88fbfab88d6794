// Shared by the C++ tests: checks that end the program, seeded numbers, and token streams that have
// broken counting and sorting code before.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace check {

using ngramstat::Count;
using ngramstat::Index;
using ngramstat::TokenRange;

// The name of the running case, printed where a check fails.
inline std::string& current_case() {
    static std::string name;
    return name;
}

inline void in_case(std::string name) { current_case() = std::move(name); }

[[noreturn]] inline void fail(const char* file, int line, const char* what) {
    std::fprintf(stderr, "%s:%d: %s\n  in case: %s\n", file, line, what, current_case().c_str());
    std::exit(1);
}

#define CHECK(condition)                                                 \
    do {                                                                 \
        if (!(condition)) ::check::fail(__FILE__, __LINE__, #condition); \
    } while (false)

#define CHECK_THROWS(Exception, ...)                                                            \
    do {                                                                                        \
        bool thrown_ = false;                                                                   \
        try {                                                                                   \
            __VA_ARGS__;                                                                        \
        } catch (const Exception&) {                                                            \
            thrown_ = true;                                                                     \
        }                                                                                       \
        if (!thrown_) ::check::fail(__FILE__, __LINE__, #__VA_ARGS__ " throws no " #Exception); \
    } while (false)

// 1 is the serial path, 2 this many cores, 7 divides nothing.
inline constexpr int kThreads[] = {1, 2, 7};

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    Index below(Index n) { return static_cast<Index>(engine_() % static_cast<std::uint64_t>(n)); }
    double real() { return static_cast<double>(engine_() >> 11) * 0x1p-52 - 1.0; }  // [-1, 1)

  private:
    std::mt19937_64 engine_;
};

template <class Token>
struct Stream {
    std::string name;
    std::vector<Token> tokens;
    Index vocab_size;
    Index separator;  // a token that occurs in the stream
    // Documents, whose content leaves out a separator.
    std::vector<Index> ends;
    std::vector<Index> content_starts;
    std::vector<Index> content_ends;
    std::vector<std::uint8_t> halves;

    std::span<const Token> span() const { return tokens; }
    Index size() const { return static_cast<Index>(tokens.size()); }
    ngramstat::Documents documents() const {
        return {ends,
                {content_starts, content_ends},
                {halves, 2},
                {std::vector<std::uint32_t>(ends.size()), 1}};
    }
    // The same documents, all content, in `n_folds` folds and three clusters.
    ngramstat::Documents documents_in_folds(std::vector<std::uint8_t> folds, Index n_folds) const {
        std::vector<Index> starts(ends.size());
        std::vector<std::uint32_t> clusters(ends.size());
        for (std::size_t d = 0; d < ends.size(); ++d) {
            starts[d] = d == 0 ? 0 : ends[d - 1];
            clusters[d] = static_cast<std::uint32_t>(d * 5 % 3);
        }
        return {ends, {starts, ends}, {std::move(folds), n_folds}, {clusters, 3}};
    }
};

template <class Token>
Stream<Token> make_stream(std::string name, std::vector<Index> values, Index vocab_size,
                          Random& random) {
    Stream<Token> stream{
        std::move(name), {values.begin(), values.end()}, vocab_size, 0, {}, {}, {}, {}};
    const Index n = stream.size();
    if (n > 0) stream.separator = values[static_cast<std::size_t>(random.below(n))];
    Index start = 0;
    while (start < n) {
        // Lengths 1, 2, ... up to a fifth of the stream; some contents lose tokens at either end.
        const Index end = std::min(n, start + 1 + random.below(1 + n / 5));
        const Index cut = random.below(3) == 0 ? 1 : 0;
        Index first = start;
        if (random.below(4) == 0 && first + cut < end) ++first;
        stream.ends.push_back(end);
        stream.content_starts.push_back(first);
        stream.content_ends.push_back(std::max(first, end - cut));
        stream.halves.push_back(static_cast<std::uint8_t>(random.below(2)));
        start = end;
    }
    return stream;
}

// abaababa...: every factor recurs, so common prefixes are as long as they can be.
inline std::vector<Index> fibonacci_word(std::size_t n) {
    std::vector<Index> word{0, 1};
    for (std::size_t previous = 1; word.size() < n;) {
        const std::size_t size = word.size();
        for (std::size_t i = 0; i < previous; ++i) word.push_back(word[i]);
        previous = size;
    }
    word.resize(n);
    return word;
}

// Small streams of many awkward kinds, the same in every run.
template <class Token>
std::vector<Stream<Token>> streams() {
    Random random(20261122);
    std::vector<Stream<Token>> all;
    auto add = [&](const char* name, Index n, Index vocab_size, auto&& value) {
        std::vector<Index> values;
        for (Index i = 0; i < n; ++i) values.push_back(value(i));
        all.push_back(make_stream<Token>(name, values, vocab_size, random));
    };
    add("empty", 0, 5, [](Index) { return 0; });
    add("one token", 1, 1, [](Index) { return 0; });
    add("two equal tokens", 2, 3, [](Index) { return 2; });
    add("all equal", 211, 1, [](Index) { return 0; });
    add("all equal to the last id", 230, 255, [](Index) { return 254; });
    add("ascending", 256, 256, [](Index i) { return i; });
    add("descending", 256, 300, [](Index i) { return 255 - i; });
    add("period 2", 200, 2, [](Index i) { return i % 2; });
    add("period 7", 301, 7, [](Index i) { return i * i % 7; });
    const auto fibonacci = fibonacci_word(377);
    add("Fibonacci word", 377, 2, [&](Index i) { return fibonacci[i]; });
    add("Thue-Morse", 256, 4, [](Index i) { return 3 * (__builtin_popcountll(i) & 1); });
    add("long runs", 401, 3, [](Index i) { return i % 67 < 64 ? 1 : i % 3; });
    add("random bits", 499, 2, [&](Index) { return random.below(2); });
    add("random, 17 ids", 503, 17, [&](Index) { return random.below(17); });
    add("random, 1000 ids", 500, 1000, [&](Index) { return random.below(1000); });
    add("skewed", 509, 100, [&](Index) { return random.below(1 + random.below(100)); });
    // Every id of the type, or beyond 16 bits; the extremes most often.
    const Index wide = sizeof(Token) == 2 ? 65536 : 70001;
    add("extreme ids", 307, wide, [&](Index) {
        const Index kind = random.below(4);
        return kind == 0 ? 0 : kind == 1 ? random.below(wide) : wide - 1;
    });
    return all;
}

// Runs test.template operator()<Token>() for both token types.
template <class Test>
void for_token_types(Test&& test) {
    test.template operator()<std::uint16_t>();
    test.template operator()<std::uint32_t>();
}

// Calls test(stream, order, stop token) for streams of both types, orders of models up to
// `largest`, and contexts that stop nowhere, at a separator, and at one that is no event.
template <class Test>
void for_models(int largest, Test&& test) {
    for_token_types([&]<class Token>() {
        for (auto& stream : streams<Token>()) {
            for (const int order : {1, 2, 4}) {
                test(stream, order, -1);
                test(stream, order, stream.separator);
            }
            if (stream.size() <= 256) test(stream, largest, stream.separator);
            // The last id as a separator that is no event: the vocabulary ends before it.
            if (stream.vocab_size < 2) continue;
            stream.vocab_size -= 1;
            test(stream, 3, stream.vocab_size);
        }
    });
}

// [0, vocab_size) in three uneven pieces, one of them empty where the vocabulary is small.
inline std::vector<TokenRange> partition(Index vocab_size) {
    const Index a = vocab_size / 3;
    const Index b = vocab_size / 2 + 1 > vocab_size ? vocab_size : vocab_size / 2 + 1;
    return {{0, a}, {a, b}, {b, vocab_size}};
}

// Symbols of the suffix (or reversed prefix) at i, as suffix_sort.hpp defines them.
template <class Token>
std::vector<Index> sequence(std::span<const Token> tokens, Index i, int depth, bool backward,
                            Index stop_token) {
    std::vector<Index> symbols;
    while (static_cast<int>(symbols.size()) < depth) {
        const Index taken = static_cast<Index>(symbols.size());
        const Index at = backward ? i - taken : i + taken;
        if (at < 0 || at >= static_cast<Index>(tokens.size())) break;
        symbols.push_back(static_cast<Index>(tokens[static_cast<std::size_t>(at)]));
        if (taken > 0 && symbols.back() == stop_token) break;
    }
    return symbols;
}

}  // namespace check
