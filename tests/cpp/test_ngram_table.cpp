// list_ngrams against maps from n-grams to what is counted of each.
#include <set>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/suffixes/ngram_table.hpp"

namespace {

using namespace ngramstat;

using Gram = std::vector<Index>;

struct Facts {
    Count count = 0;
    std::set<Index> followers, predecessors, documents;
};

struct Row {
    Gram gram;
    Index count, followers, predecessors, documents;
    bool operator==(const Row&) const = default;
};

template <class Token>
std::vector<Row> naive_rows(const check::Stream<Token>& stream, const NgramTableOptions& options,
                            int order) {
    std::map<Gram, Facts> grams;
    const auto add_unit = [&](Index first, Index last) {
        for (Index i = first; i + order <= last; ++i) {
            const auto at = stream.tokens.begin() + i;
            Facts& facts = grams[Gram(at, at + order)];
            ++facts.count;
            facts.documents.insert(std::upper_bound(stream.ends.begin(), stream.ends.end(), i) -
                                   stream.ends.begin());
            if (i + order < last) facts.followers.insert(static_cast<Index>(at[order]));
            if (i > first) facts.predecessors.insert(static_cast<Index>(at[-1]));
        }
    };
    if (options.units == NgramUnits::stream) {
        add_unit(0, stream.size());
    } else {
        for (std::size_t d = 0; d < stream.ends.size(); ++d) {
            const bool content = options.units == NgramUnits::content;
            const Index start = d == 0 ? 0 : stream.ends[d - 1];
            add_unit(content ? stream.content_starts[d] : start,
                     content ? stream.content_ends[d] : stream.ends[d]);
        }
    }
    std::vector<Row> rows;
    for (const auto& [gram, facts] : grams) {
        if (facts.count < options.min_count) continue;
        const auto size = [](const std::set<Index>& labels, bool asked) {
            return asked ? static_cast<Index>(labels.size()) : 0;
        };
        rows.push_back({gram, static_cast<Index>(facts.count),
                        size(facts.followers, options.followers),
                        size(facts.predecessors, options.predecessors),
                        size(facts.documents, options.documents)});
    }
    return rows;
}

template <class Token>
void append_rows(const NgramTable<Token>& table, int order, std::vector<Row>& rows) {
    const std::size_t n = table.counts.size();
    CHECK(table.columns.size() == n * static_cast<std::size_t>(order));
    for (const auto* extra : {&table.followers, &table.predecessors, &table.documents}) {
        CHECK(extra->empty() || extra->size() == n);
    }
    const auto value = [](const std::vector<Index>& values, std::size_t k) {
        return values.empty() ? 0 : values[k];
    };
    for (std::size_t k = 0; k < n; ++k) {
        Gram gram;
        for (int m = 0; m < order; ++m) {
            gram.push_back(static_cast<Index>(table.columns[static_cast<std::size_t>(m) * n + k]));
        }
        rows.push_back({gram, table.counts[k], value(table.followers, k),
                        value(table.predecessors, k), value(table.documents, k)});
    }
}

template <class Token>
void check_table(const check::Stream<Token>& stream, const NgramTableOptions& options) {
    for (const int threads : check::kThreads) {
        std::vector<std::vector<Row>> rows(options.orders.size());
        for (const TokenRange range : check::partition(stream.vocab_size)) {
            const auto tables = list_ngrams(stream.span(), stream.vocab_size, options,
                                            stream.documents(), range, threads);
            CHECK(tables.size() == options.orders.size());
            for (std::size_t o = 0; o < tables.size(); ++o) {
                append_rows(tables[o], options.orders[o], rows[o]);
            }
        }
        for (std::size_t o = 0; o < rows.size(); ++o) {
            CHECK(rows[o] == naive_rows(stream, options, options.orders[o]));
        }
    }
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> tokens{0, 1, 2};
    const auto list = [&](NgramTableOptions options, Index vocab_size, Index n_tokens) {
        list_ngrams(std::span<const std::uint16_t>(tokens), vocab_size, options,
                    Documents::single(n_tokens), {0, vocab_size}, 1);
    };
    list({{1, 2}}, 3, 3);
    list({{255}}, 3, 3);
    CHECK_THROWS(std::invalid_argument, list({{}}, 3, 3));
    CHECK_THROWS(std::invalid_argument, list({{0}}, 3, 3));
    CHECK_THROWS(std::invalid_argument, list({{2, 2}}, 3, 3));
    CHECK_THROWS(std::invalid_argument, list({{256}}, 3, 3));
    CHECK_THROWS(std::invalid_argument, list({{255}, 1, NgramUnits::stream, true}, 3, 3));
    CHECK_THROWS(std::invalid_argument, list({{1}, 0}, 3, 3));
    CHECK_THROWS(std::invalid_argument, list({{1}}, 3, 2));
    CHECK_THROWS(std::out_of_range, list({{1}}, 2, 3));
}

}  // namespace

int main() {
    check::for_token_types([]<class Token>() {
        for (const auto& stream : check::streams<Token>()) {
            for (const auto units :
                 {NgramUnits::stream, NgramUnits::documents, NgramUnits::content}) {
                check::in_case(stream.name + ", units " + std::to_string(static_cast<int>(units)));
                check_table(stream, {{3}, 1, units});
                check_table(stream, {{1, 2, 5}, 2, units});
                check_table(stream, {{2}, 1, units, true, true, true});
                check_table(stream, {{1, 4, 12, 40}, 1, units, true, true, true});
                check_table(stream, {{2}, 2, units, false, false, true});
            }
        }
    });
    refuses_bad_arguments();
}
