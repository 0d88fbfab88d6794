// The twin of pairs/count_matrix.hpp: sparse counts in device memory and their products.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ngramstat/base/parallel.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"

namespace ngramstat::gpu {

// Compressed rows in device memory; columns ascend within a row.
struct Csr {
    Index rows = 0, cols = 0, nnz = 0;
    Buffer<Index> row_start;  // rows + 1
    Buffer<std::uint32_t> column, first, second;

    Csr() = default;
    Csr(Memory& memory, Index n_rows, Index n_cols, Index entries)
        : rows(n_rows),
          cols(n_cols),
          nnz(entries),
          row_start(memory, n_rows + 1),
          column(memory, entries),
          first(memory, entries),
          second(memory, entries) {}

    std::size_t bytes() const {
        return row_start.bytes() + column.bytes() + first.bytes() + second.bytes();
    }
};

// The same as plain pointers, for kernel bodies.
struct CsrView {
    const Index* row_start;
    const std::uint32_t *column, *first, *second;

    CsrView(const Csr& csr)
        : row_start(csr.row_start.data()),
          column(csr.column.data()),
          first(csr.first.data()),
          second(csr.second.data()) {}
};

// kBlockSize as an int, for the arithmetic of threads.
inline constexpr int kVectors = 8;
static_assert(kVectors == kBlockSize);

// out row = sum of the row's entries times x, by groups of kVectors threads, one vector each. A row
// may be a piece of one of the matrix.
struct RowProducts {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 128;
    static constexpr std::size_t kShared = kThreads * sizeof(double);

    CsrView counts;
    const Index* row_start;
    const double* x;
    double w0, w1;
    double* out;
    bool accumulate;

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        double* partial = at.shared_as<double>();
        if constexpr (kPhase == 0) {
            const int v = at.thread % kVectors, group = at.thread / kVectors;
            const Index end = row_start[at.block + 1];
            double sum = 0;
            for (Index e = row_start[at.block] + group; e < end; e += at.threads / kVectors) {
                const double weight = w0 * counts.first[e] + w1 * counts.second[e];
                sum += weight * x[static_cast<Index>(counts.column[e]) * kVectors + v];
            }
            partial[at.thread] = sum;
        } else if (at.thread < kVectors) {
            double sum = 0;
            for (int t = at.thread; t < at.threads; t += kVectors) sum += partial[t];
            double& to = out[at.block * kVectors + at.thread];
            to = accumulate ? to + sum : sum;
        }
    }
};

// Adds up the products of each row's pieces.
struct SumPiecesOfRows {
    const double* of_pieces;
    const Index* first_piece;  // of each row
    double* out;
    bool accumulate;

    NGRAMSTAT_HD void operator()(Index element) const {
        const Index row = element / kVectors, v = element % kVectors;
        double sum = accumulate ? out[element] : 0;
        for (Index piece = first_piece[row]; piece < first_piece[row + 1]; ++piece) {
            sum += of_pieces[piece * kVectors + v];
        }
        out[element] = sum;
    }
};

// x row = weight of the row times x row.
struct WeighRows {
    const double* weights;
    double* x;

    NGRAMSTAT_HD void operator()(Index element) const { x[element] *= weights[element / kVectors]; }
};

// Sums of both channels of a row, one row per block of threads.
struct RowSums {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 128;
    static constexpr std::size_t kShared = 2 * kThreads * sizeof(std::uint64_t);

    CsrView counts;
    Index rows;
    std::uint64_t* sums;  // (2, rows)

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* partial = at.shared_as<std::uint64_t>();
        if constexpr (kPhase == 0) {
            std::uint64_t a = 0, b = 0;
            for (Index e = counts.row_start[at.block] + at.thread;
                 e < counts.row_start[at.block + 1]; e += at.threads) {
                a += counts.first[e];
                b += counts.second[e];
            }
            partial[at.thread] = a;
            partial[at.threads + at.thread] = b;
        } else if (at.thread < 2) {
            std::uint64_t sum = 0;
            for (int t = 0; t < at.threads; ++t) sum += partial[at.thread * at.threads + t];
            sums[at.thread * rows + at.block] = sum;
        }
    }
};

