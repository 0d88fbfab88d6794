// Blocks of vectors in device memory, and the products that a Krylov space is made of.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "ngramstat/gpu/count_matrix.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"

namespace ngramstat::gpu {

// Pairs of vectors, one of each block.
inline constexpr int kVectorPairs = kVectors * kVectors;

// Sums of a^T b over stretches of rows, one thread per pair of vectors.
struct PartialGrams {
    static constexpr int kPhases = 1;
    static constexpr Index kRows = 128;

    const double *a, *b;
    Index rows;
    double* partial;  // (stretches, 64)

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        const int i = at.thread / kVectors, j = at.thread % kVectors;
        const Index begin = at.block * kRows;
        const Index end = begin + kRows < rows ? begin + kRows : rows;
        double sum = 0;
        for (Index r = begin; r < end; ++r) {
            sum += a[r * kVectors + i] * b[r * kVectors + j];
        }
        partial[at.block * kVectorPairs + at.thread] = sum;
    }
};

struct SumGrams {
    const double* partial;
    Index stretches;
    double* gram;

    NGRAMSTAT_HD void operator()(Index pair) const {
        double sum = 0;
        for (Index s = 0; s < stretches; ++s) sum += partial[s * kVectorPairs + pair];
        gram[pair] = sum;
    }
};

// x -= q C, one thread per element.
struct SubtractProduct {
    const double *q, *coefficients;
    double* x;

    NGRAMSTAT_HD void operator()(Index element) const {
        const Index row = element / kVectors, v = element % kVectors;
        double sum = 0;
        for (int k = 0; k < kVectors; ++k) {
            sum += q[row * kVectors + k] * coefficients[k * kVectors + v];
        }
        x[element] -= sum;
    }
};

// x = x C, one thread per row.
struct TransformRows {
    const double* coefficients;
    double* x;

    NGRAMSTAT_HD void operator()(Index row) const {
        double before[kVectors];
        for (int k = 0; k < kVectors; ++k) before[k] = x[row * kVectors + k];
        for (int v = 0; v < kVectors; ++v) {
            double sum = 0;
            for (int k = 0; k < kVectors; ++k) {
                sum += before[k] * coefficients[k * kVectors + v];
            }
            x[row * kVectors + v] = sum;
        }
    }
};

// Copies the rows of the mask; the others become zero.
struct MaskRows {
    const std::uint8_t* mask;
    const double* from;
    double* to;

    NGRAMSTAT_HD void operator()(Index element) const {
        to[element] = mask[element / kVectors] != 0 ? from[element] : 0.0;
    }
};

template <class Executor>
class BlockOn : public Block {
  public:
    BlockOn(Executor& on, Index rows) : on_(on), rows_(rows), values_(on, rows * kBlockSize) {}

    Index rows() const override { return rows_; }
    double* data() const { return values_.data(); }
    void to_host(std::span<double> out) const override {
        const auto active = on_.activate();
        require(static_cast<Index>(out.size()) == values_.size(), "a block has another size");
        on_.download(out.data(), values_.data(), values_.size());
    }
    std::unique_ptr<Block> copy() const override {
        const auto active = on_.activate();
        auto result = std::make_unique<BlockOn>(on_, rows_);
        on_.copy(result->data(), data(), values_.size());
        return result;
    }
    void project_out(const Block& q) override {
        const auto active = on_.activate();
        const Buffer<double> overlap = product_with(of(q));
        on_.for_each(values_.size(), SubtractProduct{of(q).data(), overlap.data(), data()});
    }
    void subtract(const Block& q, std::span<const double> coefficients) override {
        const auto active = on_.activate();
        const Buffer<double> on_device = coefficients_on_device(coefficients);
        on_.for_each(values_.size(), SubtractProduct{of(q).data(), on_device.data(), data()});
    }
    void transform(std::span<const double> coefficients) override {
        const auto active = on_.activate();
        const Buffer<double> on_device = coefficients_on_device(coefficients);
        on_.for_each(rows_, TransformRows{on_device.data(), data()});
    }
    std::array<double, 64> gram() const override {
        const auto active = on_.activate();
        const Buffer<double> product = product_with(*this);
        std::array<double, 64> host;
        on_.download(host.data(), product.data(), kVectorPairs);
        return host;
    }
    // q^T x in device memory.
    Buffer<double> product_with(const BlockOn& q) const {
        const Index stretches = (rows_ + PartialGrams::kRows - 1) / PartialGrams::kRows;
        Buffer<double> partial(on_, stretches * kVectorPairs), product(on_, kVectorPairs);
        on_.for_blocks(stretches, kVectorPairs, 0,
                       PartialGrams{q.data(), data(), rows_, partial.data()});
        on_.for_each(kVectorPairs, SumGrams{partial.data(), stretches, product.data()});
        return product;
    }

