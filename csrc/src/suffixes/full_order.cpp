#include "ngramstat/suffixes/full_order.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

namespace {

using Scratch = SuffixScratch<std::uint32_t>;
using BlockSuffixes = std::vector<std::uint32_t, HugePageAllocator<std::uint32_t>>;

// Every number modulo 64 is a difference of two of these.
constexpr std::array<int, 9> kCover{1, 2, 3, 6, 15, 17, 35, 43, 60};
constexpr int kPeriod = kSampleDepth;

// The place of each residue in the cover; -1: it is not in it.
constexpr std::array<int, kPeriod> cover_places() {
    std::array<int, kPeriod> places{};
    for (int& place : places) place = -1;
    for (std::size_t k = 0; k < kCover.size(); ++k) places[kCover[k]] = static_cast<int>(k);
    return places;
}
constexpr std::array<int, kPeriod> kCoverPlaces = cover_places();

// By the residues of two positions: how far both are from a place where both are in the cover.
constexpr auto cover_shifts() {
    std::array<std::uint8_t, std::size_t{kPeriod} * kPeriod> shifts{};
    for (int difference = 0; difference < kPeriod; ++difference) {
        // Backward and twice through the period: the first time finds a place from which to count.
        int shift = kPeriod;
        for (int i = 2 * kPeriod - 1; i >= 0; --i) {
            const int first = i % kPeriod, second = (i + difference) % kPeriod;
            const bool both = kCoverPlaces[first] >= 0 && kCoverPlaces[second] >= 0;
            shift = both ? 0 : shift + 1;
            if (i >= kPeriod) continue;
            if (shift >= kPeriod) throw "not a difference cover";  // does not compile
            shifts[first * kPeriod + second] = static_cast<std::uint8_t>(shift);
        }
    }
    return shifts;
}
constexpr auto kShifts = cover_shifts();

// Tokens that may be compared for each token of the stream, before ranks are made.
constexpr Index kCompared = 16;
constexpr Index kComparedAtLeast = Index{1} << 20;
// Between two additions to the total of all threads.
constexpr Index kCounted = Index{1} << 16;

struct TooManyCompared {};

// Tokens that all threads may still compare.
class Allowance {
  public:
    explicit Allowance(Index tokens) : left_(tokens) {}
    void spend(Index tokens) {
        if (left_.fetch_sub(tokens, std::memory_order_relaxed) < tokens) throw TooManyCompared{};
    }

  private:
    std::atomic<Index> left_;
};

template <class Token>
std::size_t common_length(const Token* a, const Token* b, std::size_t n) {
    constexpr std::size_t kStep = 512;
    std::size_t k = 0;
    while (k + kStep <= n && std::memcmp(a + k, b + k, kStep * sizeof(Token)) == 0) k += kStep;
    return k + static_cast<std::size_t>(
                   std::mismatch(a + k, a + std::min(n, k + kStep), b + k).first - (a + k));
}

// Order of suffixes that share kSampleDepth symbols, by reading what follows these.
template <class Token>
class OrderByReading {
  public:
    OrderByReading(const SuffixText<Token>& text, Allowance& allowance)
        : text_(text), allowance_(allowance) {}

    bool before(Index i, Index j) {
        const Index n = text_.end_of(i) - i, m = text_.end_of(j) - j;
        const auto known = static_cast<std::size_t>(kSampleDepth);
        const std::size_t shared = static_cast<std::size_t>(std::min(n, m)) - known;
        const Token* a = text_.tokens.data() + i + known;
        const Token* b = text_.tokens.data() + j + known;
        const std::size_t common = common_length(a, b, shared);
        count(static_cast<Index>(common));
        if (common < shared) return a[common] < b[common];
        return n != m ? n < m : i < j;
    }

  private:
    void count(Index compared) {
        counted_ += compared + kSampleDepth;
        if (counted_ < kCounted) return;
        allowance_.spend(counted_);
        counted_ = 0;
        release_pages_if_needed();
    }

