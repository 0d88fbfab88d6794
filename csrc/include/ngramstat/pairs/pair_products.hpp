// Products of the pairs at one lag with vectors, straight from the stream: no table of counts, one
// pass over the tokens each.
#pragma once

#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"
#include "ngramstat/base/vector_block.hpp"
#include "ngramstat/pairs/labelled_segments.hpp"

namespace ngramstat {

// The pairs (x_i, x_{i+lag}) of a stream. Tokens must be below vocab_size: all functions here throw
// std::out_of_range for the tokens of a pair that are not, and std::invalid_argument for a lag
// below 1 and for documents that do not cover the stream.
template <class Token>
struct PairsAtLag {
    std::span<const Token> tokens;
    Index vocab_size;
    Index lag;
};

// Sums over one or two kinds of pairs come from one pass: kind 0 are the pairs of the segments,
// kind 1, where there are vectors for it, those of them that are inside one document.

// Per-document sums over pairs of one lag, for the bootstrap over documents: n_kinds x n_documents,
// left and right n_documents.
struct PairSums {
    std::vector<Count> pairs;
    std::vector<double> product;  // sum of u[x_i] * v[x_{i+lag}]
    std::vector<double> left;     // sum of u[x_i] over the pairs of kind 0
    std::vector<double> right;    // sum of v[x_{i+lag}] over the same
};

// u, v: n_kinds x vocab_size doubles. A pair counts for the document of its left token; `across` as
// in LabelledSegments.
template <class Token>
PairSums sum_pairs_by_document(const PairsAtLag<Token>& pairs, std::span<const double> u,
                               std::span<const double> v, const Documents& documents, bool across,
                               int threads);

// The pairs of each label ("class") by their left and by their right token, n_classes x vocab_size.
struct ClassCounts {
    std::vector<Count> left;
    std::vector<Count> right;
};
// `tokens_by_class`, if it is not empty, is what `count_tokens_by_class` counts of the same tokens
// and segments: the pairs then follow from the tokens near the ends of the segments.
template <class Token>
ClassCounts count_pairs_by_class(const PairsAtLag<Token>& pairs, const LabelledSegments& segments,
                                 std::span<const Count> tokens_by_class, int threads);
// The tokens in the segments of each class, n_classes x vocab_size.
template <class Token>
std::vector<Count> count_tokens_by_class(std::span<const Token> tokens, Index vocab_size,
                                         const LabelledSegments& segments, int threads);

// The pairs of each class multiplied with a vector from either side. All arrays n_kinds x n_classes
// x vocab_size; class k uses u, v of set k / (n_classes / n_sets).
//   left        sum of v[x_{i+lag}] by x_i             J v
//   right       sum of u[x_i] by x_{i+lag}             J^T u
//   counts      pairs by x_i and by x_{i+lag}
struct ClassProducts {
    std::vector<double> left;
    std::vector<double> right;
    ClassCounts counts;
};

// u, v: n_sets x vocab_size x n_kinds doubles, n_sets a divisor of n_classes. Sums run over the
// segments of a class in their order, whatever the threads.
template <class Token>
ClassProducts multiply_pairs_by_class(const PairsAtLag<Token>& pairs, Index n_kinds,
                                      std::span<const double> u, std::span<const double> v,
                                      const LabelledSegments& segments, int threads);

// For the pairs of each kind and class, with kBlockSize vectors a_0 .. a_7 on the left and b_0 ..
// b_7 on the right (n_sets x vocab_size x n_kinds x kBlockSize numbers, sets as above), the
// sums of a_c[x_i] * b_k[x_{i+lag}] for all c and k: n_kinds x n_classes x kBlockSize x kBlockSize.
// The sums over pairs are of integers, so that they do not depend on where a text is cut.
template <class Token>
std::vector<double> bilinear_forms_by_class(const PairsAtLag<Token>& pairs, Index n_kinds,
                                            std::span<const float> a,
                                            std::span<const std::int16_t> b,
                                            const LabelledSegments& segments, int threads);

// The pairs of all segments, each weighted by its class, multiplied with a block of vectors:
// out[x_i] (or, transposed, out[x_{i+lag}]) adds weight * x of the other token. It needs no table
// of pairs, only scratch of at most 16 copies of out.
//   x, out         vocab_size x kBlockSize, row-major; out is overwritten
//   class_weights  n_classes doubles
// Sums run in an order fixed by the segments and vocab_size, whatever the threads.
template <class Token>
void multiply_pairs(const PairsAtLag<Token>& pairs, std::span<const double> x,
                    std::span<const double> class_weights, const LabelledSegments& segments,
                    bool transposed, std::span<double> out, int threads);

}  // namespace ngramstat
