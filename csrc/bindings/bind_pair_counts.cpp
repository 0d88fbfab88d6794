#include <memory>
#include <variant>

#include "arrays.hpp"
#include "bind.hpp"
#include "count_arrays.hpp"
#include "ngramstat/pairs/count_sums.hpp"
#include "ngramstat/pairs/document_shuffle.hpp"
#include "ngramstat/pairs/pair_counts.hpp"
#include "ngramstat/pairs/pair_tables.hpp"

namespace ngramstat::bindings {

namespace {

using Vectors = Array<double>;

// Memory that the counters of several streams and ranges use one after the other.
struct PairBuffer {
    EntryBuffer entries;
};

std::vector<std::pair<CountMatrix, CountMatrix>> to_pairs(std::vector<PairCounts>&& counts) {
    std::vector<std::pair<CountMatrix, CountMatrix>> result;
    for (auto& pair : counts) {
        result.emplace_back(std::move(pair.within), std::move(pair.across));
    }
    return result;
}

// Counts with tables for small vocabularies, otherwise with an index of positions whose type
// follows the stream's length. Python sees one class.
class PairCounter {
  public:
    template <class Token>
    PairCounter(const Array<Token>& tokens, Index vocab_size,
                std::shared_ptr<const Documents> documents, Index first, Index last, bool tables,
                int threads)
        : tokens_(tokens), documents_(std::move(documents)), vocab_size_(vocab_size) {
        const auto stream = as_span(tokens);
        const TokenRange range{first, last};
        const py::gil_scoped_release release;
        if (tables && pair_tables_fit(vocab_size)) {
            method_.emplace<PairTables<Token>>(stream, range, vocab_size, *documents_, threads);
        } else if (stream.size() <= std::size_t{1} << 32) {
            method_ = index_document_positions<Token, std::uint32_t>(stream, range, vocab_size,
                                                                     *documents_, threads);
        } else {
            method_ = index_document_positions<Token, std::uint64_t>(stream, range, vocab_size,
                                                                     *documents_, threads);
        }
    }

    std::vector<std::pair<CountMatrix, CountMatrix>> count(const std::vector<Index>& lags,
                                                           PairBuffer& buffer, int threads) {
        const py::gil_scoped_release release;
        return to_pairs(std::visit(
            [&](auto& method) { return count_by(method, lags, buffer, threads); }, method_));
    }

  private:
    template <class Token>
    std::vector<PairCounts> count_by(PairTables<Token>& tables, std::span<const Index> lags,
                                     PairBuffer& buffer, int threads) const {
        return tables.count(lags, buffer.entries, threads);
    }
    template <class Position>
    std::vector<PairCounts> count_by(const PositionIndex<Position>& index,
                                     std::span<const Index> lags, PairBuffer&, int threads) const {
        return std::visit(
            [&](const auto& tokens) {
                return count_pairs(as_span(tokens), index, vocab_size_, lags, threads);
            },
            tokens_);
    }