    const SuffixText<Token>& text_;
    Allowance& allowance_;
    Index counted_ = 0;
};

// The places of a sorted block that begin with the stop token: each is that one symbol, so that
// they stand in ascending order.
struct Stops {
    std::size_t first, last;
};

template <class Token>
Stops order_stops(const SuffixText<Token>& text, std::span<std::uint32_t> positions) {
    if (text.stop_token < 0) return {0, 0};
    const auto token = [&](std::uint32_t i) { return static_cast<Index>(text.tokens[i]); };
    const auto first = std::partition_point(positions.begin(), positions.end(),
                                            [&](auto i) { return token(i) < text.stop_token; });
    const auto last = std::partition_point(first, positions.end(),
                                           [&](auto i) { return token(i) == text.stop_token; });
    std::sort(first, last);
    return {static_cast<std::size_t>(first - positions.begin()),
            static_cast<std::size_t>(last - positions.begin())};
}

// Calls visit(first, last) for the groups of sorted suffixes of which each shares `depth` symbols
// with the one before it, except for those that begin with the stop token.
template <class Visit>
void for_ties(std::span<const std::uint8_t> lcp, int depth, const Stops& stops, Visit&& visit) {
    const auto visit_part = [&](std::size_t begin, std::size_t end) {
        std::size_t k = begin + 1;
        while (k < end) {
            const void* found = std::memchr(lcp.data() + k, depth, end - k);
            if (found == nullptr) return;
            k = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - lcp.data());
            const std::size_t first = k - 1;
            while (k < end && lcp[k] == depth) ++k;
            visit(first, k);
        }
    };
    visit_part(0, stops.first);
    visit_part(stops.last, lcp.size());
}

template <class Token>
SuffixOrder order_of(const SuffixText<Token>& text, int depth) {
    return {depth, false, text.stop_token};
}

// Ranks between two checks of resident memory, and those whose tokens are prefetched.
constexpr Index kReleased = 512;
constexpr Index kAhead = 32;

// Whether two suffixes may follow each other.
template <class Token>
struct NeighbourCheck {
    const SuffixText<Token>& text;
    std::span<const std::uint32_t> suffixes;
    std::span<const std::uint32_t> ranks;

    void prefetch_at(Index rank) const {
        if (rank >= std::ssize(suffixes)) return;
        const std::uint32_t i = suffixes[static_cast<std::size_t>(rank)];
        prefetch(text.tokens.data() + i);
        if (text.depth == 0) prefetch(ranks.data() + std::min<std::size_t>(i, ranks.size() - 1));
    }

    bool in_order(std::uint32_t i, std::uint32_t j) const {
        const std::size_t limit =
            text.depth == 0 ? text.tokens.size() : static_cast<std::size_t>(text.depth);
        std::size_t a = i, b = j;
        for (std::size_t k = 0; k < limit; ++k, ++a, ++b) {
            // Of suffixes without their first tokens the ranks tell, unless there are none.
            if (text.depth == 0 && k > 0 && a < ranks.size() && b < ranks.size()) {
                return ranks[a] < ranks[b];
            }
            if (a == text.tokens.size() || b == text.tokens.size()) return a > b;
            if (text.tokens[a] != text.tokens[b]) return text.tokens[a] < text.tokens[b];
            if (static_cast<Index>(text.tokens[a]) == text.stop_token) break;
        }
        return i < j;
    }
};

