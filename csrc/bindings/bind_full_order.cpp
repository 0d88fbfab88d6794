#include <cerrno>
#include <system_error>

#ifndef _WIN32
#include <unistd.h>
#endif

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/base/checksum.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/suffixes/full_order.hpp"

namespace ngramstat::bindings {

namespace {

// A text with the arrays that it looks at.
template <class Token>
struct HeldText {
    Array<Token> tokens;
    Array<Index> document_ends;
    SuffixText<Token> text;

    HeldText(Array<Token> of_tokens, Index vocab_size, int depth, Index stop_token,
             Array<Index> ends)
        : tokens(std::move(of_tokens)),
          document_ends(std::move(ends)),
          text{as_span(tokens), vocab_size, depth, stop_token, as_span(document_ends)} {
        text.check();
    }
};

SuffixSink sink_of(std::span<std::uint32_t> array) {
    return [array](Index rank, std::span<const std::uint32_t> suffixes) {
        const auto first = static_cast<std::size_t>(rank);
        require(first + suffixes.size() <= array.size(),
                "there must be one suffix per position of the range");
        std::copy(suffixes.begin(), suffixes.end(), array.subspan(first).begin());
    };
}

// Writes to an open file, where the first suffix stands at `offset`.
SuffixSink sink_of([[maybe_unused]] int file, [[maybe_unused]] Index offset) {
#ifdef _WIN32
    throw std::runtime_error("files cannot be written by several threads on this system");
#else
    return [file, offset](Index rank, std::span<const std::uint32_t> suffixes) {
        auto bytes = std::as_bytes(suffixes);
        auto at = static_cast<off_t>(offset + rank * Index{sizeof(std::uint32_t)});
        while (!bytes.empty()) {
            const ssize_t written = ::pwrite(file, bytes.data(), bytes.size(), at);
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) throw std::system_error(errno, std::generic_category());
            bytes = bytes.subspan(static_cast<std::size_t>(written));
            at += written;
        }
    };
#endif
}

template <class Token>
void bind_for(py::module_& m, py::class_<SampleRanks>& sample, const char* name) {
    using Text = HeldText<Token>;
    py::class_<Text>(m, name)
        .def(py::init<Array<Token>, Index, int, Index, Array<Index>>(),
             py::arg("tokens").noconvert(), py::arg("vocab_size"), py::arg("depth"),
             py::arg("stop_token"), py::arg("document_ends").noconvert())
        .def(
            "sort",
            [](const Text& self, Index first_token, Index last_token, const SampleRanks* ranks,
               Array<std::uint32_t> suffixes, int threads) {
                const std::span<std::uint32_t> out(suffixes.mutable_data(),
                                                   static_cast<std::size_t>(suffixes.size()));
                const py::gil_scoped_release release;
                return sort_suffixes(self.text, TokenRange{first_token, last_token}, ranks,
                                     sink_of(out), threads) >= 0;
            },
            py::arg("first_token"), py::arg("last_token"), py::arg("ranks").none(true),
            py::arg("suffixes").noconvert(), py::arg("threads"))
        .def(
            "sort_to_file",
            [](const Text& self, Index first_token, Index last_token, const SampleRanks* ranks,
               int file, Index offset, int threads) {
                try {
                    const py::gil_scoped_release release;
                    return sort_suffixes(self.text, TokenRange{first_token, last_token}, ranks,
                                         sink_of(file, offset), threads) >= 0;
                } catch (const std::system_error& error) {
                    errno = error.code().value();
                    PyErr_SetFromErrno(PyExc_OSError);
                    throw py::error_already_set();
                }
            },
            py::arg("first_token"), py::arg("last_token"), py::arg("ranks").none(true),
            py::arg("file"), py::arg("offset"), py::arg("threads"));
    sample
        .def(
            "sort",
            [](SampleRanks& self, const Text& text, Index first_token, Index last_token,
               int threads) {
                const py::gil_scoped_release release;
                self.sort(text.text, TokenRange{first_token, last_token}, threads);
            },
            py::arg("text"), py::arg("first_token"), py::arg("last_token"), py::arg("threads"))
        .def(
            "refine",
            [](SampleRanks& self, const Text& text) {
                const py::gil_scoped_release release;
                return self.refine(text.text);
            },
            py::arg("text"));
}

template <class Token>
void bind_check(py::module_& m) {
    m.def(
        "check_suffixes",
        [](const Array<Token>& tokens, int depth, Index stop_token,
           const Array<std::uint32_t>& suffixes, Array<std::uint32_t> ranks, int threads) {
            const SuffixText<Token> text{as_span(tokens), 0, depth, stop_token, {}};
            const auto order = as_span(suffixes);
            const std::span<std::uint32_t> memory(ranks.mutable_data(),
                                                  static_cast<std::size_t>(ranks.size()));
            OrderFault fault;
            {
                const py::gil_scoped_release release;
                fault = check_suffixes(text, order, memory, threads);
            }
            return py::make_tuple(static_cast<int>(fault.kind), fault.rank);
        },
        py::arg("tokens").noconvert(), py::arg("depth"), py::arg("stop_token"),
        py::arg("suffixes").noconvert(), py::arg("ranks").noconvert(), py::arg("threads"));
}

}  // namespace

void bind_checksum(py::module_& m) {
    py::class_<Checksum>(m, "Checksum")
        .def(py::init<>())
        .def(
            "update",
            [](Checksum& self, const Array<std::uint8_t>& bytes) {
                const auto span = as_span(bytes);
                const py::gil_scoped_release release;
                self.update(std::as_bytes(span));
            },
            py::arg("bytes").noconvert())
        .def("value", &Checksum::value);
}

void bind_full_order(py::module_& m) {
    py::class_<SampleRanks> sample(m, "SampleRanks");
    sample.def(py::init<Index>(), py::arg("n_tokens"))
        .def_property_readonly("complete", &SampleRanks::complete);
    bind_for<std::uint16_t>(m, sample, "SuffixText16");
    bind_for<std::uint32_t>(m, sample, "SuffixText32");
    bind_check<std::uint16_t>(m);
    bind_check<std::uint32_t>(m);
}

}  // namespace ngramstat::bindings
