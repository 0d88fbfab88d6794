#include <memory>
#include <optional>

#include "arrays.hpp"
#include "bind.hpp"
#include "count_arrays.hpp"
#include "dlpack.hpp"
#include "ngram_tables.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"

#ifdef NGRAMSTAT_WITH_CUDA
#include "ngramstat/cuda/device.hpp"
#endif

namespace ngramstat::bindings {

namespace {

using Values = Array<double>;

// A device and its number, -1 for the emulated one.
struct Device {
    std::shared_ptr<gpu::Gpu> gpu;
    int number;
};

#ifndef NGRAMSTAT_WITH_CUDA
[[noreturn]] void no_cuda() {
    throw DeviceError(
        "this build of ngramstat has no CUDA: install it where nvcc is on PATH, with "
        "-C cmake.define.NGRAMSTAT_CUDA=ON");
}
#endif

// A `tokens` argument: an array in host memory, or a tensor on this device.
gpu::AnyStream stream_of(const Device& device, const py::object& tokens) {
    if (py::isinstance<Array<std::uint16_t>>(tokens)) {
        const auto array = tokens.cast<Array<std::uint16_t>>();
        return gpu::Stream<std::uint16_t>{array.data(), static_cast<Index>(array.size()), false};
    }
    if (py::isinstance<Array<std::uint32_t>>(tokens)) {
        const auto array = tokens.cast<Array<std::uint32_t>>();
        return gpu::Stream<std::uint32_t>{array.data(), static_cast<Index>(array.size()), false};
    }
    const auto& tensor = tokens.cast<const DeviceTokens&>();
    const int number = tensor.on_cuda() ? tensor.device() : -1;
    if (number != device.number) {
        throw std::invalid_argument("tokens are on another device than the one that counts");
    }
    device.gpu->wait_for_others();
    return tensor.stream();
}

// Python's objects keep everything alive that they point to, so that any order of deletion works.
struct GpuCounts {
    Device on;
    std::shared_ptr<gpu::Counts> counts;
};
struct GpuTerm {
    Device on;
    py::object tokens;  // that the term reads without a copy
    std::shared_ptr<gpu::Term> term;
};
struct GpuPairStream {
    Device on;
    py::object tokens;
    std::shared_ptr<gpu::PairStream> stream;
};
struct GpuBlock {
    std::shared_ptr<gpu::Gpu> gpu;
    std::unique_ptr<gpu::Block> block;
};
struct GpuOperator {
    std::vector<py::object> tokens;
    std::shared_ptr<gpu::Gpu> gpu;
    std::unique_ptr<gpu::Operator> op;
};
struct GpuPairCounter {
    Device on;
    py::object tokens;
    std::unique_ptr<gpu::PairCounter> counter;
};
struct GpuPairSummer {
    Device on;
    py::object tokens, documents;  // both are read where they are
    Index vocab_size;
    std::unique_ptr<gpu::PairSummer> summer;
};
struct GpuFollowersCounter {
    std::shared_ptr<gpu::Gpu> gpu;
    py::object tokens;
    std::unique_ptr<gpu::FollowersCounter> counter;
};
struct GpuNgramCounter {
    std::shared_ptr<gpu::Gpu> gpu;
    py::object tokens;
    std::unique_ptr<gpu::NgramCounter> counter;
    Index n_clusters;
    int max_context;
};

// Of the rows or of the columns; threads are those of counts in host memory.
template <auto kSums>
py::array_t<Count> sums_on_gpu(const GpuCounts& c, [[maybe_unused]] int threads) {
    return two_channels((*c.counts.*kSums)());
}

void bind_counts(py::module_& m) {
    const auto product = [](const GpuCounts& c, const Values& x, double w0, double w1,
                            bool transposed) {
        const Index rows = transposed ? c.counts->n_cols() : c.counts->n_rows();
        require_block(x, transposed ? c.counts->n_rows() : c.counts->n_cols());
        Values out = new_block(rows);
        const auto in = as_span(x);
        const auto to = as_target(out);
        {
            const py::gil_scoped_release release;
            c.counts->multiply(in, {w0, w1}, to, transposed);
        }
        return out;
    };
    py::class_<GpuCounts>(m, "GpuCounts")
        .def_property_readonly("shape",
                               [](const GpuCounts& c) {
                                   return py::make_tuple(c.counts->n_rows(), c.counts->n_cols());
                               })
        .def_property_readonly("gpu", [](const GpuCounts& c) { return c.on; })
        .def_property_readonly("nnz", [](const GpuCounts& c) { return c.counts->nnz(); })
        .def_property_readonly("nbytes", [](const GpuCounts& c) { return c.counts->bytes(); })
        .def("row_sums", &sums_on_gpu<&gpu::Counts::row_sums>, py::arg("threads") = 1)
        .def("column_sums", &sums_on_gpu<&gpu::Counts::column_sums>, py::arg("threads") = 1)
        .def(
            "to_host",
            [](const GpuCounts& c, int threads) {
                const py::gil_scoped_release release;
                return c.counts->to_host(threads);
            },
            py::arg("threads"), "The same counts in host memory.")
        .def(
            "to_coo",
            [](const GpuCounts& c) { return py::cast(c.counts->to_host(1)).attr("to_coo")(); },
            "(rows, columns, counts of shape (2, nnz)), in host memory.")
        .def(
            "multiply",
            [product](const GpuCounts& c, const Values& x, double w0, double w1, int) {
                return product(c, x, w0, w1, false);
            },
            py::arg("x").noconvert(), py::arg("first"), py::arg("second"), py::arg("threads"))
        .def(
            "multiply_transposed",
            [product](const GpuCounts& c, const Values& x, double w0, double w1, int) {
                return product(c, x, w0, w1, true);
            },
            py::arg("x").noconvert(), py::arg("first"), py::arg("second"), py::arg("threads"))
        .def(
            "multiply_gram",
            [](const GpuCounts& c, const Values& x, const Values& row_weights, int) {
                require_block(x, c.counts->n_cols());
                Values out = new_block(c.counts->n_cols());
                const auto in = as_span(x), weights = as_span(row_weights);
                const auto to = as_target(out);
                {
                    const py::gil_scoped_release release;
                    c.counts->multiply_gram(in, weights, to);
                }
                return out;
            },
            py::arg("x").noconvert(), py::arg("row_weights").noconvert(), py::arg("threads"))
        .def(
            "weighted",
            [](const GpuCounts& c, double w0, double w1) {
                return GpuTerm{c.on, py::none(), c.counts->weighted({w0, w1})};
            },
            py::arg("first"), py::arg("second"), "A term of an operator.")
        .def(
            "inner_product",
            [](const GpuCounts& a, const GpuCounts& b, std::pair<double, double> wa,
               std::pair<double, double> wb, int) {
                const py::gil_scoped_release release;
                return a.counts->inner_product(*b.counts, {wa.first, wa.second},
                                               {wb.first, wb.second});
            },
            py::arg("other"), py::arg("weights"), py::arg("other_weights"), py::arg("threads"));
}

void bind_vectors(py::module_& m) {
    py::class_<GpuBlock>(m, "GpuBlock")
        .def_property_readonly("rows", [](const GpuBlock& b) { return b.block->rows(); })
        .def("to_host",
             [](const GpuBlock& b) {
                 Values out = new_block(b.block->rows());
                 const auto to = as_target(out);
                 {
                     const py::gil_scoped_release release;
                     b.block->to_host(to);
                 }
                 return out;
             })
        .def("copy", [](const GpuBlock& b) { return GpuBlock{b.gpu, b.block->copy()}; })
        .def("project_out", [](GpuBlock& b, const GpuBlock& q) { b.block->project_out(*q.block); })
        .def(
            "subtract",
            [](GpuBlock& b, const GpuBlock& q, const Values& c) {
                b.block->subtract(*q.block, as_span(c));
            },
            py::arg("q"), py::arg("coefficients").noconvert())
        .def(
            "transform", [](GpuBlock& b, const Values& c) { b.block->transform(as_span(c)); },
            py::arg("coefficients").noconvert())
        .def("gram", [](const GpuBlock& b) {
            Values out = new_block(kBlockSize);
            const auto gram = b.block->gram();
            std::copy(gram.begin(), gram.end(), out.mutable_data());
            return out;
        });
    py::class_<GpuOperator>(m, "GpuOperator")
        .def("multiply",
             [](const GpuOperator& o, const GpuBlock& x) {
                 const py::gil_scoped_release release;
                 return GpuBlock{o.gpu, o.op->multiply(*x.block, false)};
             })
        .def("multiply_transposed", [](const GpuOperator& o, const GpuBlock& x) {
            const py::gil_scoped_release release;
            return GpuBlock{o.gpu, o.op->multiply(*x.block, true)};
        });
}

void bind_streams(py::module_& m) {
    py::class_<GpuTerm>(m, "GpuTerm").def_property_readonly("gpu", [](const GpuTerm& t) {
        return t.on;
    });
    py::class_<GpuPairStream>(m, "GpuPairStream")
        .def_property_readonly("gpu", [](const GpuPairStream& s) { return s.on; })
        .def(
            "counts",
            [](const GpuPairStream& s, Index lag, bool by_right) {
                std::array<std::vector<Count>, 2> counted;
                {
                    const py::gil_scoped_release release;
                    counted = s.stream->counts(lag, by_right);
                }
                return two_channels(std::move(counted));
            },
            py::arg("lag"), py::arg("by_right"),
            "Pairs of each half by left or by right token, (2, V).")
        .def(
            "weighted",
            [](const GpuPairStream& s, Index lag, double w0, double w1) {
                return GpuTerm{s.on, s.tokens, s.stream->weighted(lag, {w0, w1})};
            },
            py::arg("lag"), py::arg("first"), py::arg("second"), "A term of an operator.");
}

py::tuple sum_by_document(GpuPairSummer& s, Index lag, const Values& u, const Values& v,
                          bool across) {
    const auto left = as_span(u), right = as_span(v);
    PairSums sums;
    {
        const py::gil_scoped_release release;
        sums = s.summer->sum_by_document(lag, left, right, across);
    }
    return py::make_tuple(to_array(std::move(sums.pairs)), to_array(std::move(sums.product)),
                          to_array(std::move(sums.left)), to_array(std::move(sums.right)));
}

py::tuple multiply_by_class(GpuPairSummer& s, Index lag, const Values& u, const Values& v,
                            bool across, PairLabel by) {
    const auto left = as_span(u), right = as_span(v);
    ClassProducts products;
    {
        const py::gil_scoped_release release;
        products = s.summer->multiply_by_class(lag, left, right, across, by);
    }
    const std::vector<py::ssize_t> shape{
        static_cast<py::ssize_t>(products.left.size()) / s.vocab_size, s.vocab_size};
    return py::make_tuple(to_array(std::move(products.left), shape),
                          to_array(std::move(products.right), shape),
                          to_array(std::move(products.counts.left), shape),
                          to_array(std::move(products.counts.right), shape));
}

py::array_t<double> bilinear_forms(GpuPairSummer& s, Index lag, const Array<float>& a,
                                   const Array<float>& b, bool across, PairLabel by) {
    const auto left = as_span(a), right = as_span(b);
    std::vector<double> sums;
    {
        const py::gil_scoped_release release;
        sums = s.summer->bilinear_forms_by_class(lag, left, right, across, by);
    }
    const auto block = static_cast<py::ssize_t>(kBlockSize);
    const auto classes = static_cast<py::ssize_t>(sums.size()) / (block * block);
    return to_array(std::move(sums), {classes, block, block});
}

void bind_pair_summer(py::module_& m) {
    py::class_<GpuPairSummer>(m, "GpuPairSummer")
        .def_property_readonly("documents", [](const GpuPairSummer& s) { return s.documents; })
        .def("sum_by_document", &sum_by_document, py::arg("lag"), py::arg("u").noconvert(),
             py::arg("v").noconvert(), py::arg("across"))
        .def("multiply_by_class", &multiply_by_class, py::arg("lag"), py::arg("u").noconvert(),
             py::arg("v").noconvert(), py::arg("across"), py::arg("by"))
        .def("bilinear_forms_by_class", &bilinear_forms, py::arg("lag"), py::arg("a").noconvert(),
             py::arg("b").noconvert(), py::arg("across"), py::arg("by"));
}

void bind_counters(py::module_& m) {
    py::class_<GpuPairCounter>(m, "GpuPairCounter")
        .def_property_readonly("lags_at_once",
                               [](const GpuPairCounter& c) { return c.counter->lags_at_once(); })
        .def(
            "count",
            [](GpuPairCounter& c, const std::vector<Index>& lags) {
                std::vector<gpu::CountsOfPairs> counted;
                {
                    const py::gil_scoped_release release;
                    counted = c.counter->count(lags);
                }
                std::vector<std::pair<GpuCounts, GpuCounts>> result;
                for (auto& [within, across] : counted) {
                    result.push_back({GpuCounts{c.on, within}, GpuCounts{c.on, across}});
                }
                return result;
            },
            py::arg("lags"), "One (within, across) pair of counts per lag.");
    py::class_<GpuNgramCounter>(m, "GpuNgramCounter")
        .def_property_readonly(
            "token_counts",
            [](const GpuNgramCounter& c) { return to_array(c.counter->token_counts()); })
        .def_property_readonly(
            "positions_that_fit",
            [](const GpuNgramCounter& c) { return c.counter->positions_that_fit(); })
        .def(
            "count",
            [](GpuNgramCounter& c, Index first, Index last) {
                NgramCounts counts;
                {
                    const py::gil_scoped_release release;
                    counts = c.counter->count(TokenRange{first, last});
                }
                return to_tuple(std::move(counts), c.n_clusters, c.max_context);
            },
            py::arg("first_token"), py::arg("last_token"));
}

Device open_cuda(int device, [[maybe_unused]] std::size_t memory_limit) {
#ifdef NGRAMSTAT_WITH_CUDA
    return Device{cuda::open(device, memory_limit), device};
#else
    no_cuda();
    return Device{nullptr, device};
#endif
}

GpuPairCounter pair_counter(const Device& d, const py::object& tokens, Index vocab_size,
                            const Documents& documents) {
    const auto stream = stream_of(d, tokens);
    std::unique_ptr<gpu::PairCounter> counter;
    {
        const py::gil_scoped_release release;
        counter = d.gpu->pair_counter(stream, vocab_size, documents);
    }
    return {d, tokens, std::move(counter)};
}

GpuCounts count_document_tokens(const Device& d, const py::object& tokens, Index vocab_size,
                                const Documents& documents) {
    const auto stream = stream_of(d, tokens);
    std::shared_ptr<gpu::Counts> counts;
    {
        const py::gil_scoped_release release;
        counts = d.gpu->count_document_tokens(stream, vocab_size, documents);
    }
    return {d, std::move(counts)};
}

GpuPairStream pair_stream(const Device& d, const py::object& tokens, Index vocab_size,
                          const Documents& documents, bool across) {
    const auto stream = stream_of(d, tokens);
    std::shared_ptr<gpu::PairStream> pairs;
    {
        const py::gil_scoped_release release;
        pairs = d.gpu->pair_stream(stream, vocab_size, documents, across);
    }
    return {d, tokens, std::move(pairs)};
}

GpuPairSummer pair_summer(const Device& d, const py::object& tokens, Index vocab_size,
                          const py::object& documents) {
    const auto stream = stream_of(d, tokens);
    const auto& spans = documents.cast<const Documents&>();
    std::unique_ptr<gpu::PairSummer> summer;
    {
        const py::gil_scoped_release release;
        summer = d.gpu->pair_summer(stream, vocab_size, spans);
    }
    return {d, tokens, documents, vocab_size, std::move(summer)};
}

GpuNgramCounter ngram_counter(const Device& d, const py::object& tokens, Index vocab_size,
                              int max_context, const Documents& documents, bool across) {
    const auto stream = stream_of(d, tokens);
    std::unique_ptr<gpu::NgramCounter> counter;
    {
        const py::gil_scoped_release release;
        counter = d.gpu->ngram_counter(stream, vocab_size, max_context, documents, across);
    }
    return {d.gpu, tokens, std::move(counter), documents.n_clusters(), max_context};
}

// Trains one model on each part of a stream.
template <class Token>
void train_kneser_ney(const Device& d, KneserNey<Token>& model, const Array<Token>& training,
                      const Array<Index>& parts) {
    if (parts.ndim() != 2 || parts.shape(1) != 2) {
        throw std::invalid_argument("parts must have shape (models, 2)");
    }
    const gpu::Stream<Token> stream{training.data(), static_cast<Index>(training.size()), false};
    const Index* bounds = parts.data();
    const Index n_models = parts.shape(0);
    const py::gil_scoped_release release;
    model.reset(n_models, 1);
    const auto counter =
        d.gpu->held_out_counter(stream, {model.held_out().contexts(), model.held_out().ngrams(),
                                         model.vocab_size(), model.order(), model.stop_token()});
    for (Index part = 0; part < n_models; ++part) {
        model.set_counts(part, counter->count(Segment{bounds[2 * part], bounds[2 * part + 1]}));
    }
}

GpuFollowersCounter followers_counter(const Device& d, const py::object& tokens, Index vocab_size,
                                      Index stop_token) {
    const auto stream = stream_of(d, tokens);
    std::unique_ptr<gpu::FollowersCounter> counter;
    {
        const py::gil_scoped_release release;
        counter = d.gpu->followers_counter(stream, Vocabulary{vocab_size, stop_token});
    }
    return {d.gpu, tokens, std::move(counter)};
}

void count_followers(GpuFollowersCounter& c, ContextCounts& counts, Index first_event,
                     Index first_leave_one_out, int continuation_offset, int threads,
                     const Array<std::uint64_t>& candidates, Array<std::uint64_t>& known) {
    const auto searched = as_span(candidates);
    const auto found = as_target(known);
    const Counting counting{first_event, first_leave_one_out, continuation_offset, 1, threads};
    const py::gil_scoped_release release;
    const std::vector<std::uint64_t> hashes = counts.hashes();
    counts.take(c.counter->count(counts.keys(), hashes, counting, searched, found),
                continuation_offset > 0, threads);
}

py::tuple sort_suffixes(const Device& d, const py::object& tokens, Index vocab_size, int depth,
                        bool backward, Index stop_token) {
    const auto stream = stream_of(d, tokens);
    const Index n = std::visit([](const auto& s) { return s.size; }, stream);
    py::array_t<Index> suffixes(n);
    py::array_t<std::uint8_t> lcp(n);
    const std::span<Index> order(suffixes.mutable_data(), static_cast<std::size_t>(n));
    const std::span<std::uint8_t> shared(lcp.mutable_data(), static_cast<std::size_t>(n));
    {
        const py::gil_scoped_release release;
        d.gpu->suffix_array(stream, vocab_size, SuffixOrder{depth, backward, stop_token}, order,
                            shared);
    }
    return py::make_tuple(suffixes, lcp);
}

GpuBlock upload_block(const Device& d, const Values& values) {
    if (values.ndim() != 2) throw std::invalid_argument("a block has two dimensions");
    require_block(values, values.shape(0));
    return {d.gpu, d.gpu->block(as_span(values))};
}

GpuOperator covariance(const Device& d, const std::vector<const GpuTerm*>& terms,
                       const Values& left, const Values& right,
                       const std::optional<Array<std::uint8_t>>& vocab_mask) {
    std::vector<std::shared_ptr<gpu::Term>> shared;
    std::vector<py::object> tokens;
    for (const GpuTerm* term : terms) {
        if (term->on.gpu != d.gpu) throw std::invalid_argument("a term is on another device");
        shared.push_back(term->term);
        tokens.push_back(term->tokens);
    }
    const auto mask = vocab_mask ? as_span(*vocab_mask) : std::span<const std::uint8_t>();
    return {std::move(tokens), d.gpu,
            d.gpu->covariance(std::move(shared), as_span(left), as_span(right), mask)};
}

void bind_device(py::module_& m) {
    py::class_<Device>(m, "Gpu")
        .def(py::init(&open_cuda), py::arg("device"), py::arg("memory_limit"))
        .def_static(
            "emulated",
            [](std::size_t memory_limit, std::size_t shared_bytes) {
                return Device{gpu::open_emulated(memory_limit, shared_bytes), -1};
            },
            py::arg("memory_limit"), py::arg("shared_bytes") = std::size_t{227} << 10,
            "A device whose kernels run on the CPU, one thread after the other: for tests.")
        .def_property_readonly("name", [](const Device& d) { return d.gpu->name(); })
        .def_property_readonly("number", [](const Device& d) { return d.number; })
        .def_property_readonly("memory_limit",
                               [](const Device& d) { return d.gpu->memory_limit(); })
        .def_property_readonly("used_bytes", [](const Device& d) { return d.gpu->used_bytes(); })
        .def_property_readonly("peak_bytes", [](const Device& d) { return d.gpu->peak_bytes(); })
        .def("pair_counter", &pair_counter, py::arg("tokens"), py::arg("vocab_size"),
             py::arg("documents"))
        .def("count_document_tokens", &count_document_tokens, py::arg("tokens"),
             py::arg("vocab_size"), py::arg("documents"))
        .def("pair_stream", &pair_stream, py::arg("tokens"), py::arg("vocab_size"),
             py::arg("documents"), py::arg("across"))
        .def("pair_summer", &pair_summer, py::arg("tokens"), py::arg("vocab_size"),
             py::arg("documents"))
        .def("ngram_counter", &ngram_counter, py::arg("tokens"), py::arg("vocab_size"),
             py::arg("max_context"), py::arg("documents"), py::arg("across"))
        .def("train_kneser_ney", &train_kneser_ney<std::uint16_t>, py::arg("model"),
             py::arg("training").noconvert(), py::arg("parts").noconvert())
        .def("train_kneser_ney", &train_kneser_ney<std::uint32_t>, py::arg("model"),
             py::arg("training").noconvert(), py::arg("parts").noconvert())
        .def("followers_counter", &followers_counter, py::arg("tokens"), py::arg("vocab_size"),
             py::arg("stop_token"))
        .def("suffix_array", &sort_suffixes, py::arg("tokens"), py::arg("vocab_size"),
             py::arg("depth"), py::arg("backward"), py::arg("stop_token"))
        .def("block", &upload_block, py::arg("values").noconvert())
        .def("covariance", &covariance, py::arg("terms"), py::arg("left").noconvert(),
             py::arg("right").noconvert(), py::arg("vocab_mask"));
}

void bind_followers_counter(py::module_& m) {
    py::class_<GpuFollowersCounter>(m, "GpuFollowersCounter")
        .def("count", &count_followers, py::arg("counts"), py::arg("first_event"),
             py::arg("first_leave_one_out"), py::arg("continuation_offset"), py::arg("threads"),
             py::arg("candidates").noconvert(), py::arg("known").noconvert());
}

void bind_device_tokens(py::module_& m) {
    py::class_<DeviceTokens>(m, "DeviceTokens")
        .def(py::init<const py::object&>(), py::arg("tensor"))
        .def("__len__", &DeviceTokens::size)
        .def_property_readonly("device",
                               [](const DeviceTokens& t) { return t.on_cuda() ? t.device() : -1; });
}

}  // namespace

void bind_gpu(py::module_& m) {
    m.def(
        "cuda_devices",
        [] {
            py::list devices;
#ifdef NGRAMSTAT_WITH_CUDA
            for (const auto& device : cuda::devices()) {
                py::dict entry;
                entry["name"] = device.name;
                entry["memory_bytes"] = device.memory_bytes;
                entry["compute_capability"] = py::make_tuple(device.major, device.minor);
                devices.append(entry);
            }
#endif
            return devices;
        },
        "CUDA devices this process sees; empty in a build without CUDA.");
    m.def(
        "cuda_free_bytes",
        []([[maybe_unused]] int device) {
#ifdef NGRAMSTAT_WITH_CUDA
            return cuda::free_bytes(device);
#else
            no_cuda();
            return std::size_t{0};
#endif
        },
        py::arg("device"), "Bytes of a device's memory that are free now.");
    bind_counts(m);
    bind_streams(m);
    bind_vectors(m);
    bind_counters(m);
    bind_pair_summer(m);
    bind_followers_counter(m);
    bind_device(m);
    bind_device_tokens(m);
}

}  // namespace ngramstat::bindings