// Sorts words by their upper halves and then their lower ones, which ascend already.
void sort_words(std::vector<std::uint64_t>& words, std::vector<std::uint64_t>& buffer) {
    constexpr std::size_t kComparison = 4096;
    if (words.size() <= kComparison) {
        std::sort(words.begin(), words.end());
        return;
    }
    buffer.resize(words.size());
    for (int shift = 32; shift < 64; shift += 8) {
        std::array<std::size_t, 257> next{};
        for (const std::uint64_t word : words) ++next[(word >> shift & 255) + 1];
        if (std::find(next.begin(), next.end(), words.size()) != next.end()) continue;
        for (std::size_t digit = 1; digit < next.size(); ++digit) next[digit] += next[digit - 1];
        for (const std::uint64_t word : words) buffer[next[word >> shift & 255]++] = word;
        words.swap(buffer);
    }
}

}  // namespace

template <class Token>
Index SuffixText<Token>::end_of(Index position) const {
    if (document_ends.empty()) return size();
    return *std::upper_bound(document_ends.begin(), document_ends.end(), position);
}

template <class Token>
void SuffixText<Token>::check() const {
    require(tokens.size() <= std::numeric_limits<std::uint32_t>::max(),
            "the stream must have at most 2^32 - 1 tokens");
    require(0 <= depth && depth <= kMaxDepth, "depth must lie in 0 .. 255");
    require(stop_token >= -1 && stop_token < vocab_size, "the stop token must be below vocab_size");
    require(stop_token >= 0 || document_ends.empty(),
            "without a stop token there must be no document ends");
    if (stop_token < 0) return;
    Index before = 0;
    for (const Index end : document_ends) {
        require(before < end && end <= size(), "document ends must be strictly increasing");
        require(end == size() || static_cast<Index>(tokens[end - 1]) == stop_token,
                "documents must end with the stop token");
        before = end;
    }
    require(before == size(), "the last document must end where the stream ends");
}

SampleRanks::SampleRanks(Index n_tokens) {
    require(n_tokens >= 0 && n_tokens <= std::numeric_limits<std::uint32_t>::max(),
            "the stream must have at most 2^32 - 1 tokens");
    ranks_.resize(static_cast<std::size_t>((n_tokens / kPeriod + 1) * std::ssize(kCover)));
}

std::uint64_t SampleRanks::residues() {
    std::uint64_t bits = 0;
    for (const int residue : kCover) bits |= std::uint64_t{1} << residue;
    return bits;
}

const SampleRanks::Shifts& SampleRanks::shifts() { return kShifts; }

std::size_t SampleRanks::place(Index position) {
    return static_cast<std::size_t>(position / kPeriod * std::ssize(kCover) +
                                    kCoverPlaces[position % kPeriod]);
}

Index SampleRanks::position_of(std::uint32_t place) {
    return Index{place} / std::ssize(kCover) * kPeriod + kCover[place % kCover.size()];
}

template <class Token>
void SampleRanks::sort(const SuffixText<Token>& text, TokenRange range, int threads) {
    require(ranks_.size() == SampleRanks(text.size()).ranks_.size(),
            "the ranks are those of a stream of another length");
    const Segment all{0, text.size()};
    const SuffixBlocks<Token, std::uint32_t> blocks(text.tokens, text.vocab_size,
                                                    order_of(text, kSampleDepth), range, {&all, 1},
                                                    threads, true, residues());
    struct Ties {
        std::vector<std::uint32_t> members;
        std::vector<std::uint32_t> sizes;
    };
    std::vector<Ties> ties(static_cast<std::size_t>(blocks.n_blocks()));
    parallel_with(
        blocks.n_blocks(), threads, [] { return std::pair<Scratch, std::vector<std::uint32_t>>(); },
        [&](Index block, auto& state) {
            std::vector<std::uint32_t>& positions = state.second;
            const auto sorted = blocks.sort(block, state.first);
            positions.assign(sorted.positions.begin(), sorted.positions.end());
            const Stops stops = order_stops(text, std::span<std::uint32_t>(positions));
            const Index begin = sorted_ + blocks.offsets()[block];
            const auto set_ranks = [&](std::size_t first, std::size_t last) {
                for (std::size_t k = first; k < last; ++k) {
                    ranks_[place(positions[k])] =
                        static_cast<std::uint32_t>(begin) + static_cast<std::uint32_t>(first);
                }
            };
            for (std::size_t k = 0; k < positions.size(); ++k) {
                ranks_[place(positions[k])] =
                    static_cast<std::uint32_t>(begin) + static_cast<std::uint32_t>(k);
            }
            set_ranks(stops.first, stops.last);
            Ties& tied = ties[static_cast<std::size_t>(block)];
            for_ties(sorted.lcp, kSampleDepth, stops, [&](std::size_t first, std::size_t last) {
                set_ranks(first, last);
                tied.sizes.push_back(static_cast<std::uint32_t>(last - first));
                for (std::size_t k = first; k < last; ++k) {
                    tied.members.push_back(static_cast<std::uint32_t>(place(positions[k])));
                }
            });
        });
    sorted_ += blocks.offsets().back();
    for (Ties& tied : ties) {
        auto begin = static_cast<std::uint32_t>(members_.size());
        members_.insert(members_.end(), tied.members.begin(), tied.members.end());
        for (const std::uint32_t size : tied.sizes) {
            groups_.push_back({begin, size});
            begin += size;
        }
        tied = Ties();
    }
}

