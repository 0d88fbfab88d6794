// Products of count matrices with blocks of vectors.
#include <algorithm>
#include <array>

#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/pairs/count_matrix.hpp"
#include "ngramstat/pairs/count_rows.hpp"

namespace ngramstat {

namespace {

// Rows of a Gram product at a time: so few that its second half finds their entries in the cache.
constexpr Index kGramRows = 16;

// Products of rows [begin, end) of one block with kBlockSize vectors. Row 0 of the block is row
// `first_row` of the vectors.
template <class Integer>
struct Multiply {
    template <int kBytes>
    static void run(const Rows<Integer>& rows, Index begin, Index end, Index first_row,
                    const double* x, double w0, double w1, double* out) {
        for (Index r = begin; r < end; ++r) {
            VectorBlock<kBytes> sum{};
            rows.for_entries(r, w0, w1, [&](Index column, double value) {
                VectorBlock<kBytes> row;
                row.load(x + column * kBlockSize);
                sum.add_product(value, row);
            });
            sum.store(out + (first_row + r) * kBlockSize);
        }
    }
};

template <class Integer>
struct Scatter {
    template <int kBytes>
    static void run(const Rows<Integer>& rows, Index begin, Index end, Index first_row,
                    const double* x, double w0, double w1, double* out) {
        for (Index r = begin; r < end; ++r) {
            VectorBlock<kBytes> row;
            row.load(x + (first_row + r) * kBlockSize);
            rows.for_entries(r, w0, w1, [&](Index column, double value) {
                double* target = out + column * kBlockSize;
                VectorBlock<kBytes> sum;
                sum.load(target);
                sum.add_product(value, row);
                sum.store(target);
            });
        }
    }
};

// Products in single precision of rows [begin, end) of one block with sixteen vectors. `weights`
// has a weight of channel 0 for each vector, then one of channel 1. Of kChannels = 1, all counts of
// channel 1 are zero.
template <int kBytes, int kChannels, class Integer>
void multiply_channels(const Rows<Integer>& rows, Index begin, Index end, Index first_row,
                       const float* x, const float* weights, float* out) {
    using Row = VectorBlock<kBytes, float>;
    Row first_weight, second_weight;
    first_weight.load(weights);
    second_weight.load(weights + kSingleBlockSize);
    for (Index r = begin; r < end; ++r) {
        // Sums of even and of odd entries: one chain of additions would wait for its results.
        Row first{}, first_odd{}, second{}, second_odd{};
        const auto add = [&](Index column, float count, float other, Row& one, Row& two) {
            Row row;
            row.load(x + column * kSingleBlockSize);
            one.add_product(count, row);
            if constexpr (kChannels == 2) two.add_product(other, row);
        };
        rows.for_counts(
            r, [&](const auto* column, const float* counts, const float* others, Index n) {
                Index i = 0;
                for (; i + 2 <= n; i += 2) {
                    add(column[i], counts[i], others[i], first, second);
                    add(column[i + 1], counts[i + 1], others[i + 1], first_odd, second_odd);
                }
                if (i < n) add(column[i], counts[i], others[i], first, second);
            });
        first.add(first_odd);
        second.add(second_odd);
        first.multiply_by(first_weight);
        second.multiply_by(second_weight);
        first.add(second);
        first.store(out + (first_row + r) * kSingleBlockSize);
    }
}

template <int kBytes, int kChannels, class Integer>
void scatter_channels(const Rows<Integer>& rows, Index begin, Index end, Index first_row,
                      const float* x, const float* weights, float* out) {
    using Row = VectorBlock<kBytes, float>;
    Row first_weight, second_weight;
    first_weight.load(weights);
    second_weight.load(weights + kSingleBlockSize);
    for (Index r = begin; r < end; ++r) {
        Row first, second;
        first.load(x + (first_row + r) * kSingleBlockSize);
        second = first;
        first.multiply_by(first_weight);
        second.multiply_by(second_weight);
        rows.for_counts(r,
                        [&](const auto* column, const float* counts, const float* others, Index n) {
                            for (Index i = 0; i < n; ++i) {
                                float* target = out + Index{column[i]} * kSingleBlockSize;
                                Row sum;
                                sum.load(target);
                                sum.add_product(counts[i], first);
                                if constexpr (kChannels == 2) sum.add_product(others[i], second);
                                sum.store(target);
                            }
                        });
    }
}

template <class Integer>
struct MultiplySingle {
    template <int kBytes>
    static void run(const Rows<Integer>& rows, Index begin, Index end, Index first_row,
                    const float* x, const float* weights, float* out) {
        if (rows.entries.second.empty()) {
            multiply_channels<kBytes, 1>(rows, begin, end, first_row, x, weights, out);
        } else {
            multiply_channels<kBytes, 2>(rows, begin, end, first_row, x, weights, out);
        }
    }
};

template <class Integer>
struct ScatterSingle {
    template <int kBytes>
    static void run(const Rows<Integer>& rows, Index begin, Index end, Index first_row,
                    const float* x, const float* weights, float* out) {
        if (rows.entries.second.empty()) {
            scatter_channels<kBytes, 1>(rows, begin, end, first_row, x, weights, out);
        } else {
            scatter_channels<kBytes, 2>(rows, begin, end, first_row, x, weights, out);
        }
    }
};

// The weights by which a product has the counts of channel 0 alone.
constexpr auto kFirstChannel = [] {
    std::array<float, 2 * kSingleBlockSize> weights{};
    std::fill_n(weights.begin(), kSingleBlockSize, 1.0F);
    return weights;
}();

// A copy of vectors whose rows are read at random.
template <class Real>
ScratchTables<Real> in_huge_pages(std::span<const Real> vectors) {
    ScratchTables<Real> copy(1, static_cast<Index>(vectors.size()));
    std::copy(vectors.begin(), vectors.end(), copy[0]);
    return copy;
}

// One of the products, for both widths of entries.
template <template <class> class Loop>
struct Product {
    typename BuiltFor<Loop<std::uint16_t>>::Function narrow =
        built_for_level<Loop<std::uint16_t>>();
    typename BuiltFor<Loop<std::uint32_t>>::Function wide = built_for_level<Loop<std::uint32_t>>();