// Entries of a's row times those of b in the same columns.
struct RowInnerProducts {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 128;
    static constexpr std::size_t kShared = kThreads * sizeof(double);

    CsrView a, b;
    double a0, a1, b0, b1;
    double* sums;  // one per row

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        double* partial = at.shared_as<double>();
        if constexpr (kPhase == 0) {
            const Index begin = b.row_start[at.block], n = b.row_start[at.block + 1] - begin;
            double sum = 0;
            for (Index i = a.row_start[at.block] + at.thread; i < a.row_start[at.block + 1];
                 i += at.threads) {
                const Index j = begin + first_not_below(b.column + begin, n, a.column[i]);
                if (j == begin + n || b.column[j] != a.column[i]) continue;
                sum += (a0 * a.first[i] + a1 * a.second[i]) * (b0 * b.first[j] + b1 * b.second[j]);
            }
            partial[at.thread] = sum;
        } else if (at.thread == 0) {
            double sum = 0;
            for (int t = 0; t < at.threads; ++t) sum += partial[t];
            sums[at.block] = sum;
        }
    }
};

struct NumberEntries {
    const std::uint32_t* column;
    std::uint32_t *keys, *numbers;

    NGRAMSTAT_HD void operator()(Index e) const {
        keys[e] = column[e];
        numbers[e] = static_cast<std::uint32_t>(e);
    }
};

struct TransposeEntries {
    CsrView from;
    Index rows;
    const std::uint32_t* numbers;
    std::uint32_t *column, *first, *second;

    NGRAMSTAT_HD void operator()(Index e) const {
        const std::uint32_t number = numbers[e];
        const Index row = first_above(from.row_start, rows + 1, static_cast<Index>(number)) - 1;
        column[e] = static_cast<std::uint32_t>(row);
        first[e] = from.first[number];
        second[e] = from.second[number];
    }
};

// A part that multiplies a block of vectors in device memory.
class TermOn : public Term {
  public:
    // The product with x; `accumulate` adds it to out instead of overwriting out.
    virtual void multiply_on_device(const double* x, double* out, bool transposed,
                                    bool accumulate) const = 0;
};

template <class Executor>
class CountsOn : public Counts {
  public:
    CountsOn(Executor& on, Csr&& csr) : on_(on), csr_(std::move(csr)) {
        require(csr_.nnz < Index{1} << 32, "more than 2^32 distinct pairs on the GPU");
    }

    Index n_rows() const override { return csr_.rows; }
    Index n_cols() const override { return csr_.cols; }
    Index nnz() const override { return csr_.nnz; }
    Index bytes() const override {
        const std::lock_guard<std::mutex> lock(mutex_);
        return static_cast<Index>(csr_.bytes() + (transposed_ ? transposed_->bytes() : 0));
    }
    std::array<std::vector<Count>, 2> row_sums() const override { return sums(csr_); }
    std::array<std::vector<Count>, 2> column_sums() const override { return sums(transposed()); }

    // See TermOn.
    void multiply_on_device(const double* x, std::array<double, 2> weights, double* out,
                            bool transposed, bool accumulate) const {
        const Csr& csr = transposed ? this->transposed() : csr_;
        const auto multiply = [&](Index rows, const Index* starts, double* to, bool adds) {
            on_.for_blocks(rows, RowProducts::kThreads, RowProducts::kShared,
                           RowProducts{csr, starts, x, weights[0], weights[1], to, adds});
        };
        const Pieces* pieces = transposed ? pieces_.get() : nullptr;
        if (pieces == nullptr) return multiply(csr.rows, csr.row_start.data(), out, accumulate);
        const Index n = pieces->start.size() - 1;
        Buffer<double> of_pieces(on_, n * kVectors);
        multiply(n, pieces->start.data(), of_pieces.data(), false);
        on_.for_each(csr.rows * kVectors,
                     SumPiecesOfRows{of_pieces.data(), pieces->first.data(), out, accumulate});
    }

    void multiply(std::span<const double> x, std::array<double, 2> weights, std::span<double> out,
                  bool transposed) const override {
        const auto active = on_.activate();
        Buffer<double> in(on_, static_cast<Index>(x.size()));
        Buffer<double> product(on_, static_cast<Index>(out.size()));
        on_.upload(in.data(), x.data(), in.size());
        multiply_on_device(in.data(), weights, product.data(), transposed, false);
        on_.download(out.data(), product.data(), product.size());
    }

