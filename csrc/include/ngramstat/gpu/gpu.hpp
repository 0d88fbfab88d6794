// The interface of a GPU to the rest of the core. It has no CUDA types: CUDA and its emulation
// implement it.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/mixing/context_counts.hpp"
#include "ngramstat/pairs/count_matrix.hpp"
#include "ngramstat/pairs/labelled_segments.hpp"
#include "ngramstat/pairs/pair_products.hpp"
#include "ngramstat/pairs/position_index.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"
#include "ngramstat/suffixes/ngram_counts.hpp"
#include "ngramstat/suffixes/suffix_sort.hpp"
#include "ngramstat/suffixes/symbol_trie.hpp"

namespace ngramstat::gpu {

// A stream of tokens in host or device memory; it must outlive its users.
template <class Token>
struct Stream {
    const Token* data;
    Index size;
    bool on_device;
};
using AnyStream = std::variant<Stream<std::uint16_t>, Stream<std::uint32_t>>;

// A block of kBlockSize vectors in device memory, (rows x kBlockSize) row-major doubles.
class Block {
  public:
    virtual ~Block() = default;
    virtual Index rows() const = 0;
    virtual void to_host(std::span<double> out) const = 0;
    virtual std::unique_ptr<Block> copy() const = 0;
    // x -= q (q^T x): for orthonormal q, the part of x that is orthogonal to it.
    virtual void project_out(const Block& q) = 0;
    // x -= q C and x = x C, with C (kBlockSize x kBlockSize) row-major in host memory.
    virtual void subtract(const Block& q, std::span<const double> coefficients) = 0;
    virtual void transform(std::span<const double> coefficients) = 0;
    // x^T x, (kBlockSize x kBlockSize).
    virtual std::array<double, 64> gram() const = 0;
};

// A summand of an operator: a real matrix, from counts or from a stream of tokens on the device.
class Term {
  public:
    virtual ~Term() = default;
    virtual Index n_rows() const = 0;
    virtual Index n_cols() const = 0;
};

// Counts of pairs in device memory, the twin of ngramstat::CountMatrix. Sums of doubles run in an
// order fixed by the counts, but not in CountMatrix's order.
class Counts : public std::enable_shared_from_this<Counts> {
  public:
    virtual ~Counts() = default;
    virtual Index n_rows() const = 0;
    virtual Index n_cols() const = 0;
    virtual Index nnz() const = 0;
    virtual Index bytes() const = 0;
    virtual std::array<std::vector<Count>, 2> row_sums() const = 0;
    virtual std::array<std::vector<Count>, 2> column_sums() const = 0;
    virtual CountMatrix to_host(int threads) const = 0;
    // x and out in host memory; see CountMatrix.
    virtual void multiply(std::span<const double> x, std::array<double, 2> weights,
                          std::span<double> out, bool transposed) const = 0;
    // out = F^T diag(row_weights) F x with F the first channel; see CountMatrix.
    virtual void multiply_gram(std::span<const double> x, std::span<const double> row_weights,
                               std::span<double> out) const = 0;
    virtual double inner_product(const Counts& other, std::array<double, 2> weights,
                                 std::array<double, 2> other_weights) const = 0;
    // first * weights[0] + second * weights[1].
    virtual std::shared_ptr<Term> weighted(std::array<double, 2> weights) = 0;
};

// The pairs of a stream, without a table of counts: every product is a pass over the tokens.
class PairStream : public std::enable_shared_from_this<PairStream> {
  public:
    virtual ~PairStream() = default;
    // Pairs of each half by their left or by their right token.
    virtual std::array<std::vector<Count>, 2> counts(Index lag, bool by_right) const = 0;
    // The pairs at a lag, those of half h with weights[h].
    virtual std::shared_ptr<Term> weighted(Index lag, std::array<double, 2> weights) = 0;
};

// Sum of terms minus left right^T, restricted to the vocabulary items of a mask.
class Operator {
  public:
    virtual ~Operator() = default;
    virtual std::unique_ptr<Block> multiply(const Block& x, bool transposed) const = 0;
};

using CountsOfPairs = std::pair<std::shared_ptr<Counts>, std::shared_ptr<Counts>>;

class PairCounter {
  public:
    virtual ~PairCounter() = default;
    // (within, across) for each lag >= 1; see ngramstat::PairCounts. Where memory is short, the
    // stream is counted in smaller pieces. Throws DeviceMemoryError where even the smallest does
    // not fit, std::overflow_error where a count does not fit 32 bits.
    virtual std::vector<CountsOfPairs> count(std::span<const Index> lags) = 0;
    // The number of lags that are counted in one pass.
    virtual Index lags_at_once() const = 0;
};

// Sums over the pairs of one kind at one lag with vectors, the twin of pairs/pair_products.hpp: the
// functions of the same names say what is summed. Sums of doubles run in an order fixed by the
// stream and the documents, but not in that of the CPU.
class PairSummer {
  public:
    virtual ~PairSummer() = default;
    virtual PairSums sum_by_document(Index lag, std::span<const double> u,
                                     std::span<const double> v, bool across) = 0;
    virtual ClassProducts multiply_by_class(Index lag, std::span<const double> u,
                                            std::span<const double> v, bool across,
                                            PairLabel by) = 0;
    virtual std::vector<double> bilinear_forms_by_class(Index lag, std::span<const float> a,
                                                        std::span<const float> b, bool across,
                                                        PairLabel by) = 0;
};

class NgramCounter {
  public:
    virtual ~NgramCounter() = default;
    // See ngramstat::count_ngrams.
    virtual NgramCounts count(TokenRange range) = 0;
    // Positions that a range may have, to fit the memory that is available.
    virtual Index positions_that_fit() const = 0;
    // Occurrences of every token.
    virtual std::vector<Index> token_counts() const = 0;
};

// Held-out n-grams and their contexts (ngramstat::HeldOutNgrams), whose counts in training are
// asked for; vocab_size, order and stop_token as in ngramstat::KneserNey.
struct HeldOutTries {
    const SymbolTrie& contexts;
    const SymbolTrie& ngrams;
    Index vocab_size;
    int order;
    Index stop_token;
};

// Counts a training stream, which it holds, for held-out n-grams, which are copied.
class HeldOutCounter {
  public:
    virtual ~HeldOutCounter() = default;
    // The n-grams whose last token stands in a part of the stream.
    virtual HeldOutCounts count(Segment part) = 0;
};

// Counts what follows contexts in a training stream, which it holds: the twin of
// ngramstat::ContextCounts.
class FollowersCounter {
  public:
    virtual ~FollowersCounter() = default;
    // See ContextCounts::count and ContextCounts::take; hashes ascend. Where memory is short, the
    // contexts are counted in several ranges. Throws DeviceMemoryError where the events of one
    // context do not fit.
    virtual FollowerTable count(const ContextKeys& keys, std::span<const std::uint64_t> hashes,
                                const Counting& counting, std::span<const std::uint64_t> candidates,
                                std::span<std::uint64_t> known) = 0;
};

class Gpu {
  public:
    virtual ~Gpu() = default;
    virtual std::string name() const = 0;
    virtual std::size_t memory_limit() const = 0;
    virtual std::size_t used_bytes() const = 0;
    virtual std::size_t peak_bytes() const = 0;
    // Waits for work that other libraries submitted, such as the one that made tokens on the
    // device.
    virtual void wait_for_others() = 0;