    // `arguments` are those of the loop from the vectors on.
    template <class... Arguments>
    void operator()(const CountBlock& block, Index begin, Index end, Index first_row,
                    Arguments... arguments) const {
        block.with_entries([&]<class Integer>(const CountEntries<Integer>& entries) {
            const Rows<Integer> rows{entries, block.row_start.data()};
            if constexpr (sizeof(Integer) == 2) {
                narrow(rows, begin, end, first_row, arguments...);
            } else {
                wide(rows, begin, end, first_row, arguments...);
            }
        });
    }
};

}  // namespace

void CountMatrix::multiply(std::span<const double> x, std::array<double, 2> weights,
                           std::span<double> out, int threads) const {
    require_complete();
    require(static_cast<Index>(x.size()) == n_cols_ * kBlockSize &&
                static_cast<Index>(out.size()) == n_rows_ * kBlockSize,
            "multiply: x must be (n_cols, 8) and out (n_rows, 8)");
    const Product<Multiply> multiply_rows;
    const auto vectors = in_huge_pages(x);
    parallel_for(static_cast<Index>(blocks_.size()), threads, [&](Index b) {
        multiply_rows(blocks_[b], 0, blocks_[b].n_rows(), blocks_[b].first_row, vectors[0],
                      weights[0], weights[1], out.data());
    });
}

void CountMatrix::multiply_transposed(std::span<const double> x, std::array<double, 2> weights,
                                      std::span<double> out, int threads) const {
    require_complete();
    require(static_cast<Index>(x.size()) == n_rows_ * kBlockSize &&
                static_cast<Index>(out.size()) == n_cols_ * kBlockSize,
            "multiply_transposed: x must be (n_rows, 8) and out (n_cols, 8)");
    const Product<Scatter> scatter_rows;
    sum_over_rows(out, threads, [&](Index first_row, Index last_row, double* copy) {
        for_blocks(first_row, last_row, [&](const CountBlock& block, Index begin, Index end) {
            scatter_rows(block, begin, end, block.first_row, x.data(), weights[0], weights[1],
                         copy);
        });
    });
}

void CountMatrix::multiply_gram(std::span<const double> x, std::span<const double> row_weights,
                                std::span<double> out, int threads) const {
    require_complete();
    require(x.size() == out.size() && static_cast<Index>(x.size()) == n_cols_ * kBlockSize &&
                static_cast<Index>(row_weights.size()) == n_rows_,
            "multiply_gram: x and out must be (n_cols, 8), row_weights (n_rows)");
    const Product<Multiply> multiply_rows;
    const Product<Scatter> scatter_rows;
    const auto vectors = in_huge_pages(x);
    sum_over_rows(out, threads, [&](Index first_row, Index last_row, double* copy) {
        std::array<double, kGramRows * kBlockSize> per_row;
        for_row_groups(
            first_row, last_row, row_weights, [&](const CountBlock& block, Index begin, Index end) {
                multiply_rows(block, begin, end, -begin, vectors[0], 1.0, 0.0, per_row.data());
                for (Index r = begin; r < end; ++r) {
                    for (Index v = 0; v < kBlockSize; ++v) {
                        per_row[(r - begin) * kBlockSize + v] *= row_weights[block.first_row + r];
                    }
                }
                scatter_rows(block, begin, end, -begin, per_row.data(), 1.0, 0.0, copy);
            });
    });
}

template <class Visit>
void CountMatrix::for_row_groups(Index first_row, Index last_row,
                                 std::span<const double> row_weights, Visit&& visit) const {
    for_blocks(first_row, last_row, [&](const CountBlock& block, Index begin, Index end) {
        for (Index r = begin; r < end;) {
            Index last = r;
            while (last < end && last - r < kGramRows &&
                   row_weights[block.first_row + last] != 0.0) {
                ++last;
            }
            if (last > r) visit(block, r, last);
            r = std::max(last, r + 1);
        }
    });
}

template <class Real, class Scatter>
void CountMatrix::sum_over_rows(std::span<Real> out, int threads, Scatter&& scatter) const {
    // Each run of rows adds to its own copy of out; the copies are summed in order.
    const auto bounds = row_runs(n_cols_ <= (1 << 16) ? 16 : 4);
    const Index runs = static_cast<Index>(bounds.size()) - 1;
    const std::size_t size = out.size();
    if (runs == 0) {
        std::fill(out.begin(), out.end(), Real{0});  // no rows
        return;
    }
    ScratchTables<Real> partial(runs, static_cast<Index>(size));
    parallel_for(runs, threads, [&](Index run) {
        std::fill_n(partial[run], size, Real{0});
        scatter(bounds[run], bounds[run + 1], partial[run]);
    });
    constexpr Index kSlice = 1 << 14;
    const Index slices = (static_cast<Index>(size) + kSlice - 1) / kSlice;
    parallel_for(slices, threads, [&](Index slice) {
        const std::size_t begin = static_cast<std::size_t>(slice * kSlice);
        const std::size_t end = std::min(size, begin + static_cast<std::size_t>(kSlice));
        std::copy(partial[0] + begin, partial[0] + end, out.data() + begin);
        for (Index run = 1; run < runs; ++run) {
            for (std::size_t i = begin; i < end; ++i) out[i] += partial[run][i];
        }
    });
}

void CountMatrix::multiply_transposed_by_class(std::span<const double> x,
                                               std::span<const std::uint8_t> classes,
                                               std::span<double> out, int threads) const {
    require_complete();
    constexpr Index kColumns = 4;
    const std::size_t of_class = static_cast<std::size_t>(n_cols_ * kColumns);
    require(static_cast<Index>(x.size()) == n_rows_ * kColumns &&
                static_cast<Index>(classes.size()) == n_rows_ && out.size() % of_class == 0,
            "multiply_transposed_by_class: x must be (n_rows, 4), classes (n_rows)");
    parallel_for(static_cast<Index>(out.size() / of_class), threads, [&](Index k) {
        double* sums = out.data() + static_cast<std::size_t>(k) * of_class;
        std::fill_n(sums, of_class, 0.0);
        for (const auto& block : blocks_) {
            block.with_entries([&]<class Integer>(const CountEntries<Integer>& entries) {
                const Rows<Integer> rows{entries, block.row_start.data()};
                for (Index r = 0; r < block.n_rows(); ++r) {
                    const Index row = block.first_row + r;
                    if (classes[row] != k) continue;
                    const double* of_row = x.data() + row * kColumns;
                    rows.for_entries(r, 1.0, 0.0, [&](Index column, double value) {
                        double* to = sums + column * kColumns;
                        for (Index c = 0; c < kColumns; ++c) to[c] += value * of_row[c];
                    });
                }
            });
        }
    });
}

void CountMatrix::multiply_single(const SingleBlocks& blocks, std::span<float> out,
                                  int threads) const {
    require_complete();
    blocks.require_sizes(n_cols_, n_rows_, out.size());
    const Product<MultiplySingle> multiply_rows;
    const auto vectors = in_huge_pages(blocks.vectors);
    parallel_for(static_cast<Index>(blocks_.size()), threads, [&](Index b) {
        // The entries of a block of rows stay in the cache from one block of vectors to the next.
        for (Index k = 0; k < blocks.size(); ++k) {
            multiply_rows(blocks_[b], 0, blocks_[b].n_rows(), blocks_[b].first_row,
                          vectors[0] + k * n_cols_ * kSingleBlockSize, blocks.weights_of(k),
                          out.data() + k * n_rows_ * kSingleBlockSize);
        }
    });
}

void CountMatrix::multiply_rows_single(std::span<const float> x,
                                       std::span<const std::uint8_t> block_of_row,
                                       std::span<float> out, int threads) const {
    require_complete();
    const std::size_t of_block = static_cast<std::size_t>(n_cols_ * kSingleBlockSize);
    require(x.size() % of_block == 0 &&
                out.size() == static_cast<std::size_t>(n_rows_ * kSingleBlockSize),
            "multiply_rows_single: x must be (k, n_cols, 16) and out (n_rows, 16)");
    require(static_cast<Index>(block_of_row.size()) == n_rows_ &&
                std::all_of(block_of_row.begin(), block_of_row.end(),
                            [&](auto k) { return k * of_block < x.size(); }),
            "multiply_rows_single: block_of_row must be (n_rows), each below the number of blocks");
    const Product<MultiplySingle> multiply_rows;
    const auto vectors = in_huge_pages(x);
    parallel_for(static_cast<Index>(blocks_.size()), threads, [&](Index b) {
        const CountBlock& block = blocks_[b];
        for (Index r = 0; r < block.n_rows(); ++r) {
            const std::size_t k = block_of_row[block.first_row + r];
            multiply_rows(block, r, r + 1, block.first_row, vectors[0] + k * of_block,
                          kFirstChannel.data(), out.data());
        }
    });
}

void CountMatrix::multiply_transposed_single(const SingleBlocks& blocks, std::span<float> out,
                                             int threads) const {
    require_complete();
    blocks.require_sizes(n_rows_, n_cols_, out.size());
    const Product<ScatterSingle> scatter_rows;
    sum_over_rows(out, threads, [&](Index first_row, Index last_row, float* copy) {
        for_blocks(first_row, last_row, [&](const CountBlock& block, Index begin, Index end) {
            for (Index k = 0; k < blocks.size(); ++k) {
                scatter_rows(block, begin, end, block.first_row, blocks.vectors_of(k, n_rows_),
                             blocks.weights_of(k), copy + k * n_cols_ * kSingleBlockSize);
            }
        });
    });
}

void CountMatrix::multiply_gram_single(const SingleBlocks& blocks,
                                       std::span<const double> row_weights,
                                       std::span<const std::uint8_t> channels, std::span<float> out,
                                       int threads) const {
    require_complete();
    blocks.require_sizes(n_cols_, n_cols_, out.size());
    require(static_cast<Index>(row_weights.size()) == n_rows_ &&
                static_cast<Index>(channels.size()) == n_rows_ &&
                std::all_of(channels.begin(), channels.end(), [](auto c) { return c < 2; }),
            "multiply_gram_single: row_weights and channels (0 or 1) must be (n_rows)");
    const Product<MultiplySingle> multiply_rows;
    const Product<ScatterSingle> scatter_rows;
    const auto vectors = in_huge_pages(blocks.vectors);
    sum_over_rows(out, threads, [&](Index first_row, Index last_row, float* copy) {
        std::array<float, kGramRows * kSingleBlockSize> per_row;
        for_row_groups(
            first_row, last_row, row_weights, [&](const CountBlock& block, Index begin, Index end) {
                for (Index k = 0; k < blocks.size(); ++k) {
                    multiply_rows(block, begin, end, -begin,
                                  vectors[0] + k * n_cols_ * kSingleBlockSize, kFirstChannel.data(),
                                  per_row.data());
                    for (Index r = begin; r < end; ++r) {
                        const Index row = block.first_row + r;
                        const float* weights =
                            blocks.weights_of(k) + channels[row] * kSingleBlockSize;
                        const float weight = static_cast<float>(row_weights[row]);
                        for (Index v = 0; v < kSingleBlockSize; ++v) {
                            per_row[(r - begin) * kSingleBlockSize + v] *= weight * weights[v];
                        }
                    }
                    scatter_rows(block, begin, end, -begin, per_row.data(), kFirstChannel.data(),
                                 copy + k * n_cols_ * kSingleBlockSize);
                }
            });
    });
}

}  // namespace ngramstat
