// Suffixes sorted to their ends, by reading and by ranks, against sorting of whole sequences.
#include <algorithm>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/base/checksum.hpp"
#include "ngramstat/suffixes/full_order.hpp"

namespace {

using namespace ngramstat;

template <class Token>
std::vector<std::uint32_t> naive(const SuffixText<Token>& text) {
    std::vector<std::pair<std::vector<Index>, std::uint32_t>> keys;
    for (Index i = 0; i < text.size(); ++i) {
        const Index end =
            text.depth == 0 ? text.end_of(i) : std::min(text.end_of(i), i + text.depth);
        std::vector<Index> symbols;
        for (Index k = i; k < end; ++k) symbols.push_back(text.tokens[static_cast<std::size_t>(k)]);
        keys.emplace_back(std::move(symbols), static_cast<std::uint32_t>(i));
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::uint32_t> positions;
    for (const auto& key : keys) positions.push_back(key.second);
    return positions;
}

template <class Token>
SampleRanks ranks_of(const SuffixText<Token>& text, int threads) {
    SampleRanks ranks(text.size());
    for (const TokenRange range : check::partition(text.vocab_size)) {
        ranks.sort(text, range, threads);
    }
    while (!ranks.refine(text)) {
    }
    return ranks;
}

template <class Token>
void check_order(const SuffixText<Token>& text) {
    text.check();
    const std::vector<std::uint32_t> expected = naive(text);
    for (const int threads : check::kThreads) {
        const SampleRanks ranks = ranks_of(text, threads);
        for (const SampleRanks* used : {static_cast<const SampleRanks*>(nullptr), &ranks}) {
            std::vector<std::uint32_t> suffixes(text.tokens.size(), 0);
            Index before = 0;
            for (const TokenRange range : check::partition(text.vocab_size)) {
                const auto sink = [&](Index rank, std::span<const std::uint32_t> part) {
                    std::copy(part.begin(), part.end(), suffixes.begin() + before + rank);
                };
                before += sort_suffixes(text, range, used, sink, threads);
            }
            CHECK(before == text.size());
            CHECK(suffixes == expected);
        }
        std::vector<std::uint32_t> memory(expected.size());
        CHECK(check_suffixes<Token>(text, expected, memory, threads).kind == OrderFault::kNone);
    }
}

// Every wrong array is found, whatever it holds.
template <class Token>
void check_faults(const SuffixText<Token>& text, check::Random& random) {
    const std::vector<std::uint32_t> right = naive(text);
    std::vector<std::uint32_t> memory(right.size());
    if (right.size() < 2) return;
    for (int trial = 0; trial < 20; ++trial) {
        std::vector<std::uint32_t> wrong = right;
        const auto at = static_cast<std::size_t>(random.below(std::ssize(wrong)));
        wrong[at] = random.below(2) == 0 ? static_cast<std::uint32_t>(random.below(1LL << 32))
                                         : right[(at + 1) % right.size()];
        if (trial % 4 == 0) {
            wrong = right;
            std::swap(wrong[at], wrong[(at + 1) % wrong.size()]);
        }
        const OrderFault fault = check_suffixes<Token>(text, wrong, memory, 2);
        CHECK((fault.kind == OrderFault::kNone) == (wrong == right));
    }
    // Fewer suffixes than tokens: matches may end in the others.
    std::vector<std::uint32_t> own;
    const std::uint32_t n = static_cast<std::uint32_t>(right.size() / 2);
    std::copy_if(right.begin(), right.end(), std::back_inserter(own),
                 [&](std::uint32_t i) { return i < n; });
    memory.resize(own.size());
    CHECK(check_suffixes<Token>(text, own, memory, 2).kind == OrderFault::kNone);
}

template <class Token>
void check_streams() {
    check::Random random(7);
    for (const auto& stream : check::streams<Token>()) {
        for (const int depth : {0, 1, 3, 64, 255}) {
            check::in_case(stream.name + ", depth " + std::to_string(depth));
            const SuffixText<Token> text{stream.span(), stream.vocab_size, depth};
            check_order(text);
            check_faults(text, random);
        }
        if (stream.vocab_size >= Index{1} << (8 * sizeof(Token) - 1)) continue;
        // The same documents with a stop token after each.
        std::vector<Token> tokens;
        std::vector<Index> ends;
        Index start = 0;
        for (const Index end : stream.ends) {
            for (Index i = start; i < end; ++i) tokens.push_back(stream.tokens[i]);
            tokens.push_back(static_cast<Token>(stream.vocab_size));
            ends.push_back(static_cast<Index>(tokens.size()));
            start = end;
        }
        for (const int depth : {0, 3}) {
            check::in_case(stream.name + ", in documents, depth " + std::to_string(depth));
            const SuffixText<Token> text{tokens, stream.vocab_size + 1, depth, stream.vocab_size,
                                         ends};
            check_order(text);
            check_faults(text, random);
        }
    }
}

void check_refusals() {
    check::in_case("refusals");
    const std::vector<std::uint16_t> tokens{1, 2, 1};
    const std::vector<Index> ends{2};
    using Text = SuffixText<std::uint16_t>;
    CHECK_THROWS(std::invalid_argument, Text{tokens, 3, 256}.check());
    CHECK_THROWS(std::invalid_argument, Text{tokens, 3, 0, 3}.check());
    CHECK_THROWS(std::invalid_argument, Text{tokens, 3, 0, 2, ends}.check());
    CHECK_THROWS(std::invalid_argument, Text{tokens, 3, 0, -1, ends}.check());
    const Text text{tokens, 3};
    const SampleRanks unfinished(3);
    CHECK_THROWS(std::invalid_argument,
                 sort_suffixes(text, {0, 3}, &unfinished, [](Index, auto) {}, 1));
}

void check_checksums() {
    check::in_case("checksums");
    std::vector<std::byte> bytes;
    for (int k = 0; k < 300; ++k) bytes.push_back(static_cast<std::byte>(k * 7));
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        Checksum whole, pieces;
        whole.update(std::span(bytes).first(size));
        for (std::size_t k = 0; k < size; k += 13) {
            pieces.update(std::span(bytes).subspan(k, std::min<std::size_t>(13, size - k)));
        }
        CHECK(whole.value() == pieces.value());
    }
    CHECK(Checksum().value() == 0xef46db3751d8e999ULL);
}

}  // namespace

int main() {
    check_streams<std::uint16_t>();
    check_streams<std::uint32_t>();
    check_refusals();
    check_checksums();
}