    virtual std::unique_ptr<PairCounter> pair_counter(const AnyStream& tokens, Index vocab_size,
                                                      const Documents& documents) = 0;
    // Tokens of every document's content, (documents x V), in the first channel.
    virtual std::shared_ptr<Counts> count_document_tokens(const AnyStream& tokens, Index vocab_size,
                                                          const Documents& documents) = 0;
    // `across`: also the pairs that are not inside the content of one document.
    virtual std::shared_ptr<PairStream> pair_stream(const AnyStream& tokens, Index vocab_size,
                                                    const Documents& documents, bool across) = 0;
    // Reads `documents` while it exists. Throws DeviceMemoryError where the stream and 10 bytes per
    // position do not fit.
    virtual std::unique_ptr<PairSummer> pair_summer(const AnyStream& tokens, Index vocab_size,
                                                    const Documents& documents) = 0;
    virtual std::unique_ptr<NgramCounter> ngram_counter(const AnyStream& tokens, Index vocab_size,
                                                        int max_context, const Documents& documents,
                                                        bool across) = 0;
    // The twin of ngramstat::KneserNey::add_training.
    virtual std::unique_ptr<HeldOutCounter> held_out_counter(const AnyStream& training,
                                                             const HeldOutTries& held_out) = 0;
    // Throws std::out_of_range for a token that is no symbol of the vocabulary, DeviceMemoryError
    // where the stream does not fit.
    virtual std::unique_ptr<FollowersCounter> followers_counter(const AnyStream& training,
                                                                const Vocabulary& vocabulary) = 0;
    // See ngramstat::suffix_array.
    virtual void suffix_array(const AnyStream& tokens, Index vocab_size, const SuffixOrder& order,
                              std::span<Index> suffixes, std::span<std::uint8_t> lcp) = 0;

    virtual std::unique_ptr<Block> block(std::span<const double> values) = 0;
    // left, right: (n_rows x kBlockSize) and (n_cols x kBlockSize); vocab_mask: one flag per row,
    // or empty.
    virtual std::unique_ptr<Operator> covariance(std::vector<std::shared_ptr<Term>> terms,
                                                 std::span<const double> left,
                                                 std::span<const double> right,
                                                 std::span<const std::uint8_t> vocab_mask) = 0;
};

// An emulated device with `memory_limit` bytes, whose thread blocks may share `shared_bytes`.
std::unique_ptr<Gpu> open_emulated(std::size_t memory_limit, std::size_t shared_bytes);

}  // namespace ngramstat::gpu
