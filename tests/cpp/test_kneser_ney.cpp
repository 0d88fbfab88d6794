// KneserNey against counts in maps and the formulas of Chen and Goodman (1999); KeyTable.
// Models of nested parts of a stream against models of each part alone.
#include <cmath>
#include <numeric>
#include <set>
#include <stdexcept>
#include <unordered_map>

#include "check.hpp"
#include "ngramstat/base/key_table.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"
#include "ngramstat/suffixes/ngram_counts.hpp"

namespace {

using namespace ngramstat;

using Gram = std::vector<Index>;  // oldest token first
using Counts = std::map<Gram, Count>;

template <class Token>
Gram history(std::span<const Token> tokens, Index i, int order, Index stop_token) {
    const auto backward = check::sequence(tokens, i, order, true, stop_token);
    return {backward.rbegin(), backward.rend()};
}

struct Model {
    int order;
    Index vocab_size;
    Index stop_token;
    std::vector<Counts> raw;           // [m]
    std::vector<Counts> continuation;  // [m], m < order
    std::vector<std::map<Gram, std::vector<Count>>> raw_followers;
    std::vector<std::map<Gram, std::vector<Count>>> continuation_followers;

    template <class Token>
    Model(std::span<const Token> training, Index first_event, Index vocab, int highest, Index stop)
        : order(highest),
          vocab_size(vocab),
          stop_token(stop),
          raw(static_cast<std::size_t>(highest) + 1),
          continuation(raw.size()),
          raw_followers(raw.size()),
          continuation_followers(raw.size()) {
        std::vector<std::map<Gram, std::set<Index>>> left(raw.size());
        for (Index i = first_event; i < static_cast<Index>(training.size()); ++i) {
            if (static_cast<Index>(training[i]) >= vocab_size) continue;
            const Gram gram = history(training, i, order, stop_token);
            const int length = static_cast<int>(gram.size());
            for (int m = 1; m <= length; ++m) {
                const Gram tail(gram.end() - m, gram.end());
                ++raw[m][tail];
                left[m][tail].insert(m < length ? gram[length - m - 1] : -1);
            }
        }
        for (int m = 1; m <= order; ++m) {
            for (const auto& [gram, count] : raw[m]) {
                const Gram context(gram.begin(), gram.end() - 1);
                raw_followers[m][context].push_back(count);
                if (m == order) continue;
                const bool begins = m > 1 && gram.front() == stop_token;
                continuation[m][gram] = begins ? count : left[m][gram].size();
                continuation_followers[m][context].push_back(continuation[m][gram]);
            }
        }
    }

    static OrderCounts summary(const Counts& counts) {
        OrderCounts order_counts;
        for (const auto& [gram, count] : counts) {
            ++order_counts.distinct;
            if (count <= 4) ++order_counts.number[count - 1];
        }
        return order_counts;
    }

    // p(last token of gram | the rest) where the model of order m is the highest one.
    double probability(const Gram& gram, int m, const std::vector<OrderDiscounts>& raw_discounts,
                       const std::vector<OrderDiscounts>& continuation_discounts) const {
        double below = 1.0 / static_cast<double>(vocab_size);
        for (int k = 1; k <= std::min(m, static_cast<int>(gram.size())); ++k) {
            const bool top = k == m;
            const auto& counts = top ? raw[k] : continuation[k];
            const auto& followers = top ? raw_followers[k] : continuation_followers[k];
            const OrderDiscounts& discounts = (top ? raw_discounts : continuation_discounts)[k - 1];
            const Gram tail(gram.end() - k, gram.end());
            const auto it = followers.find(Gram(tail.begin(), tail.end() - 1));
            if (it == followers.end()) continue;
            double sum = 0.0;
            double freed = 0.0;
            for (const Count c : it->second) {
                sum += static_cast<double>(c);
                freed += discounts[std::min<Count>(c, 3) - 1];
            }
            const auto entry = counts.find(tail);
            double discounted = 0.0;
            if (entry != counts.end()) {
                const Count c = entry->second;
                discounted =
                    std::max(static_cast<double>(c) - discounts[std::min<Count>(c, 3) - 1], 0.0);
            }
            below = (discounted + freed * below) / sum;
        }
        return below;
    }
};

bool equal(const OrderCounts& a, const OrderCounts& b) {
    return a.distinct == b.distinct && a.number == b.number;
}

// A model to train on the first two thirds of a stream, and to score on the rest.
template <class Token>
struct Case {
    const check::Stream<Token>& stream;
    int order;
    Index stop_token;
    std::span<const Token> training, held_out;
    // Documents of the held-out tokens, at whose ends stand tokens that only serve as context.
    std::vector<Index> ends;
    Documents::Content content;
    std::vector<OrderDiscounts> raw_discounts, continuation_discounts;

