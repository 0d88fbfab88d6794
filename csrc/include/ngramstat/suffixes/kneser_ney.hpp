// Interpolated modified Kneser-Ney models of all orders, counted for a held-out token stream.
//
// Chen and Goodman (1999), section 3. The n-grams and contexts of the held-out tokens are indexed
// first, and only these are looked up while counting. Memory is therefore proportional to the
// held-out tokens, and one sweep over the sorted training stream serves every order, and models of
// several nested parts of the stream, at once:
//   1. the constructor indexes the held-out n-grams and their contexts,
//   2. add_training counts them, with the continuation counts of the lower orders,
//   3. counts() returns the counts of counts, from which the caller estimates the discounts,
//   4. score interpolates the orders and sums -ln p.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/pairs/position_index.hpp"
#include "ngramstat/suffixes/held_out_ngrams.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"

namespace ngramstat {

template <class Token>
class KneserNey {
  public:
    // held_out   tokens to score, and the contexts before them
    // documents  of the held-out tokens: their content is scored, other tokens only serve as
    //            context
    // vocab_size number of tokens that can be predicted; a token == vocab_size may stand for a
    //            separator that is never predicted
    // order      highest n-gram order, 1 .. 16
    // stop_token contexts extend back to this token and no further; -1: none
    // Throws std::invalid_argument for bad arguments, std::out_of_range for a bad token.
    KneserNey(std::span<const Token> held_out, const Documents& documents, Index vocab_size,
              int order, Index stop_token);

    // Forgets all training; there are n_models models from now on (at first, one).
    void reset(Index n_models, int threads);

    // Counts the n-grams whose last token lies in `range` and stands in `parts`, one part of the
    // stream for each model; tokens outside its part only serve as context. The first part holds
    // all others, and of any two parts one holds the other or they are disjoint; a part comes after
    // those that hold it. To be called once for each range of a partition of the vocabulary.
    // With a prefix (last token first, see SuffixOrder): the longer n-grams that end with it and
    // whose token before it lies in `range`. All of them together, and add_ngram for the prefix,
    // take the place of a range of one token.
    void add_training(std::span<const Token> training, std::span<const Segment> parts,
                      TokenRange range, int threads, std::span<const Index> prefix = {});
    // The same for tokens that were brought together from several streams: `head` tokens of the
    // beginning of all text, and windows of `order` tokens, of which the last is counted and the
    // others are its context. The parts are ranges of these tokens and hold whole windows.
    void add_windows(std::span<const Token> tokens, Index head, std::span<const Segment> parts,
                     TokenRange range, int threads);
    // Counts one n-gram, last token first, for a model, from its occurrences in the part and the
    // number of different tokens before it, where the beginning of the stream is one.
    void add_ngram(Index model, std::span<const Index> ngram, Count count, Count distinct_before);

    // Memory of the held-out n-grams, which all models share; of one model; and while one scores.
    std::size_t index_bytes() const { return held_out_.bytes(); }
    std::size_t model_bytes() const {
        return held_out_.contexts().size() * sizeof(Followers) +
               held_out_.ngrams().size() * sizeof(NgramCount);
    }
    std::size_t scoring_bytes() const { return held_out_.ngrams().size() * sizeof(Estimate); }
    // The counts of a model that were made elsewhere, for a model that has none.
    void set_counts(Index model, const HeldOutCounts& counted);

    // What a model has counted, and what another has counted in other ranges added to a model.
    // Throws std::invalid_argument where there is no such model, or a node is none of these
    // held-out tokens.
    CountsOfRanges counts_of_ranges(Index model) const;
    void add_counts(Index model, const CountsOfRanges& counted);

    const HeldOutNgrams<Token>& held_out() const { return held_out_; }
    Index vocab_size() const { return vocab_size_; }
    int order() const { return order_; }
    Index stop_token() const { return stop_token_; }

    Index n_models() const { return static_cast<Index>(models_.size()); }
    const KneserNeyCounts& counts(Index model) const { return model_at(model).counts; }

    Index n_documents() const { return documents_.size(); }

    // Sum of -ln p over each document's content by a model, nats: losses[document * order + n] for
    // contexts of n = 0 .. order - 1 tokens. raw (order) and continuation (order - 1) are the
    // discounts of every order where it is the highest of its model and where it is not.
    void score(Index model, std::span<const OrderDiscounts> raw,
               std::span<const OrderDiscounts> continuation, std::span<double> losses,
               int threads) const;

  private:
    using Node = SymbolTrie::Node;
    template <class Position>
    class BlockSweep;
    template <class Position>
    class PartSweep;

    // Raw counts in the lower half of each number, continuation counts in the upper one, so that
    // one addition serves both.
    struct Followers {
        // How many followers have count 1, 2, and 3 or more.
        std::array<std::uint64_t, 3> number{};
        // Sums of the counts that are 3 or more.
        Count raw_sum = 0, continuation_sum = 0;

        Followers() = default;
        Followers(const FollowerCounts& raw, const FollowerCounts& continuation);
        void add(Count raw, Count continuation);
        void add(const Followers& more);  // not from several threads
        void add_once();
        FollowerCounts raw() const;
        FollowerCounts continuation() const;
    };
    struct NgramCount {
        Count raw = 0, continuation = 0;
    };
    struct Model {
        KneserNeyCounts counts;
        std::vector<Followers, HugePageAllocator<Followers>> contexts;  // by node
        std::vector<NgramCount, HugePageAllocator<NgramCount>> ngrams;  // by node
    };

    struct Estimate {
        double loss;   // -ln p of an n-gram as the highest order
        double lower;  // p from the continuation counts
        bool unseen;   // its context: both are those of the order below
    };

    static Estimate estimate(const Followers& context, const NgramCount& count,
                             const OrderDiscounts& raw, const OrderDiscounts& continuation,
                             const Estimate& below);
    const Model& model_at(Index model) const;
    // The segments are the positions that are counted: those of the first part, or some of them.
    void sweep(std::span<const Token> training, std::span<const Segment> segments,
               std::span<const Segment> parts, TokenRange range, int threads,
               std::span<const Index> prefix);
    template <class Position>
    void sweep_blocks(std::span<const Token> training, std::span<const Segment> segments,
                      std::span<const Segment> parts, TokenRange range, int threads,
                      std::span<const Index> prefix);

    Documents documents_;
    Index vocab_size_;
    int order_;
    Index stop_token_;
    HeldOutNgrams<Token> held_out_;
    std::vector<Model> models_;
};

}  // namespace ngramstat
