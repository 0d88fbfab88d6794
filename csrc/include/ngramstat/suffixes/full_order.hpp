// Suffixes of a token stream in order to their ends, one range of first tokens after the other.
//
// SuffixBlocks sorts by kSampleDepth symbols. Where more are equal, the stream itself is compared,
// which is fast in text. Streams that repeat themselves for long, where it would not be, are
// recognised by the number of tokens compared. For these the suffixes at a sample of positions are
// ranked first: for any two positions some shift below kSampleDepth leads both into the sample (a
// difference cover), so that two ranks decide between suffixes that share kSampleDepth symbols.
//
// Karkkainen, Fast BWT in small space by blockwise suffix sorting, Theoretical Computer Science 387
// (2007); Larsson and Sadakane, Faster suffix sorting, ibid.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"

namespace ngramstat {

inline constexpr int kSampleDepth = 64;

// A token stream whose suffixes are sorted.
//
//   vocab_size     ids are below it; a stop token may be the last of them
//   depth          symbols compared, 1 .. kMaxDepth; 0: to the end of the suffix
//   stop_token     ends every document but perhaps the last, and occurs nowhere else; -1: suffixes
//                  run across documents to the end of the stream
//   document_ends  (document_ends,) strictly increasing, the last one the number of tokens; empty
//                  without a stop token
template <class Token>
struct SuffixText {
    std::span<const Token> tokens;
    Index vocab_size = 0;
    int depth = 0;
    Index stop_token = -1;
    std::span<const Index> document_ends = {};

    Index size() const { return static_cast<Index>(tokens.size()); }
    // Where the suffix at a position ends.
    Index end_of(Index position) const;
    // Throws std::invalid_argument where these conditions are violated, or the stream has more than
    // 2^32 - 1 tokens.
    void check() const;
};

// Ranks of the suffixes at the positions of a sample, 9 of 64, in their order.
//
//   Memory: 0.57 bytes per token of the stream, and while it is built up to 3.5 more.
class SampleRanks {
  public:
    explicit SampleRanks(Index n_tokens);

    // Positions of the sample, as SuffixBlocks takes them.
    static std::uint64_t residues();
    // Ranks the sampled suffixes with these first tokens by kSampleDepth symbols. All ranges in
    // order, then `refine` until it returns true.
    template <class Token>
    void sort(const SuffixText<Token>& text, TokenRange range, int threads);
    // Doubles the number of symbols that decide; whether all symbols do. O(tied log tied) time.
    template <class Token>
    bool refine(const SuffixText<Token>& text);
    // Whether `refine` has returned true.
    bool complete() const { return complete_; }

    // Whether the suffix at i sorts before that at j, where they share kSampleDepth symbols and the
    // ranks are complete. Equal ones keep the order of positions.
    bool before(Index i, Index j) const {
        const int shift =
            shifts()[static_cast<std::size_t>(i % kSampleDepth * kSampleDepth + j % kSampleDepth)];
        const std::uint32_t a = rank_of(i + shift), b = rank_of(j + shift);
        return a != b ? a < b : i < j;
    }

  private:
    struct Group {
        std::uint32_t begin, size;  // of members_
    };
    using Shifts = std::array<std::uint8_t, std::size_t{kSampleDepth} * kSampleDepth>;
    static const Shifts& shifts();
    static std::size_t place(Index position);
    static Index position_of(std::uint32_t place);
    std::uint32_t rank_of(Index position) const { return ranks_[place(position)]; }

    std::vector<std::uint32_t> ranks_;  // by place: the first of the suffixes that are equal so far
    std::vector<std::uint32_t> members_;  // places of suffixes in groups that are equal so far
    std::vector<Group> groups_;
    Index sorted_ = 0;  // suffixes before the next range
    Index decided_by_ = kSampleDepth;
    bool complete_ = false;
};

// Takes suffixes of consecutive ranks, of which the first is `rank`. Called by several threads at
// once, in any order; each rank of a range comes once.
using SuffixSink = std::function<void(Index rank, std::span<const std::uint32_t> suffixes)>;

// Gives `sink` the positions whose first token lies in the range, in suffix order: a suffix that
// ends sorts before its extensions, equal ones keep the order of positions. Ranks count from the
// first suffix of the range. Returns how many there are, or -1 where comparing takes too long
// without `ranks`; what the sink was given is then void. Reads the whole stream; with a stop token,
// what begins with it is that one symbol.
//
//   ranks  complete, or null
// Throws what SuffixBlocks and the sink throw.
template <class Token>
Index sort_suffixes(const SuffixText<Token>& text, TokenRange range, const SampleRanks* ranks,
                    const SuffixSink& sink, int threads);

// What is wrong with an array that should be what `sort_suffixes` makes of a text.
struct OrderFault {
    enum Kind { kNone, kPosition, kRepeated, kOrder };
    Kind kind = kNone;
    Index rank = 0;  // the first suffix that is wrong
};

// Checks that `suffixes` holds each position below their number once, in suffix order. Positions
// of the text from there on are only read.
//
//   ranks   memory, one per suffix
//   Time:   O(n), at random places; with a depth O(n depth) at worst
// The text need not have been checked: its tokens may be anything.
template <class Token>
OrderFault check_suffixes(const SuffixText<Token>& text, std::span<const std::uint32_t> suffixes,
                          std::span<std::uint32_t> ranks, int threads);

}  // namespace ngramstat