    Case(const check::Stream<Token>& of, int highest, Index stop)
        : stream(of), order(highest), stop_token(stop) {
        const auto split = static_cast<std::size_t>(2 * stream.size() / 3);
        training = stream.span().first(split);
        held_out = stream.span().subspan(split);
        const auto event = [&](Index i) {
            return static_cast<Index>(held_out[static_cast<std::size_t>(i)]) < stream.vocab_size;
        };
        const auto n = static_cast<Index>(held_out.size());
        Index start = 0;
        for (Index end = 1; end <= n; ++end) {
            // A separator outside the vocabulary cannot be scored, so it ends a document.
            if (end < n && end - start < 9 && event(end - 1)) continue;
            const Index last = event(end - 1) ? end : end - 1;
            content.starts.push_back(std::min(start + end % 3, last));
            content.ends.push_back(last);
            ends.push_back(end);
            start = end;
        }
        for (int m = 1; m <= order; ++m) {
            raw_discounts.push_back({0.5 + 0.02 * m, 1.0, 1.4});
            if (m < order) continuation_discounts.push_back({0.6, 1.1 - 0.01 * m, 1.5});
        }
    }

    // Counts the n-grams that end with this one, last token first, cut by the tokens before it.
    void add_cut(KneserNey<Token>& model, std::span<const Segment> parts, const Gram& ngram,
                 int threads) const {
        const Index symbols = stream.vocab_size + (stop_token == stream.vocab_size);
        std::vector<Index> before;
        for (std::size_t p = parts.size(); p-- > 0;) {
            before =
                tokens_before(training, symbols, parts[p], std::span<const Index>(ngram), threads);
            const auto distinct = before.size() - std::count(before.begin(), before.end(), 0);
            model.add_ngram(static_cast<Index>(p), ngram,
                            std::accumulate(before.begin(), before.end(), Index{0}), distinct);
        }
        const int length = static_cast<int>(ngram.size());
        if (length == order || (length > 1 && ngram.back() == stop_token)) return;
        // Every third token is cut further, and the stop token has to be.
        Index start = 0;
        for (Index token = 0; token < symbols; ++token) {
            if (token != stop_token && (token % 3 > 0 || before[token + 1] == 0)) continue;
            model.add_training(training, parts, {start, token}, threads, ngram);
            start = token + 1;
            Gram longer = ngram;
            longer.push_back(token);
            add_cut(model, parts, longer, threads);
        }
        model.add_training(training, parts, {start, symbols}, threads, ngram);
    }

    // The token that is an event most often.
    Index most_frequent(Index first_event) const {
        std::vector<Index> counts(static_cast<std::size_t>(stream.vocab_size) + 1, 0);
        for (Index i = first_event; i < static_cast<Index>(training.size()); ++i) {
            ++counts[training[i]];
        }
        return std::max_element(counts.begin(), counts.end() - 1) - counts.begin();
    }

