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

// Per-document sums over pairs of one lag, for the bootstrap over documents.
struct PairSums {
    std::vector<Count> pairs;
    std::vector<double> product;  // sum of u[x_i] * v[x_{i+lag}]
    std::vector<double> left;     // sum of u[x_i]
    std::vector<double> right;    // sum of v[x_{i+lag}]
};

// u, v: vocab_size doubles. A pair counts for the document of its left token; `across` as in
// LabelledSegments.
template <class Token>
PairSums sum_pairs_by_document(const PairsAtLag<Token>& pairs, std::span<const double> u,
                               std::span<const double> v, const Documents& documents, bool across,
                               int threads);

// The pairs of each label ("class") multiplied with a vector from either side. All vectors
// n_classes x vocab_size, row-major; those of class k use u, v of set k / (n_classes / n_sets).
//   left        sum of v[x_{i+lag}] by x_i             J v, (n_classes x V)
//   right       sum of u[x_i] by x_{i+lag}             J^T u
//   left_count, right_count   pairs by x_i and by x_{i+lag}
struct ClassProducts {
    std::vector<double> left;
    std::vector<double> right;
    std::vector<Count> left_count;
    std::vector<Count> right_count;
};

// u, v: n_sets x vocab_size doubles, n_sets a divisor of n_classes. Sums run over the segments of a
// class in their order, whatever the threads. Memory: 32 bytes per class and vocabulary item.
template <class Token>
ClassProducts multiply_pairs_by_class(const PairsAtLag<Token>& pairs, std::span<const double> u,
                                      std::span<const double> v, const LabelledSegments& segments,
                                      int threads);

// For the pairs of each class, with kBlockSize vectors a_0 .. a_7 on the left and b_0 .. b_7 on the
// right (n_sets x vocab_size x kBlockSize floats, sets as above; at most kBlockSize classes a set),
// sums:
//   [0][k]  sum of a_k[x_i] * b_k[x_{i+lag}]
//   [1][k]  sum of (a_0 + .. + a_7)[x_i] * b_k[x_{i+lag}]
//   [2][k]  sum of a_k[x_i] * (b_0 + .. + b_7)[x_{i+lag}]
//   [3][k]  sum of a_c[x_i] * b_k[x_{i+lag}], c the number of the class within its set
//   [4][k]  sum of a_k[x_i] * b_c[x_{i+lag}]
// (n_classes x kBilinearSums x kBlockSize). The vectors are read at random; as floats they stay in
// the second-level cache. Products and sums are of doubles.
inline constexpr Index kBilinearSums = 5;
template <class Token>
std::vector<double> bilinear_sums_by_class(const PairsAtLag<Token>& pairs, std::span<const float> a,
                                           std::span<const float> b,
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
