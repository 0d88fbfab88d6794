#include "arrays.hpp"
#include "bind.hpp"
#include "kneser_ney_arrays.hpp"
#include "ngramstat/models/backoff_scores.hpp"
#include "ngramstat/models/kneser_ney_training.hpp"

namespace ngramstat::bindings {

namespace {

// Levels as arrays of 8-byte words: two for a node, one for a leaf.
using Levels = std::vector<Array<std::uint64_t>>;

template <class T, class Word>
std::span<T> entries_of(Word* words, py::ssize_t n) {
    constexpr py::ssize_t kWords = sizeof(T) / sizeof(std::uint64_t);
    require(n % kWords == 0, "a level must hold whole entries");
    return {reinterpret_cast<T*>(words), static_cast<std::size_t>(n / kWords)};
}

// The trie whose levels these arrays hold; `words` gives the memory of an array.
template <class Trie, class Node, class Leaf, class Words>
Trie trie_of(Index vocab_size, Index symbols, Levels& levels, Words&& words) {
    Trie trie;
    trie.order = static_cast<int>(levels.size());
    trie.vocab_size = vocab_size;
    trie.symbols = symbols;
    for (std::size_t m = 0; m < levels.size(); ++m) {
        if (m > 0 && m + 1 == levels.size()) {
            trie.leaves = entries_of<Leaf>(words(levels[m]), levels[m].size());
        } else {
            trie.nodes.push_back(entries_of<Node>(words(levels[m]), levels[m].size()));
        }
    }
    trie.check();
    return trie;
}

// A trie in arrays that Python owns.
using Guides = std::vector<Array<std::uint32_t>>;

struct TrieInArrays {
    Levels levels;
    Guides guides;
    BackoffTrie of;

    TrieInArrays(Index vocab_size, Index symbols, Levels arrays, Guides guide_arrays)
        : levels(std::move(arrays)),
          guides(std::move(guide_arrays)),
          of(view(vocab_size, symbols, levels, guides)) {}

    static NgramTrie view(Index vocab_size, Index symbols, Levels& levels, const Guides& guides) {
        auto trie = trie_of<NgramTrie, const TrieNode, const TrieLeaf>(
            vocab_size, symbols, levels, [](const auto& array) { return array.data(); });
        for (const auto& guide : guides) trie.guides.push_back(as_span(guide));
        return trie;
    }
    py::array_t<std::uint32_t> guide(int m, int threads) const {
        require(m >= 2 && m <= of.trie.order, "level 1 has no guide");
        std::vector<std::uint32_t> values(static_cast<std::size_t>(guide_size(of.trie.size(m))));
        {
            const py::gil_scoped_release release;
            make_guide(of.trie, m, values, threads);
        }
        return to_array(std::move(values));
    }
};

struct MutableTrieInArrays {
    Levels levels;
    MutableNgramTrie trie;

    MutableTrieInArrays(Index vocab_size, Index symbols, Levels arrays)
        : levels(std::move(arrays)) {
        trie = trie_of<MutableNgramTrie, TrieNode, TrieLeaf>(
            vocab_size, symbols, levels, [](auto& array) { return array.mutable_data(); });
    }
};

template <class Token>
py::array_t<double> scores(const TrieInArrays& self, const Array<Token>& tokens, Index stop_token,
                           bool all_contexts, int threads) {
    const auto stream = as_span(tokens);
    std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(stream.size())};
    if (all_contexts) shape.push_back(self.of.trie.order);
    py::array_t<double> result(shape);
    const std::span<double> target(result.mutable_data(), static_cast<std::size_t>(result.size()));
    const py::gil_scoped_release release;
    backoff_scores(self.of, stream, stop_token, all_contexts, target, threads);
    return result;
}

py::array_t<double> next_scores(const TrieInArrays& self, const Array<Index>& tokens,
                                const Array<Index>& ends, Index stop_token, int threads) {
    py::array_t<double> result({ends.size(), static_cast<py::ssize_t>(self.of.trie.vocab_size)});
    const std::span<double> target(result.mutable_data(), static_cast<std::size_t>(result.size()));
    const auto context_tokens = as_span(tokens);
    const auto context_ends = as_span(ends);
    const py::gil_scoped_release release;
    backoff_next_scores(self.of, context_tokens, context_ends, stop_token, target, threads);
    return result;
}

// A token stream that a model is trained on.
template <class Token>
struct Trainer {
    Array<Token> tokens;
    TrainingStream<Token> stream;

    Trainer(Array<Token> training, Index first_event, Index vocab_size, int order, Index stop_token)
        : tokens(std::move(training)),
          stream{as_span(tokens), first_event, vocab_size, order, stop_token} {}