    // Losses of KneserNey, whose counts must be those of the naive model.
    std::vector<double> losses(const Model& naive, Index first_event, int threads) const {
        KneserNey<Token> model(held_out, documents(), stream.vocab_size, order, stop_token);
        const auto size = static_cast<Index>(training.size());
        const Segment events{std::min(first_event, size), size};
        auto ranges = threads == 1 ? std::vector<TokenRange>{{0, stream.vocab_size}}
                                   : check::partition(stream.vocab_size);
        if (threads > 2) {
            const Index frequent = most_frequent(first_event);
            ranges = {{0, frequent}, {frequent + 1, stream.vocab_size}};
            add_cut(model, {&events, 1}, {frequent}, threads);
        }
        for (const TokenRange range : ranges) {
            model.add_training(training, {&events, 1}, range, threads);
        }
        const KneserNeyCounts& counts = model.counts(0);
        for (int m = 1; m <= order; ++m) {
            CHECK(equal(counts.raw[m - 1], Model::summary(naive.raw[m])));
            if (m == order) continue;
            CHECK(equal(counts.continuation[m - 1], Model::summary(naive.continuation[m])));
        }
        std::vector<double> scored(ends.size() * static_cast<std::size_t>(order), -1.0);
        model.score(0, raw_discounts, continuation_discounts, scored, threads);
        return scored;
    }

    Documents documents() const {
        const std::vector<std::uint8_t> folds(ends.size());
        const std::vector<std::uint32_t> clusters(ends.size());
        return Documents(ends, content, {folds, 2}, {clusters, 1});
    }

    // Nested parts of the training tokens from one of them on.
    std::vector<Segment> nested_parts(Index first) const {
        const auto n = static_cast<Index>(training.size());
        return {{first, n},         {first, n / 2}, {first, n / 3},
                {n / 2, 5 * n / 6}, {n / 2, n / 2}, {5 * n / 6, n}};
    }

    // Tokens brought together as windows make the models of the stream that they come from.
    void check_windows(int threads) const {
        const auto n = static_cast<Index>(training.size());
        const Index head = std::min<Index>(order - 1, n);
        std::vector<Token> windows(training.begin(), training.begin() + head);
        for (Index i = head; i < n; ++i) {
            windows.insert(windows.end(), training.begin() + i - order + 1,
                           training.begin() + i + 1);
        }
        const std::vector<Segment> parts = nested_parts(0);
        const auto place = [&](Index i) { return i <= head ? i : head + order * (i - head); };
        std::vector<Segment> places;
        for (const Segment& part : parts) {
            places.push_back({place(part.first), place(part.last)});
        }
        KneserNey<Token> joined(held_out, documents(), stream.vocab_size, order, stop_token);
        KneserNey<Token> whole(held_out, documents(), stream.vocab_size, order, stop_token);
        for (KneserNey<Token>* model : {&joined, &whole}) {
            model->reset(static_cast<Index>(parts.size()), threads);
        }
        for (const TokenRange range : check::partition(stream.vocab_size)) {
            joined.add_windows(windows, head, places, range, threads);
        }
        whole.add_training(training, parts, {0, stream.vocab_size}, threads);
        std::vector<double> losses(ends.size() * static_cast<std::size_t>(order));
        std::vector<double> expected(losses.size());
        for (Index model = 0; model < static_cast<Index>(parts.size()); ++model) {
            check_counts(joined, model, whole, model);
            joined.score(model, raw_discounts, continuation_discounts, losses, threads);
            whole.score(model, raw_discounts, continuation_discounts, expected, threads);
            CHECK(losses == expected);
        }
    }

    void check_counts(const KneserNey<Token>& model, Index number, const KneserNey<Token>& expected,
                      Index expected_number) const {
        const KneserNeyCounts& counts = model.counts(number);
        const KneserNeyCounts& others = expected.counts(expected_number);
        for (int m = 0; m < order; ++m) {
            CHECK(equal(counts.raw[m], others.raw[m]));
            if (m + 1 < order) CHECK(equal(counts.continuation[m], others.continuation[m]));
        }
    }

