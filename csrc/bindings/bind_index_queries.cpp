#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/index/queries.hpp"

namespace ngramstat::bindings {

namespace {

// The shards of an index and the arrays that hold them.
template <class Token>
class IndexShards {
  public:
    IndexShards(Index vocab_size, Index depth, Index stop_token)
        : vocab_size_(vocab_size), depth_(depth), stop_token_(stop_token) {}

    void add(Array<Token> tokens, Array<std::uint32_t> suffixes, Array<Index> token_starts,
             Array<Index> document_ends, Array<std::uint64_t> samples, bool continues) {
        const SuffixIndex<Token> index{
            as_span(tokens), as_span(suffixes), as_span(token_starts), vocab_size_,
            depth_,          stop_token_,       as_span(samples)};
        check_suffix_index(index);
        shards_.push_back(index);
        documents_.push_back({as_span(document_ends), continues});
        arrays_.push_back(std::move(tokens));
        arrays_.push_back(std::move(suffixes));
        arrays_.push_back(std::move(token_starts));
        arrays_.push_back(std::move(document_ends));
        arrays_.push_back(std::move(samples));
    }

    Index vocab_size() const { return vocab_size_; }
    Shards<Token> shards() const { return shards_; }
    const std::vector<ShardDocuments>& documents() const { return documents_; }

  private:
    Index vocab_size_, depth_, stop_token_;
    std::vector<SuffixIndex<Token>> shards_;
    std::vector<ShardDocuments> documents_;
    std::vector<py::array> arrays_;
};

using Tokens = Array<std::uint32_t>;
using Places = Array<Index>;

TokenSlices slices(const Tokens& tokens, const Places& begins, const Places& ends) {
    const TokenSlices result{as_span(tokens), as_span(begins), as_span(ends)};
    result.check();
    return result;
}

// Memory of an array that is asked for in huge pages. Up to kMostKept bytes of it are kept when it
// is freed, for the next array: page faults would take longer than the counting.
constexpr std::size_t kMostKept = std::size_t{1} << 30;

struct LargeMemory {
    void* memory;
    std::size_t bytes;

