#include "ngramstat/pairs/document_shuffle.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/random.hpp"

namespace ngramstat {

namespace {

constexpr Index kRuns = 256;  // of documents: enough to balance any thread count

}  // namespace

template <class Token>
void shuffle_documents(std::span<const Token> tokens, const Documents& documents, std::uint64_t key,
                       Index first_position, std::span<Token> out, int threads) {
    require(first_position >= 0, "shuffle_documents: a position is not negative");
    documents.require_length(static_cast<Index>(tokens.size()));
    require(out.size() == tokens.size(), "shuffle_documents: out must have the stream's size");
    std::vector<Index> prefix{0};
    for (const Index end : documents.ends()) prefix.push_back(end);
    const auto bounds = balanced_blocks(prefix, kRuns);
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads, [&](Index run) {
        for (Index d = bounds[run]; d < bounds[run + 1]; ++d) {
            std::copy(tokens.begin() + documents.starts()[d], tokens.begin() + documents.ends()[d],
                      out.begin() + documents.starts()[d]);
            const Index first = documents.content_starts()[d];
            for (Index i = documents.content_ends()[d] - 1; i > first; --i) {
                // The word of a position, scaled to the places up to it.
                const auto places = static_cast<unsigned __int128>(i - first + 1);
                const auto word = random_word(key, static_cast<std::uint64_t>(first_position + i));
                const Index to = first + static_cast<Index>((places * word) >> 64);
                std::swap(out[static_cast<std::size_t>(i)], out[static_cast<std::size_t>(to)]);
            }
        }
    });
}

template void shuffle_documents(std::span<const std::uint16_t>, const Documents&, std::uint64_t,
                                Index, std::span<std::uint16_t>, int);
template void shuffle_documents(std::span<const std::uint32_t>, const Documents&, std::uint64_t,
                                Index, std::span<std::uint32_t>, int);

}  // namespace ngramstat