    // Models of nested parts, trained in one sweep, are those of each part alone.
    void check_parts(int threads) const {
        const auto n = static_cast<Index>(training.size());
        const std::vector<Segment> parts = nested_parts(n / 9);
        KneserNey<Token> together(held_out, documents(), stream.vocab_size, order, stop_token);
        together.reset(static_cast<Index>(parts.size()), threads);
        auto ranges = check::partition(stream.vocab_size);
        if (threads > 2) {
            const Index frequent = most_frequent(parts[0].first);
            ranges = {{0, frequent}, {frequent + 1, stream.vocab_size}};
            add_cut(together, parts, {frequent}, threads);
        }
        for (const TokenRange range : ranges) {
            together.add_training(training, parts, range, threads);
        }
        std::vector<double> losses(ends.size() * static_cast<std::size_t>(order));
        std::vector<double> expected(losses.size());
        for (std::size_t p = 0; p < parts.size(); ++p) {
            KneserNey<Token> alone(held_out, documents(), stream.vocab_size, order, stop_token);
            alone.add_training(training, {&parts[p], 1}, {0, stream.vocab_size}, 1);
            const auto model = static_cast<Index>(p);
            check_counts(together, model, alone, 0);
            together.score(model, raw_discounts, continuation_discounts, losses, threads);
            alone.score(0, raw_discounts, continuation_discounts, expected, 1);
            CHECK(losses == expected);
        }
    }