    explicit LargeMemory(std::size_t size) : memory(allocate_large(size)), bytes(size) {}
    ~LargeMemory() {
        free_large(memory);
        if (bytes > kMostKept) free_kept_memory();
    }
    LargeMemory(const LargeMemory&) = delete;
    LargeMemory& operator=(const LargeMemory&) = delete;
};

py::array_t<Index> zero_rows(py::ssize_t rows, py::ssize_t width, int threads) {
    if (rows < 1 || width < 1) throw std::invalid_argument("needs at least one number");
    const std::size_t row_bytes = static_cast<std::size_t>(width) * sizeof(Index);
    auto owner = std::make_unique<LargeMemory>(static_cast<std::size_t>(rows) * row_bytes);
    char* data = static_cast<char*>(owner->memory);
    {
        const py::gil_scoped_release release;
        constexpr Index kRows = 64;
        parallel_for((rows + kRows - 1) / kRows, threads, [&](Index task) {
            const Index first = task * kRows, last = std::min<Index>(first + kRows, rows);
            std::memset(data + static_cast<std::size_t>(first) * row_bytes, 0,
                        static_cast<std::size_t>(last - first) * row_bytes);
        });
    }
    auto* numbers = reinterpret_cast<Index*>(data);
    const py::capsule base(owner.release(), [](void* p) { delete static_cast<LargeMemory*>(p); });
    return py::array_t<Index>({rows, width}, numbers, base);
}

// count(shards, ngrams, target, threads) fills a number for each n-gram.
template <class Token, class Count>
void bind_counts(py::class_<IndexShards<Token>>& c, const char* name, Count&& count) {
    c.def(
        name,
        [count](const IndexShards<Token>& self, const Tokens& tokens, const Places& begins,
                const Places& ends, int threads) {
            const TokenSlices ngrams = slices(tokens, begins, ends);
            py::array_t<Index> counts(begins.size());
            const auto target = as_target(counts);
            {
                const py::gil_scoped_release release;
                count(self, ngrams, target, threads);
            }
            return counts;
        },
        py::arg("tokens").noconvert(), py::arg("begins").noconvert(), py::arg("ends").noconvert(),
        py::arg("threads"));
}

template <class Token>
void bind_queries(py::class_<IndexShards<Token>>& c) {
    using Shards = IndexShards<Token>;
    bind_counts(c, "count", [](const Shards& self, const auto& ngrams, auto target, int threads) {
        count_occurrences(self.shards(), ngrams, target, threads);
    });
    bind_counts(c, "count_documents",
                [](const Shards& self, const auto& ngrams, auto target, int threads) {
                    count_documents(self.shards(), self.documents(), ngrams, target, threads);
                });
    c.def(
        "ranges",
        [](const IndexShards<Token>& self, py::ssize_t shard, const Tokens& tokens,
           const Places& begins, const Places& ends, int threads) {
            if (shard < 0 || static_cast<std::size_t>(shard) >= self.shards().size()) {
                throw py::index_error("there is no such shard");
            }
            const TokenSlices ngrams = slices(tokens, begins, ends);
            py::array_t<Index> result({begins.size(), py::ssize_t{2}});
            Index* target = result.mutable_data();
            {
                const py::gil_scoped_release release;
                std::vector<SuffixRange> ranges(static_cast<std::size_t>(ngrams.size()));
                find_ranges(self.shards()[static_cast<std::size_t>(shard)], ngrams, ranges,
                            threads);
                for (const SuffixRange& range : ranges) {
                    *target++ = range.first;
                    *target++ = range.last;
                }
            }
            return result;
        },
        py::arg("shard"), py::arg("tokens").noconvert(), py::arg("begins").noconvert(),
        py::arg("ends").noconvert(), py::arg("threads"));
}

template <class Token>
void bind_next(py::class_<IndexShards<Token>>& c) {
    c.def(
        "next_tokens",
        [](const IndexShards<Token>& self, const Tokens& tokens, const Places& begins,
           const Places& ends, int threads) {
            const TokenSlices contexts = slices(tokens, begins, ends);
            NextTokens next;
            {
                const py::gil_scoped_release release;
                next = next_tokens(self.shards(), contexts, threads);
            }
            return py::make_tuple(to_array(std::move(next.starts)),
                                  to_array(std::move(next.tokens)),
                                  to_array(std::move(next.counts)));
        },
        py::arg("tokens").noconvert(), py::arg("begins").noconvert(), py::arg("ends").noconvert(),
        py::arg("threads"));
    c.def(
        "count_next",
        [](const IndexShards<Token>& self, const Tokens& tokens, const Places& begins,
           const Places& ends, Array<Index>& rows, int threads) {
            const TokenSlices contexts = slices(tokens, begins, ends);
            if (rows.ndim() != 2 || rows.shape(0) != begins.size() ||
                rows.shape(1) != self.vocab_size()) {
                throw std::invalid_argument("rows: has to be (contexts, vocab_size)");
            }
            const std::span<Index> target(rows.mutable_data(),
                                          static_cast<std::size_t>(rows.size()));
            const py::gil_scoped_release release;
            count_next(self.shards(), contexts, target, threads);
        },
        py::arg("tokens").noconvert(), py::arg("begins").noconvert(), py::arg("ends").noconvert(),
        py::arg("rows").noconvert(), py::arg("threads"));
    c.def(
        "longest_suffixes",
        [](const IndexShards<Token>& self, const Tokens& tokens, const Places& begins,
           const Places& ends, bool every_token, Index max_context, int threads) {
            const TokenSlices texts = slices(tokens, begins, ends);
            py::ssize_t size = begins.size();
            if (every_token) {
                size = 0;
                for (Index i = 0; i < texts.size(); ++i) {
                    size += static_cast<py::ssize_t>(texts[i].size());
                }
            }
            py::array_t<Index> lengths(size), contexts(size), ngrams(size);
            const SuffixCounts results{as_target(lengths), as_target(contexts), as_target(ngrams)};
            {
                const py::gil_scoped_release release;
                longest_suffixes(self.shards(), texts, every_token, max_context, results, threads);
            }
            return py::make_tuple(lengths, contexts, ngrams);
        },
        py::arg("tokens").noconvert(), py::arg("begins").noconvert(), py::arg("ends").noconvert(),
        py::arg("every_token"), py::arg("max_context"), py::arg("threads"));
}

template <class Token>
void bind_for(py::module_& m, const char* name) {
    py::class_<IndexShards<Token>> c(m, name);
    c.def(py::init<Index, Index, Index>(), py::arg("vocab_size"), py::arg("depth"),
          py::arg("stop_token"));
    c.def("add", &IndexShards<Token>::add, py::arg("tokens").noconvert(),
          py::arg("suffixes").noconvert(), py::arg("token_starts").noconvert(),
          py::arg("document_ends").noconvert(), py::arg("samples").noconvert(),
          py::arg("continues"));
    bind_queries(c);
    bind_next(c);
    m.def(
        "suffix_samples",
        [](const Array<Token>& tokens, const Array<std::uint32_t>& suffixes, Index vocab_size,
           Index depth, Index stop_token, int threads) {
            const SuffixIndex<Token> index{as_span(tokens), as_span(suffixes), {}, vocab_size,
                                           depth,           stop_token,        {}};
            std::vector<std::uint64_t> samples;
            {
                const py::gil_scoped_release release;
                samples = suffix_samples(index, threads);
            }
            return to_array(std::move(samples));
        },
        py::arg("tokens").noconvert(), py::arg("suffixes").noconvert(), py::arg("vocab_size"),
        py::arg("depth"), py::arg("stop_token"), py::arg("threads"));
}

}  // namespace

void bind_index_queries(py::module_& m) {
    m.def("zero_rows", &zero_rows, py::arg("rows"), py::arg("width"), py::arg("threads"));
    bind_for<std::uint16_t>(m, "IndexShards16");
    bind_for<std::uint32_t>(m, "IndexShards32");
}

}  // namespace ngramstat::bindings