template <class Token>
bool SampleRanks::refine(const SuffixText<Token>& text) {
    std::vector<std::uint64_t> words, buffer;
    std::vector<Group> still_tied;
    for (const Group& group : groups_) {
        // Words of the rank of what follows the symbols that are equal, and the place.
        words.clear();
        for (std::uint32_t k = 0; k < group.size; ++k) {
            const std::uint32_t member = members_[group.begin + k];
            const Index after = position_of(member) + decided_by_;
            const bool ends = after >= text.end_of(position_of(member));
            const std::uint64_t key = ends ? 0 : std::uint64_t{rank_of(after)} + 1;
            words.push_back(key << 32 | member);
        }
        sort_words(words, buffer);
        const std::uint32_t rank = ranks_[members_[group.begin]];
        std::uint32_t first = 0;  // of the members with equal keys
        for (std::uint32_t k = 0; k < group.size; ++k) {
            const std::uint64_t key = words[k] >> 32;
            if (key != words[first] >> 32) first = k;
            const auto member = static_cast<std::uint32_t>(words[k]);
            members_[group.begin + k] = member;
            ranks_[member] = rank + first;
            const bool last = k + 1 == group.size || words[k + 1] >> 32 != key;
            // Those that have ended are equal for good.
            if (last && k > first && key != 0) {
                still_tied.push_back({group.begin + first, k + 1 - first});
            }
        }
        release_pages_if_needed();
    }
    groups_.swap(still_tied);
    decided_by_ *= 2;
    complete_ = groups_.empty() || decided_by_ >= text.size();
    if (complete_) {
        groups_ = {};
        members_ = {};
    }
    return complete_;
}

template <class Token>
Index sort_suffixes(const SuffixText<Token>& text, TokenRange range, const SampleRanks* ranks,
                    const SuffixSink& sink, int threads) {
    require(ranks == nullptr || ranks->complete(), "the ranks must be complete");
    const bool to_the_end = text.depth == 0;
    const int depth = to_the_end ? kSampleDepth : text.depth;
    const Segment all{0, text.size()};
    const SuffixBlocks<Token, std::uint32_t> blocks(
        text.tokens, text.vocab_size, order_of(text, depth), range, {&all, 1}, threads);
    Allowance allowance(std::max(kCompared * text.size(), kComparedAtLeast));
    try {
        parallel_with(
            blocks.n_blocks(), threads, [] { return std::pair<Scratch, BlockSuffixes>(); },
            [&](Index block, auto& state) {
                auto& [scratch, suffixes] = state;
                const auto sorted = blocks.sort(block, scratch);
                suffixes.assign(sorted.positions.begin(), sorted.positions.end());
                const std::span<std::uint32_t> out(suffixes);
                const Stops stops = order_stops(text, out);
                if (to_the_end) {
                    OrderByReading<Token> by_reading(text, allowance);
                    for_ties(sorted.lcp, depth, stops, [&](std::size_t first, std::size_t last) {
                        const auto group = out.subspan(first, last - first);
                        if (ranks != nullptr) {
                            std::sort(group.begin(), group.end(),
                                      [&](auto i, auto j) { return ranks->before(i, j); });
                        } else {
                            std::sort(group.begin(), group.end(),
                                      [&](auto i, auto j) { return by_reading.before(i, j); });
                        }
                    });
                }
                sink(blocks.offsets()[block], out);
            });
    } catch (const TooManyCompared&) {
        return -1;
    }
    return blocks.offsets().back();
}