    std::vector<double> naive_losses(const Model& naive) const {
        const auto depth = static_cast<std::size_t>(order);
        std::vector<double> losses(ends.size() * depth, 0.0);
        for (std::size_t d = 0; d < ends.size(); ++d) {
            for (Index i = content.starts[d]; i < content.ends[d]; ++i) {
                const Gram gram = history(held_out, i, order, stop_token);
                for (int m = 1; m <= order; ++m) {
                    losses[d * depth + static_cast<std::size_t>(m) - 1] -=
                        std::log(naive.probability(gram, m, raw_discounts, continuation_discounts));
                }
            }
        }
        return losses;
    }
};

template <class Token>
void check_model(const check::Stream<Token>& stream, int order, Index stop_token) {
    const Case<Token> sample(stream, order, stop_token);
    for (const int threads : check::kThreads) {
        check::in_case(stream.name + ", parts, order " + std::to_string(order) + ", stop " +
                       std::to_string(stop_token) + ", threads " + std::to_string(threads));
        sample.check_parts(threads);
        sample.check_windows(threads);
    }
    for (const Index first_event : {Index{0}, 2 * stream.size() / 3 / 4}) {
        const Model naive(sample.training, first_event, stream.vocab_size, order, stop_token);
        std::vector<double> losses;
        for (const int threads : check::kThreads) {
            check::in_case(stream.name + ", order " + std::to_string(order) + ", stop " +
                           std::to_string(stop_token) + ", threads " + std::to_string(threads));
            const std::vector<double> scored = sample.losses(naive, first_event, threads);
            if (losses.empty()) losses = scored;
            CHECK(scored == losses);  // bit for bit over threads and ranges
        }
        const std::vector<double> expected = sample.naive_losses(naive);
        // Sums of discounts are taken in another order: some units in the last place per token.
        for (std::size_t k = 0; k < losses.size(); ++k) {
            CHECK(std::abs(losses[k] - expected[k]) <= 1e-12 * (1.0 + std::abs(expected[k])));
        }
    }
}

void check_table() {
    check::in_case("KeyTable");
    check::Random random(31);
    KeyTable table;
    std::unordered_map<std::uint64_t, std::uint32_t> expected;
    for (int i = 0; i < 20'000; ++i) {
        // Dense keys, keys equal in their low half, and the largest key that nodes can make.
        const Index kind = random.below(3);
        std::uint64_t key = static_cast<std::uint64_t>(random.below(5000));
        if (kind == 1) key <<= 32;
        if (kind == 2) key = 0xfffffffeffffffffULL - key;
        const auto known = expected.find(key);
        CHECK(table.find(key) == (known == expected.end() ? KeyTable::kAbsent : known->second));
        const auto number = static_cast<std::uint32_t>(expected.size());
        CHECK(table.insert(key) == expected.emplace(key, number).first->second);
        CHECK(table.size() == expected.size());
    }
    for (const auto& [key, number] : expected) CHECK(table.find(key) == number);
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    const std::vector<std::uint16_t> values{0, 1, 2};
    const std::span<const std::uint16_t> tokens(values);
    const std::vector<Index> two{1, 3};
    const Documents documents(two);
    auto model = [&](const Documents& scored, Index vocab, int order, Index stop) {
        return KneserNey<std::uint16_t>(tokens, scored, vocab, order, stop);
    };
    CHECK_THROWS(std::invalid_argument, model(documents, 3, 0, -1));
    CHECK_THROWS(std::invalid_argument, model(documents, 3, kMaxOrder + 1, -1));
    CHECK_THROWS(std::invalid_argument, model(Documents::single(2), 3, 2, -1));
    CHECK_THROWS(std::invalid_argument, model(documents, 0, 2, -1));
    CHECK_THROWS(std::invalid_argument, model(documents, 3, 2, 4));
    CHECK_THROWS(std::invalid_argument, model(documents, 3, 2, -2));
    CHECK_THROWS(std::out_of_range, model(documents, 2, 2, -1));
    CHECK_THROWS(std::invalid_argument, model(documents, 2, 2, 2));  // scores the separator
    const std::vector<Index> one{3};
    model(Documents(one, {{0}, {2}}, {{0}, 2}, {{0}, 1}), 2, 2, 2);

    auto good = model(documents, 3, 2, -1);
    auto train = [&](const std::vector<Segment>& parts, TokenRange range) {
        good.reset(static_cast<Index>(parts.size()), 1);
        good.add_training(tokens, parts, range, 1);
    };
    CHECK_THROWS(std::invalid_argument, train({{0, 3}}, {0, 4}));
    CHECK_THROWS(std::invalid_argument, train({{0, 4}}, {0, 3}));
    CHECK_THROWS(std::invalid_argument, train({}, {0, 3}));
    CHECK_THROWS(std::invalid_argument, train({{0, 2}, {1, 3}}, {0, 3}));          // not inside
    CHECK_THROWS(std::invalid_argument, train({{0, 3}, {0, 2}, {1, 3}}, {0, 3}));  // overlap
    CHECK_THROWS(std::invalid_argument, train({{0, 3}, {0, 1}, {0, 2}}, {0, 3}));  // order
    const std::vector<Segment> one_part{{0, 3}};
    good.reset(2, 1);
    CHECK_THROWS(std::invalid_argument, good.add_training(tokens, one_part, {0, 3}, 1));
    CHECK_THROWS(std::invalid_argument, good.counts(2));
    auto train_windows = [&](const std::vector<Segment>& parts, Index head) {
        good.reset(static_cast<Index>(parts.size()), 1);
        good.add_windows(tokens, head, parts, {0, 3}, 1);
    };
    train_windows({{0, 3}, {1, 3}}, 1);
    CHECK_THROWS(std::invalid_argument, train_windows({{0, 3}}, 0));  // one window and a half
    CHECK_THROWS(std::invalid_argument, train_windows({{0, 3}}, 4));
    CHECK_THROWS(std::invalid_argument, train_windows({{0, 3}}, -1));
    CHECK_THROWS(std::invalid_argument, train_windows({{0, 3}, {0, 2}}, 1));  // half a window
    CHECK_THROWS(std::invalid_argument, train_windows({{0, 5}}, 1));
    CHECK_THROWS(std::invalid_argument, train_windows({{-1, 3}}, 1));
    good.reset(2, 1);
    const std::vector<OrderDiscounts> raw(2, OrderDiscounts{0.5, 1.0, 1.5});
    const std::vector<OrderDiscounts> continuation(1, OrderDiscounts{0.5, 1.0, 1.5});
    std::vector<double> losses(4);
    good.score(0, raw, continuation, losses, 1);
    CHECK_THROWS(std::invalid_argument, good.score(0, continuation, continuation, losses, 1));
    CHECK_THROWS(std::invalid_argument, good.score(0, raw, raw, losses, 1));
    losses.resize(2);
    CHECK_THROWS(std::invalid_argument, good.score(0, raw, continuation, losses, 1));
}

}  // namespace

int main() {
    check::for_models(kMaxOrder, [](auto&& stream, int order, Index stop_token) {
        check_model(stream, order, stop_token);
    });
    check_table();
    refuses_bad_arguments();
}
