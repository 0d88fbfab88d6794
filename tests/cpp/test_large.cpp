// A stream of more than 2^32 tokens: positions beyond 32 bits in every kernel that chooses its
// position type. Nearly all of it is pages of zeros that are never written, so it needs little
// memory; the sweep over it takes the time.
#include <sys/mman.h>

#include "check.hpp"
#include "ngramstat/pairs/pair_counts.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"
#include "ngramstat/suffixes/ngram_counts.hpp"

namespace {

using namespace ngramstat;

using Token = std::uint16_t;

constexpr Index kTokens = (Index{1} << 32) + 1001;
constexpr Index kVocab = 50;
constexpr int kWorkers = 2;

// 300 tokens at the start, around 2^31 and at the end, all else 0. None of them is 0, so that
// ranges without 0 hold these alone.
std::vector<Index> islands() {
    std::vector<Index> starts{0, (Index{1} << 31) - 150, kTokens - 300};
    std::vector<Index> places;
    for (const Index start : starts) {
        for (Index i = 0; i < 300; ++i) places.push_back(start + i);
    }
    return places;
}

Count total(const CountsOfCounts& counts) {
    Count sum = 0;
    for (const auto& [count, number] : counts) sum += count * number;
    return sum;
}

}  // namespace

int main() {
    const std::size_t bytes = static_cast<std::size_t>(kTokens) * sizeof(Token);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    Token* data = static_cast<Token*>(memory);
    check::Random random(37);
    const auto places = islands();
    for (const Index place : places) data[place] = static_cast<Token>(1 + random.below(kVocab - 1));
    const std::span<const Token> tokens(data, static_cast<std::size_t>(kTokens));
    const TokenRange range{1, kVocab};
    const Documents documents(
        std::vector<Index>{kTokens}, {std::vector<Index>{0}, std::vector<Index>{kTokens}},
        {std::vector<std::uint8_t>{1}, 2}, {std::vector<std::uint32_t>{0}, 1});

    check::in_case("count_ngrams");
    const int max_context = 2;
    const auto counts = count_ngrams(tokens, kVocab, max_context, documents, true, range, kWorkers);
    std::vector<std::map<std::vector<Index>, Count>> expected(max_context + 1);
    Count targets = 0;
    for (const Index place : places) {
        if (place < max_context) continue;
        ++targets;
        for (int n = 0; n <= max_context; ++n) {
            ++expected[n][std::vector<Index>(data + place - n, data + place + 1)];
        }
    }
    CHECK(counts.targets[0] == targets);
    for (int n = 0; n <= max_context; ++n) {
        std::map<Count, Count> table;
        for (const auto& [gram, count] : expected[n]) ++table[count];
        CHECK(counts.ngrams[0][n] == CountsOfCounts(table.begin(), table.end()));
        CHECK(total(counts.ngrams[0][n]) == targets);
    }

    check::in_case("KneserNey");
    // The held-out tokens are the island at the end; its trigrams also occur in training.
    const auto held_out = tokens.subspan(static_cast<std::size_t>(kTokens) - 300);
    KneserNey<Token> model(held_out, Documents::single(300), kVocab, max_context + 1, -1);
    const Segment events{max_context, kTokens};
    model.add_training(tokens, {&events, 1}, range, kWorkers);
    for (int n = 0; n <= max_context; ++n) {
        CHECK(model.counts(0).raw[n].distinct == expected[n].size());
    }

    check::in_case("count_pairs");
    const auto index =
        index_document_positions<Token, std::uint64_t>(tokens, range, kVocab, documents, kWorkers);
    const std::vector<Index> lags{1, (Index{1} << 31) + 700};
    const auto pairs = count_pairs(tokens, index, kVocab, lags, kWorkers);
    for (std::size_t l = 0; l < lags.size(); ++l) {
        std::map<std::pair<Index, Index>, Count> cells[2];
        for (const Index place : places) {
            if (place + lags[l] >= kTokens) continue;
            ++cells[0][{data[place], data[place + lags[l]]}];
        }
        const CountMatrix* matrices[2] = {&pairs[l].within, &pairs[l].across};
        for (int kind = 0; kind < 2; ++kind) {
            Index entries = 0;
            for (const CountBlock& block : matrices[kind]->blocks()) {
                block.with_entries([&](const auto& cell) {
                    for (Index r = 0; r < block.n_rows(); ++r) {
                        for (Index k = block.row_start[r]; k < block.row_start[r + 1]; ++k) {
                            const auto it = cells[kind].find({block.first_row + r, cell.column[k]});
                            CHECK(it != cells[kind].end() && it->second == cell.second[k]);
                            CHECK(cell.first[k] == 0);
                            ++entries;
                        }
                    }
                });
            }
            CHECK(entries == static_cast<Index>(cells[kind].size()));
        }
    }
    const std::vector<Index> too_long{Index{1} << 32};
    CHECK_THROWS(std::invalid_argument, count_pairs(tokens, index, kVocab, too_long, kWorkers));
    munmap(memory, bytes);
}