    void multiply_gram(std::span<const double> x, std::span<const double> row_weights,
                       std::span<double> out) const override {
        require(static_cast<Index>(row_weights.size()) == csr_.rows, "one weight for each row");
        const auto active = on_.activate();
        const auto in = to_device(on_, x), weights = to_device(on_, row_weights);
        Buffer<double> rows(on_, csr_.rows * kBlockSize), product(on_, csr_.cols * kBlockSize);
        multiply_on_device(in.data(), {1.0, 0.0}, rows.data(), false, false);
        on_.for_each(rows.size(), WeighRows{weights.data(), rows.data()});
        multiply_on_device(rows.data(), {1.0, 0.0}, product.data(), true, false);
        on_.download(out.data(), product.data(), product.size());
    }

    double inner_product(const Counts& other, std::array<double, 2> weights,
                         std::array<double, 2> other_weights) const override {
        const auto active = on_.activate();
        const auto& b = dynamic_cast<const CountsOn&>(other);
        require(b.csr_.rows == csr_.rows && b.csr_.cols == csr_.cols,
                "counts of different shapes have no inner product");
        Buffer<double> sums(on_, csr_.rows);
        on_.for_blocks(csr_.rows, RowInnerProducts::kThreads, RowInnerProducts::kShared,
                       RowInnerProducts{csr_, b.csr_, weights[0], weights[1], other_weights[0],
                                        other_weights[1], sums.data()});
        std::vector<double> host(static_cast<std::size_t>(csr_.rows));
        on_.download(host.data(), sums.data(), csr_.rows);
        double total = 0;
        for (const double sum : host) total += sum;
        return total;
    }

    std::shared_ptr<Term> weighted(std::array<double, 2> weights) override {
        auto self = std::static_pointer_cast<const CountsOn>(shared_from_this());
        return std::make_shared<Weighted>(std::move(self), weights);
    }

    CountMatrix to_host(int threads) const override {
        const auto active = on_.activate();
        std::vector<Index> row_start(static_cast<std::size_t>(csr_.rows) + 1);
        CountEntries<std::uint32_t> all;
        for (auto* values : {&all.column, &all.first, &all.second}) {
            values->resize(static_cast<std::size_t>(csr_.nnz));
        }
        on_.download(row_start.data(), csr_.row_start.data(), csr_.rows + 1);
        on_.download(all.column.data(), csr_.column.data(), csr_.nnz);
        on_.download(all.first.data(), csr_.first.data(), csr_.nnz);
        on_.download(all.second.data(), csr_.second.data(), csr_.nnz);
        constexpr Index kBlocks = 256;
        const Index rows_of_block = std::max<Index>(1, (csr_.rows + kBlocks - 1) / kBlocks);
        const Index n_blocks = (csr_.rows + rows_of_block - 1) / rows_of_block;
        std::vector<CountBlock> blocks(static_cast<std::size_t>(n_blocks));
        parallel_for(n_blocks, threads, [&](Index b) {
            const Index begin = b * rows_of_block;
            const Index end = std::min(csr_.rows, begin + rows_of_block);
            CountBlock& block = blocks[static_cast<std::size_t>(b)];
            block.first_row = begin;
            block.row_start.resize(static_cast<std::size_t>(end - begin) + 1);
            const Index offset = row_start[static_cast<std::size_t>(begin)];
            for (Index r = begin; r <= end; ++r) {
                block.row_start[static_cast<std::size_t>(r - begin)] =
                    row_start[static_cast<std::size_t>(r)] - offset;
            }
            const Index last = row_start[static_cast<std::size_t>(end)];
            CountEntries<std::uint32_t> entries;
            entries.column.assign(all.column.begin() + offset, all.column.begin() + last);
            entries.first.assign(all.first.begin() + offset, all.first.begin() + last);
            entries.second.assign(all.second.begin() + offset, all.second.begin() + last);
            block.set_entries(entries);
        });
        CountMatrix matrix(csr_.rows, csr_.cols);
        for (auto& block : blocks) matrix.append(std::move(block));
        return matrix;
    }

