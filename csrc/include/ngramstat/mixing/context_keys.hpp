// Contexts of one pattern as 64-bit hashes, made for a block of consecutive positions at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// The tokens of a stream.
//   size        V: tokens that can be predicted
//   stop_token  contexts extend back to this token and no further; V is a separator that is never
//               predicted; -1: none
struct Vocabulary {
    Index size = 1;
    Index stop_token = -1;
    Index n_symbols() const { return size + (stop_token == size ? 1 : 0); }
};

// The tokens that make a context: offsets[j] >= 1 tokens back, each replaced by its class in class
// map maps[j] (tokens of one class look alike), or taken as it is where maps[j] is -1.
struct ContextPattern {
    std::vector<int> offsets;
    std::vector<int> maps;
};

inline constexpr int kMaxOffset = 16;
// Of the hashes, 2^64 over the golden ratio.
inline constexpr std::uint64_t kContextMultiplier = 0x9e3779b97f4a7c15ULL;

// How the tokens of a context become a hash. Contexts that are the same have the same hash. Where
// their symbols have 64 bits or fewer, the hash is one-to-one; else it confuses two of n contexts
// with a probability below n^2 / 2^65.
class ContextKeys {
  public:
    // class_maps   (n_maps, n_symbols), row-major
    // Throws std::invalid_argument for what does not fit together.
    ContextKeys(const Vocabulary& vocabulary, const ContextPattern& pattern,
                std::span<const std::uint32_t> class_maps);

    const Vocabulary& vocabulary() const { return vocabulary_; }
    Index longest_offset() const { return longest_offset_; }
    // Hashes differ in these highest bits alone; the others are zero.
    int hash_bits() const { return exact_ ? bits_ : 64; }

    // What hashes are made of, for the twin on a GPU: offsets, by offset the class map or an empty
    // span and the bits of a symbol, the bits of all, and whether these are in the hash as they
    // are.
    std::span<const int> offsets() const { return offsets_; }
    std::span<const std::uint32_t> map_of(std::size_t j) const {
        if (map_of_[j] < 0) return {};
        return maps_[static_cast<std::size_t>(map_of_[j])];
    }
    int bits_of(std::size_t j) const { return bits_of_[j]; }
    int bits() const { return bits_; }
    bool exact() const { return exact_; }

  private:
    friend class ContextBlock;

    Vocabulary vocabulary_;
    std::vector<int> offsets_;
    std::vector<std::vector<std::uint32_t>> maps_;  // those that the pattern uses
    std::vector<int> map_of_;                       // by offset: number in maps_, or -1
    std::vector<int> bits_of_;                      // by offset: bits of its symbols
    int bits_ = 0;                                  // of all symbols
    bool exact_ = true;                             // keys hold the symbols, else their hash
    Index longest_offset_ = 0;
};

// Positions of a stream whose contexts are looked up together.
struct BlockBounds {
    Index first, last;     // at most ContextBlock::kSize positions
    Index first_event;     // positions before it only serve as context
    Index begin = 0;       // contexts do not reach back before it
    int continuation = 0;  // offset of the continuation token; 0: none
};

// The contexts of one block after the other. Its memory is used again.
class ContextBlock {
  public:
    static constexpr Index kSize = 1024;

    explicit ContextBlock(const ContextKeys& keys);

    // Reads a block and selects its events: the positions of vocabulary tokens whose context is not
    // cut off by a stop token or the beginning, which are among the candidates: bit i % 64 of word
    // i / 64 of position i; empty: all are. `bounds.first` is a multiple of 64 where there are
    // candidates. Throws std::out_of_range for a token that is no symbol.
    template <class Token>
    void read(std::span<const Token> tokens, const BlockBounds& bounds,
              std::span<const std::uint64_t> candidates = {});
    // Keeps the events with hashes in [lowest, highest].
    void keep_hashes(std::uint64_t lowest, std::uint64_t highest);

    // Places of the events in the block, ascending.
    std::span<const std::uint32_t> places() const { return {places_.data(), n_places_}; }
    // By place: the hash of the context, the token, and the continuation token; n_symbols where the
    // stop token or the beginning is nearer, and 0 without a continuation offset.
    const std::uint64_t* hashes() const { return hashes_.data(); }
    const std::uint32_t* tokens() const { return tokens_.data() + kMaxOffset; }
    const std::uint32_t* continuations() const { return continuations_.data(); }

  private:
    template <class Token>
    void load(std::span<const Token> tokens, const BlockBounds& bounds);
    void open_candidates(const BlockBounds& bounds, std::span<const std::uint64_t> candidates);
    void close_after_stops(const BlockBounds& bounds);
    void read_continuations(const BlockBounds& bounds);
    void select();

    struct HashLoop;
    using HashFunction = void (*)(ContextBlock&);

    const ContextKeys& keys_;
    HashFunction hash_;
    Index size_ = 0;  // positions of the block, rounded up to a multiple of 8
    // From kMaxOffset positions before the block on; 0 before the beginning.
    alignas(64) std::array<std::uint32_t, kMaxOffset + kSize> tokens_{};
    std::vector<std::uint32_t> classes_;  // by map, as tokens_
    alignas(64) std::array<std::uint64_t, kSize> hashes_{};
    alignas(64) std::array<std::uint32_t, kSize> continuations_{};
    alignas(64) std::array<std::uint8_t, kMaxOffset + kSize> is_stop_{};
    alignas(64) std::array<std::uint8_t, kSize> open_{};  // 1: the position is an event
    std::array<std::uint32_t, kSize> places_{};
    std::size_t n_places_ = 0;
};

}  // namespace ngramstat