  private:
    const BlockOn& of(const Block& other) const {
        const auto& block = dynamic_cast<const BlockOn&>(other);
        require(block.rows_ == rows_, "blocks have different numbers of rows");
        return block;
    }
    Buffer<double> coefficients_on_device(std::span<const double> coefficients) const {
        require(coefficients.size() == kVectorPairs, "coefficients must have shape (8, 8)");
        Buffer<double> on_device(on_, kVectorPairs);
        on_.upload(on_device.data(), coefficients.data(), kVectorPairs);
        return on_device;
    }

    Executor& on_;
    Index rows_;
    Buffer<double> values_;
};

template <class Executor>
class OperatorOn : public Operator {
  public:
    OperatorOn(Executor& on, std::vector<std::shared_ptr<Term>> terms, std::span<const double> left,
               std::span<const double> right, std::span<const std::uint8_t> vocab_mask)
        : on_(on),
          terms_(std::move(terms)),
          left_(on, static_cast<Index>(left.size()) / kBlockSize),
          right_(on, static_cast<Index>(right.size()) / kBlockSize),
          vocab_mask_(on, static_cast<Index>(vocab_mask.size())) {
        for (const auto& term : terms_) {
            require(term->n_rows() == left_.rows() && term->n_cols() == right_.rows(),
                    "terms of an operator must have its shape");
        }
        require(vocab_mask.empty() ||
                    (left_.rows() == right_.rows() && vocab_mask_.size() == left_.rows()),
                "one flag for each vocabulary item");
        on_.upload(left_.data(), left.data(), left_.rows() * kBlockSize);
        on_.upload(right_.data(), right.data(), right_.rows() * kBlockSize);
        on_.upload(vocab_mask_.data(), vocab_mask.data(), vocab_mask_.size());
    }

    std::unique_ptr<Block> multiply(const Block& x, bool transposed) const override {
        const auto active = on_.activate();
        const auto& vectors = dynamic_cast<const BlockOn<Executor>&>(x);
        const auto& from = transposed ? left_ : right_;
        const auto& to = transposed ? right_ : left_;
        require(vectors.rows() == from.rows(), "a block has another number of rows");
        std::unique_ptr<BlockOn<Executor>> masked;
        if (vocab_mask_.size() > 0) {
            masked = std::make_unique<BlockOn<Executor>>(on_, vectors.rows());
            on_.for_each(vectors.rows() * kBlockSize,
                         MaskRows{vocab_mask_.data(), vectors.data(), masked->data()});
        }
        const auto& in = masked ? *masked : vectors;
        auto out = std::make_unique<BlockOn<Executor>>(on_, to.rows());
        on_.clear(out->data(), to.rows() * kBlockSize);
        for (const auto& term : terms_) {
            dynamic_cast<const TermOn&>(*term).multiply_on_device(in.data(), out->data(),
                                                                  transposed, true);
        }
        const Buffer<double> overlap = in.product_with(from);
        on_.for_each(to.rows() * kBlockSize,
                     SubtractProduct{to.data(), overlap.data(), out->data()});
        if (vocab_mask_.size() > 0) {
            on_.for_each(to.rows() * kBlockSize,
                         MaskRows{vocab_mask_.data(), out->data(), out->data()});
        }
        return out;
    }

  private:
    Executor& on_;
    std::vector<std::shared_ptr<Term>> terms_;
    BlockOn<Executor> left_, right_;
    Buffer<std::uint8_t> vocab_mask_;
};

}  // namespace ngramstat::gpu