    // Kept alive: the tables refer to them.
    std::variant<Array<std::uint16_t>, Array<std::uint32_t>> tokens_;
    std::shared_ptr<const Documents> documents_;
    Index vocab_size_;
    std::variant<PositionIndex<std::uint32_t>, PositionIndex<std::uint64_t>,
                 PairTables<std::uint16_t>, PairTables<std::uint32_t>>
        method_;
};

py::tuple to_coo(const CountMatrix& matrix) {
    std::vector<Index> rows;
    std::vector<Index> columns;
    std::array<std::vector<Count>, 2> counts;
    {
        const py::gil_scoped_release release;
        const std::size_t nnz = static_cast<std::size_t>(matrix.nnz());
        rows.reserve(nnz);
        columns.reserve(nnz);
        counts[0].reserve(nnz);
        counts[1].assign(nnz, 0);
        for (const auto& block : matrix.blocks()) {
            const std::size_t offset = rows.size();
            for (Index r = 0; r < block.n_rows(); ++r) {
                rows.insert(rows.end(),
                            static_cast<std::size_t>(block.row_start[r + 1] - block.row_start[r]),
                            block.first_row + r);
            }
            block.with_entries([&](const auto& entries) {
                columns.insert(columns.end(), entries.column.begin(), entries.column.end());
                counts[0].insert(counts[0].end(), entries.first.begin(), entries.first.end());
                std::copy(entries.second.begin(), entries.second.end(),
                          counts[1].begin() + static_cast<std::ptrdiff_t>(offset));
            });
        }
    }
    const py::ssize_t nnz = static_cast<py::ssize_t>(rows.size());
    counts[0].insert(counts[0].end(), counts[1].begin(), counts[1].end());
    return py::make_tuple(to_array(std::move(rows)), to_array(std::move(columns)),
                          to_array(std::move(counts[0]), {2, nnz}));
}

CountMatrix from_rows(Index n_rows, Index n_cols, const Array<Index>& row_start,
                      const Array<std::uint32_t>& column, const Array<std::uint32_t>& first,
                      const Array<std::uint32_t>& second) {
    const CountRows rows{as_span(row_start), as_span(column), as_span(first), as_span(second)};
    const py::gil_scoped_release release;
    return matrix_of_rows(n_rows, n_cols, rows);
}

py::tuple to_rows(const CountMatrix& matrix) {
    CountArrays arrays;
    {
        const py::gil_scoped_release release;
        arrays = arrays_of(matrix);
    }
    return py::make_tuple(to_array(std::move(arrays.row_start)), to_array(std::move(arrays.column)),
                          to_array(std::move(arrays.first)), to_array(std::move(arrays.second)));
}

CountMatrix sum_of_matrices(const std::vector<const CountMatrix*>& matrices, int threads) {
    const py::gil_scoped_release release;
    return sum_of(matrices, threads);
}

template <class Token>
void bind_for(py::module_& m, py::class_<PairCounter>& counter) {
    m.def(
        "count_pairs_of_token",
        [](const Array<Token>& tokens, Index vocab_size, const Documents& documents, Index token,
           const std::vector<Index>& lags, int threads) {
            const auto stream = as_span(tokens);
            const py::gil_scoped_release release;
            return to_pairs(
                count_pairs_of_token(stream, vocab_size, documents, token, lags, threads));
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("documents"),
        py::arg("token"), py::arg("lags"), py::arg("threads"));
    counter.def(py::init<const Array<Token>&, Index, std::shared_ptr<const Documents>, Index, Index,
                         bool, int>(),
                py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("documents"),
                py::arg("first_token"), py::arg("last_token"), py::arg("tables"),
                py::arg("threads"));
    m.def(
        "token_counts",
        [](const Array<Token>& tokens, Index vocab_size, int threads) {
            const auto stream = as_span(tokens);
            std::vector<Index> counts;
            {
                const py::gil_scoped_release release;
                counts = token_counts(stream, vocab_size, threads);
            }
            return to_array(std::move(counts));
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("threads"));
    m.def(
        "count_document_tokens",
        [](const Array<Token>& tokens, Index vocab_size, const Documents& documents, int threads) {
            const auto stream = as_span(tokens);
            const py::gil_scoped_release release;
            return count_document_tokens(stream, vocab_size, documents, threads);
        },
        py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("documents"),
        py::arg("threads"));
    m.def(
        "shuffle_documents",
        [](const Array<Token>& tokens, const Documents& documents, std::uint64_t key,
           Index first_position, Array<Token>& out, int threads) {
            const auto stream = as_span(tokens);
            const std::span<Token> to = as_target(out);
            const py::gil_scoped_release release;
            shuffle_documents(stream, documents, key, first_position, to, threads);
        },
        py::arg("tokens").noconvert(), py::arg("documents"), py::arg("key"),
        py::arg("first_position"), py::arg("out").noconvert(), py::arg("threads"));
}

// out = the product with a block of vectors, where `multiply(x, out)` runs without the GIL.
template <class Multiply>
Vectors product(const Vectors& x, Index in_rows, Index out_rows, Multiply&& multiply) {
    require_block(x, in_rows);
    Vectors out = new_block(out_rows);
    const auto from = as_span(x);
    const auto to = as_target(out);
    {
        const py::gil_scoped_release release;
        multiply(from, to);
    }
    return out;
}

Vectors multiply(const CountMatrix& c, const Vectors& x, double w0, double w1, int threads) {
    return product(x, c.n_cols(), c.n_rows(),
                   [&](auto from, auto to) { c.multiply(from, {w0, w1}, to, threads); });
}

Vectors multiply_transposed(const CountMatrix& c, const Vectors& x, double w0, double w1,
                            int threads) {
    return product(x, c.n_rows(), c.n_cols(),
                   [&](auto from, auto to) { c.multiply_transposed(from, {w0, w1}, to, threads); });
}

Vectors multiply_gram(const CountMatrix& c, const Vectors& x, const Vectors& row_weights,
                      int threads) {
    const auto weights = as_span(row_weights);
    return product(x, c.n_cols(), c.n_cols(),
                   [&](auto from, auto to) { c.multiply_gram(from, weights, to, threads); });
}

Vectors multiply_transposed_by_class(const CountMatrix& c, const Vectors& x,
                                     const Array<std::uint8_t>& classes, Index n_classes,
                                     int threads) {
    if (x.ndim() != 2 || x.shape(1) != 4) throw std::invalid_argument("x must be (n_rows, 4)");
    Vectors out({static_cast<py::ssize_t>(n_classes), static_cast<py::ssize_t>(c.n_cols()),
                 py::ssize_t{4}});
    const auto from = as_span(x);
    const auto of_rows = as_span(classes);
    const auto to = as_target(out);
    {
        const py::gil_scoped_release release;
        c.multiply_transposed_by_class(from, of_rows, to, threads);
    }
    return out;
}

using Singles = Array<float>;

// out (k, out_rows, 16) = the products with k blocks of sixteen vectors, (k, in_rows, 16), where
// `multiply(blocks, out)` runs without the GIL.
template <class Multiply>
Singles single_product(const Singles& x, const Singles& weights, Index out_rows,
                       Multiply&& multiply) {
    if (x.ndim() != 3 || x.shape(2) != kSingleBlockSize) {
        throw std::invalid_argument("x must have shape (k, rows, 16)");
    }
    Singles out({x.shape(0), static_cast<py::ssize_t>(out_rows), x.shape(2)});
    const SingleBlocks blocks{as_span(x), as_span(weights)};
    const std::span<float> to = as_target(out);
    {
        const py::gil_scoped_release release;
        multiply(blocks, to);
    }
    return out;
}

Singles multiply_single(const CountMatrix& c, const Singles& x, const Singles& weights,
                        int threads) {
    return single_product(x, weights, c.n_rows(), [&](const auto& blocks, auto to) {
        c.multiply_single(blocks, to, threads);
    });
}

Singles multiply_transposed_single(const CountMatrix& c, const Singles& x, const Singles& weights,
                                   int threads) {
    return single_product(x, weights, c.n_cols(), [&](const auto& blocks, auto to) {
        c.multiply_transposed_single(blocks, to, threads);
    });
}

Singles multiply_rows_single(const CountMatrix& c, const Singles& x,
                             const Array<std::uint8_t>& block_of_row, int threads) {
    const auto vectors = as_span(x);
    const auto blocks = as_span(block_of_row);
    Singles out({c.n_rows(), kSingleBlockSize});
    const std::span<float> to(out.mutable_data(), static_cast<std::size_t>(out.size()));
    {
        const py::gil_scoped_release release;
        c.multiply_rows_single(vectors, blocks, to, threads);
    }
    return out;
}

Singles multiply_gram_single(const CountMatrix& c, const Singles& x, const Singles& weights,
                             const Vectors& row_weights, const Array<std::uint8_t>& channels,
                             int threads) {
    const auto rows = as_span(row_weights);
    const auto of_rows = as_span(channels);
    return single_product(x, weights, c.n_cols(), [&](const auto& blocks, auto to) {
        c.multiply_gram_single(blocks, rows, of_rows, to, threads);
    });
}

double inner_product(const CountMatrix& a, const CountMatrix& b, std::pair<double, double> wa,
                     std::pair<double, double> wb, int threads) {
    const py::gil_scoped_release release;
    return a.inner_product(b, {wa.first, wa.second}, {wb.first, wb.second}, threads);
}

// Of the rows or of the columns.
template <auto kSums>
py::array_t<Count> count_sums(const CountMatrix& counts, int threads) {
    std::array<std::vector<Count>, 2> sums;
    {
        const py::gil_scoped_release release;
        sums = (counts.*kSums)(threads);
    }
    return two_channels(std::move(sums));
}

void bind_count_matrix(py::module_& m) {
    py::class_<CountMatrix>(m, "CountMatrix")
        .def(py::init<Index, Index>(), py::arg("n_rows"), py::arg("n_cols"))
        .def_property_readonly(
            "shape", [](const CountMatrix& c) { return py::make_tuple(c.n_rows(), c.n_cols()); })
        .def_property_readonly("nnz", &CountMatrix::nnz)
        .def_property_readonly("nbytes", &CountMatrix::bytes)
        .def(
            "append", [](CountMatrix& self, CountMatrix& other) { self.append(std::move(other)); },
            py::arg("other"), "Appends the rows of `other`, which is emptied.")
        .def("row_sums", &count_sums<&CountMatrix::row_sums>, py::arg("threads") = 1)
        .def("column_sums", &count_sums<&CountMatrix::column_sums>, py::arg("threads") = 1)
        .def("to_coo", &to_coo, "(rows, columns, counts of shape (2, nnz))")
        .def_static("from_rows", &from_rows, py::arg("n_rows"), py::arg("n_cols"),
                    py::arg("row_start").noconvert(), py::arg("column").noconvert(),
                    py::arg("first").noconvert(), py::arg("second").noconvert(),
                    "The matrix that `to_rows` gives; an empty `second` is all zero.")
        .def("to_rows", &to_rows, "(row_start, column, first, second), row after row")
        .def("multiply", &multiply, py::arg("x").noconvert(), py::arg("first"), py::arg("second"),
             py::arg("threads"))
        .def("multiply_gram", &multiply_gram, py::arg("x").noconvert(),
             py::arg("row_weights").noconvert(), py::arg("threads"))
        .def("multiply_transposed", &multiply_transposed, py::arg("x").noconvert(),
             py::arg("first"), py::arg("second"), py::arg("threads"))
        .def("multiply_transposed_by_class", &multiply_transposed_by_class,
             py::arg("x").noconvert(), py::arg("classes").noconvert(), py::arg("n_classes"),
             py::arg("threads"))
        .def("multiply_single", &multiply_single, py::arg("x").noconvert(),
             py::arg("weights").noconvert(), py::arg("threads"))
        .def("multiply_rows_single", &multiply_rows_single, py::arg("x").noconvert(),
             py::arg("block_of_row").noconvert(), py::arg("threads"))
        .def("multiply_transposed_single", &multiply_transposed_single, py::arg("x").noconvert(),
             py::arg("weights").noconvert(), py::arg("threads"))
        .def("multiply_gram_single", &multiply_gram_single, py::arg("x").noconvert(),
             py::arg("weights").noconvert(), py::arg("row_weights").noconvert(),
             py::arg("channels").noconvert(), py::arg("threads"))
        .def("inner_product", &inner_product, py::arg("other"), py::arg("weights"),
             py::arg("other_weights"), py::arg("threads"));
}

void bind_pair_counter(py::module_& m) {
    m.def("sum_of_matrices", &sum_of_matrices, py::arg("matrices"), py::arg("threads"),
          "The sum of count matrices of one shape.");
    m.def("pair_tables_fit", &pair_tables_fit, py::arg("vocab_size"),
          "Whether the pairs of a vocabulary of this size are counted in tables.");
    py::class_<PairBuffer>(m, "PairBuffer")
        .def(py::init<>())
        .def("release", [](PairBuffer& buffer) { EntryBuffer().swap(buffer.entries); });
    py::class_<PairCounter> counter(m, "PairCounter");
    bind_for<std::uint16_t>(m, counter);
    bind_for<std::uint32_t>(m, counter);
    counter.def("count", &PairCounter::count, py::arg("lags"), py::arg("buffer"),
                py::arg("threads"), "One (within, across) pair of count matrices per lag.");
}

}  // namespace

void bind_pair_counts(py::module_& m) {
    m.attr("BLOCK_SIZE") = kBlockSize;
    m.attr("SINGLE_BLOCK_SIZE") = kSingleBlockSize;
    bind_count_matrix(m);
    bind_pair_counter(m);
}

}  // namespace ngramstat::bindings
