// Contexts of one pattern as 64-bit keys.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/key_table.hpp"
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

class ContextKeys {
  public:
    // class_maps   (n_maps, n_symbols), row-major
    // Throws std::invalid_argument for what does not fit together.
    ContextKeys(const Vocabulary& vocabulary, const ContextPattern& pattern,
                std::span<const std::uint32_t> class_maps);

    const Vocabulary& vocabulary() const { return vocabulary_; }

    // The key of the context of a position that has at least as many tokens before it as the
    // longest offset. Never KeyTable::kNoKey.
    template <class Token>
    std::uint64_t at(std::span<const Token> tokens, Index position) const {
        std::uint64_t key = 0;
        for (std::size_t j = 0; j < offsets_.size(); ++j) {
            const Token token = tokens[static_cast<std::size_t>(position - offsets_[j])];
            const std::uint64_t symbol = classes_[j].empty() ? token : classes_[j][token];
            // A 64-bit hash confuses two of n contexts with a probability below n^2 / 2^65.
            key =
                exact_ ? key << bits_[j] | symbol : mix_bits(key + symbol + 0x9e3779b97f4a7c15ULL);
        }
        return exact_ ? key : key >> 1;
    }

    // Keys of the targets' contexts; KeyTable::kNoKey where the context is cut off by the stop
    // token or the beginning, which is that of a second stream for targets from `second_stream`
    // on. Throws std::invalid_argument unless targets ascend and lie inside the
    // stream, and where one is not in the vocabulary.
    template <class Token>
    std::vector<std::uint64_t> of_targets(std::span<const Token> tokens,
                                          std::span<const Index> targets,
                                          Index second_stream = 0) const {
        std::vector<std::uint64_t> keys(targets.size(), KeyTable::kNoKey);
        Index seen = 0, last_stop = -1;
        for (std::size_t t = 0; t < targets.size(); ++t) {
            const Index i = targets[t];
            require(i >= 0 && i < static_cast<Index>(tokens.size()),
                    "targets must lie inside the token stream");
            require(i >= seen, "targets must ascend");
            for (; seen < i; ++seen) {
                if (static_cast<Index>(tokens[seen]) == vocabulary_.stop_token) last_stop = seen;
            }
            require(static_cast<Index>(tokens[i]) < vocabulary_.size,
                    "a stop token cannot be scored");
            const Index begin = i >= second_stream ? second_stream : 0;
            const Index history = last_stop < begin ? i - begin : i - last_stop;
            if (history >= longest_offset_) keys[t] = at(tokens, i);
        }
        return keys;
    }

    // Calls visit(position, key, history) for the events of [first, last), the positions of
    // vocabulary tokens, whose context is not cut off. history is the number of tokens before it,
    // back to the last stop token. Throws std::out_of_range for a token that is no symbol.
    template <class Token, class Visit>
    void for_events(std::span<const Token> tokens, Index first, Index last, Visit&& visit) const {
        const Index n_symbols = vocabulary_.n_symbols(), stop_token = vocabulary_.stop_token;
        Index last_stop = -1;
        bool stopped = false;
        // A stop token cuts off the contexts of up to kMaxOffset positions after it.
        for (Index i = std::max<Index>(0, first - kMaxOffset); i < first; ++i) {
            if (static_cast<Index>(tokens[i]) == stop_token) last_stop = i, stopped = true;
        }
        for (Index i = first; i < last; ++i) {
            const Index token = static_cast<Index>(tokens[i]);
            if (token >= n_symbols) throw_token_out_of_range(tokens[i], i, n_symbols);
            const Index history = stopped ? i - last_stop : i;
            if (token == stop_token) last_stop = i, stopped = true;
            if (token < vocabulary_.size && history >= longest_offset_) {
                visit(i, at(tokens, i), history);
            }
        }
    }

  private:
    Vocabulary vocabulary_;
    std::vector<int> offsets_;
    std::vector<std::vector<std::uint32_t>> classes_;  // by offset: the class of each symbol, or {}
    std::vector<int> bits_;                            // by offset: bits of its symbols
    bool exact_ = true;                                // keys hold the symbols, else their hash
    Index longest_offset_ = 0;
};

}  // namespace ngramstat