template <class Token>
OrderFault check_suffixes(const SuffixText<Token>& text, std::span<const std::uint32_t> suffixes,
                          std::span<std::uint32_t> ranks, int threads) {
    require(ranks.size() == suffixes.size() && suffixes.size() <= text.tokens.size(),
            "there must be a rank per suffix, and a token");
    constexpr std::uint32_t kUnseen = std::numeric_limits<std::uint32_t>::max();
    std::fill(ranks.begin(), ranks.end(), kUnseen);
    for (std::size_t rank = 0; rank < suffixes.size(); ++rank) {
        const std::uint32_t position = suffixes[rank];
        if (position >= suffixes.size()) {
            return {OrderFault::kPosition, static_cast<Index>(rank)};
        }
        if (ranks[position] != kUnseen) return {OrderFault::kRepeated, static_cast<Index>(rank)};
        ranks[position] = static_cast<std::uint32_t>(rank);
        if (rank % kReleased == 0) release_pages_if_needed();
    }
    const NeighbourCheck<Token> check{text, suffixes, ranks};
    const std::vector<Index> bounds =
        chunk_bounds(static_cast<Index>(suffixes.size()), Index{16} * threads);
    std::atomic<Index> lowest{static_cast<Index>(suffixes.size())};
    parallel_for(static_cast<Index>(bounds.size()) - 1, threads, [&](Index chunk) {
        const auto c = static_cast<std::size_t>(chunk);
        for (Index rank = std::max<Index>(bounds[c], 1); rank < bounds[c + 1]; ++rank) {
            check.prefetch_at(rank + kAhead);
            if (rank % kReleased == 0) release_pages_if_needed();
            if (check.in_order(suffixes[rank - 1], suffixes[rank])) continue;
            Index found = lowest.load();
            while (rank < found && !lowest.compare_exchange_weak(found, rank)) {
            }
            return;
        }
    });
    if (lowest == static_cast<Index>(suffixes.size())) return {};
    return {OrderFault::kOrder, lowest};
}

template struct SuffixText<std::uint16_t>;
template struct SuffixText<std::uint32_t>;
template void SampleRanks::sort(const SuffixText<std::uint16_t>&, TokenRange, int);
template void SampleRanks::sort(const SuffixText<std::uint32_t>&, TokenRange, int);
template bool SampleRanks::refine(const SuffixText<std::uint16_t>&);
template bool SampleRanks::refine(const SuffixText<std::uint32_t>&);
template Index sort_suffixes(const SuffixText<std::uint16_t>&, TokenRange, const SampleRanks*,
                             const SuffixSink&, int);
template Index sort_suffixes(const SuffixText<std::uint32_t>&, TokenRange, const SampleRanks*,
                             const SuffixSink&, int);
template OrderFault check_suffixes(const SuffixText<std::uint16_t>&, std::span<const std::uint32_t>,
                                   std::span<std::uint32_t>, int);
template OrderFault check_suffixes(const SuffixText<std::uint32_t>&, std::span<const std::uint32_t>,
                                   std::span<std::uint32_t>, int);

}  // namespace ngramstat