    py::tuple count(Index first_token, Index last_token, int threads) const {
        LevelSizes sizes;
        {
            const py::gil_scoped_release release;
            sizes = count_trie_levels(stream, TokenRange{first_token, last_token}, threads);
        }
        const py::ssize_t blocks = static_cast<py::ssize_t>(sizes.by_block.size()) / stream.order;
        return py::make_tuple(to_table(sizes.counts.raw), to_table(sizes.counts.continuation),
                              to_array(std::move(sizes.by_block), {blocks, stream.order}));
    }

    void store(MutableTrieInArrays& into, std::pair<Index, Index> range, const Array<Index>& starts,
               const Array<Index>& ends, Array<Count>& unigram_counts,
               const Array<Count>& min_counts, int threads) const {
        const StoredLevels levels{
            into.trie,
            as_span(starts),
            as_span(ends),
            {unigram_counts.mutable_data(), static_cast<std::size_t>(unigram_counts.size())},
            as_span(min_counts)};
        const py::gil_scoped_release release;
        store_ngrams(stream, TokenRange{range.first, range.second}, levels, threads);
    }
};

template <class Token>
void bind_trainer(py::module_& m, const char* name) {
    using Of = Trainer<Token>;
    py::class_<Of>(m, name)
        .def(py::init<Array<Token>, Index, Index, int, Index>(), py::arg("tokens").noconvert(),
             py::arg("first_event"), py::arg("vocab_size"), py::arg("order"), py::arg("stop_token"))
        .def("count", &Of::count, py::arg("first_token"), py::arg("last_token"), py::arg("threads"))
        .def("store", &Of::store, py::arg("trie"), py::arg("tokens"), py::arg("starts").noconvert(),
             py::arg("ends").noconvert(), py::arg("unigram_counts").noconvert(),
             py::arg("min_counts").noconvert(), py::arg("threads"));
}

std::unique_ptr<KneserNeyEstimator> make_estimator(const MutableTrieInArrays& trie,
                                                   const Array<Count>& unigram_counts,
                                                   const Array<double>& discounts,
                                                   const Array<Count>& min_counts) {
    const auto triples = to_discounts(discounts);
    const auto counts = as_span(unigram_counts);
    const auto smallest = as_span(min_counts);
    const py::gil_scoped_release release;
    return std::make_unique<KneserNeyEstimator>(
        trie.trie, counts, triples, std::vector<Count>(smallest.begin(), smallest.end()));
}

}  // namespace

void bind_ngram_models(py::module_& m) {
    py::class_<TrieInArrays>(m, "NgramTrie")
        .def(py::init<Index, Index, Levels, Guides>(), py::arg("vocab_size"), py::arg("symbols"),
             py::arg("levels").noconvert(), py::arg("guides").noconvert())
        .def("guide", &TrieInArrays::guide, py::arg("order"), py::arg("threads"))
        .def("scores16", &scores<std::uint16_t>, py::arg("tokens").noconvert(),
             py::arg("stop_token"), py::arg("all_contexts"), py::arg("threads"))
        .def("scores32", &scores<std::uint32_t>, py::arg("tokens").noconvert(),
             py::arg("stop_token"), py::arg("all_contexts"), py::arg("threads"))
        .def("next_scores", &next_scores, py::arg("tokens").noconvert(),
             py::arg("ends").noconvert(), py::arg("stop_token"), py::arg("threads"));
    py::class_<MutableTrieInArrays>(m, "MutableNgramTrie")
        .def(py::init<Index, Index, Levels>(), py::arg("vocab_size"), py::arg("symbols"),
             py::arg("levels").noconvert())
        .def("remove_pruned", [](const MutableTrieInArrays& self) {
            const py::gil_scoped_release release;
            return remove_pruned_ngrams(self.trie);
        });
    bind_trainer<std::uint16_t>(m, "NgramTrainer16");
    bind_trainer<std::uint32_t>(m, "NgramTrainer32");
    py::class_<KneserNeyEstimator>(m, "KneserNeyEstimator")
        .def(py::init(&make_estimator), py::keep_alive<1, 2>(), py::arg("trie"),
             py::arg("unigram_counts").noconvert(), py::arg("discounts").noconvert(),
             py::arg("min_counts").noconvert())
        .def(
            "estimate",
            [](KneserNeyEstimator& self, Index first_token, Index last_token, int threads) {
                const py::gil_scoped_release release;
                self.estimate(TokenRange{first_token, last_token}, threads);
            },
            py::arg("first_token"), py::arg("last_token"), py::arg("threads"));
}

}  // namespace ngramstat::bindings