  private:
    class Weighted : public TermOn {
      public:
        Weighted(std::shared_ptr<const CountsOn> counts, std::array<double, 2> weights)
            : counts_(std::move(counts)), weights_(weights) {}
        Index n_rows() const override { return counts_->n_rows(); }
        Index n_cols() const override { return counts_->n_cols(); }
        void multiply_on_device(const double* x, double* out, bool transposed,
                                bool accumulate) const override {
            counts_->multiply_on_device(x, weights_, out, transposed, accumulate);
        }

      private:
        std::shared_ptr<const CountsOn> counts_;
        std::array<double, 2> weights_;
    };

    // Rows of the transposed counts in pieces, so that a block of threads does not have to add up a
    // token of all documents by itself.
    struct Pieces {
        static constexpr Index kLongest = 1 << 13;

        Buffer<Index> start;  // of each piece, and the end
        Buffer<Index> first;  // piece of each row, and their number
    };

    // Computed at its first use: products with it need no additions in arbitrary order.
    const Csr& transposed() const {
        // The device first, as callers may hold it already: in the other order two would wait for
        // each other.
        const auto active = on_.activate();
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!transposed_) {
            transposed_ = transpose();
            // A row has at most as many entries as there are columns.
            if (csr_.rows > Pieces::kLongest) pieces_ = cut(*transposed_);
        }
        return *transposed_;
    }
    std::unique_ptr<Pieces> cut(const Csr& csr) const {
        std::vector<Index> row_start(static_cast<std::size_t>(csr.rows) + 1), start, first;
        on_.download(row_start.data(), csr.row_start.data(), csr.rows + 1);
        for (std::size_t row = 0; row + 1 < row_start.size(); ++row) {
            first.push_back(static_cast<Index>(start.size()));
            for (Index at = row_start[row]; at < row_start[row + 1]; at += Pieces::kLongest) {
                start.push_back(at);
            }
        }
        first.push_back(static_cast<Index>(start.size()));
        start.push_back(csr.nnz);
        return std::make_unique<Pieces>(Pieces{to_device(on_, std::span<const Index>(start)),
                                               to_device(on_, std::span<const Index>(first))});
    }
    Csr transpose() const {
        Csr result(on_, csr_.cols, csr_.rows, csr_.nnz);
        Buffer<std::uint32_t> keys(on_, csr_.nnz), numbers(on_, csr_.nnz);
        {
            Buffer<std::uint32_t> other_keys(on_, csr_.nnz), other_numbers(on_, csr_.nnz);
            on_.for_each(csr_.nnz, NumberEntries{csr_.column.data(), keys.data(), numbers.data()});
            on_.sort_pairs(keys, other_keys, numbers, other_numbers, csr_.nnz,
                           bits_below(static_cast<std::uint64_t>(std::max<Index>(csr_.cols, 1))));
        }
        on_.for_each(csr_.cols + 1, RowStarts<std::uint32_t, Index>{keys.data(), csr_.nnz, 0, 0,
                                                                    result.row_start.data()});
        on_.for_each(csr_.nnz,
                     TransposeEntries{csr_, csr_.rows, numbers.data(), result.column.data(),
                                      result.first.data(), result.second.data()});
        return result;
    }

    std::array<std::vector<Count>, 2> sums(const Csr& csr) const {
        const auto active = on_.activate();
        Buffer<std::uint64_t> sums(on_, 2 * csr.rows);
        on_.for_blocks(csr.rows, RowSums::kThreads, RowSums::kShared,
                       RowSums{csr, csr.rows, sums.data()});
        std::array<std::vector<Count>, 2> host;
        for (int c = 0; c < 2; ++c) {
            host[c].resize(static_cast<std::size_t>(csr.rows));
            on_.download(host[c].data(), sums.data() + c * csr.rows, csr.rows);
        }
        return host;
    }

    Executor& on_;
    Csr csr_;
    mutable std::mutex mutex_;
    mutable std::optional<Csr> transposed_;
    mutable std::unique_ptr<Pieces> pieces_;  // where rows of it are long
};

}  // namespace ngramstat::gpu
