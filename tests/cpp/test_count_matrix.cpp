// Products of CountMatrix: correct, and the same bits for every instruction set, thread count and
// cut into blocks.
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/base/simd.hpp"
#include "ngramstat/pairs/count_matrix.hpp"

namespace {

using namespace ngramstat;

struct Entry {
    Index row;
    std::uint32_t column;
    std::uint32_t first;
    std::uint32_t second;
};

struct Case {
    std::string name;
    Index n_rows;
    Index n_cols;
    bool two_channels;
    std::vector<Entry> entries;  // by row, then column
};

Case random_case(Index n_rows, Index n_cols, Index filled, bool two_channels, bool large) {
    check::Random random(static_cast<std::uint64_t>(n_rows * 1000 + n_cols));
    Case c{std::to_string(n_rows) + " x " + std::to_string(n_cols) + (large ? ", large" : ""),
           n_rows,
           n_cols,
           two_channels,
           {}};
    const Index top = large ? Index{std::numeric_limits<std::uint32_t>::max()} : 40;
    for (Index row = 0; row < n_rows; ++row) {
        if (random.below(4) == 0) continue;  // an empty row
        std::map<Index, int> columns;
        for (Index k = 0; k < filled; ++k) columns[random.below(n_cols)] = 1;
        for (const auto& [column, one] : columns) {
            c.entries.push_back({row, static_cast<std::uint32_t>(column),
                                 static_cast<std::uint32_t>(top - random.below(40)),
                                 static_cast<std::uint32_t>(two_channels ? random.below(top) : 0)});
        }
    }
    return c;
}

// The same matrix in blocks of at most `block_rows` rows.
CountMatrix build(const Case& c, Index block_rows) {
    CountMatrix matrix(c.n_rows, c.n_cols);
    std::size_t next = 0;
    for (Index start = 0; start < c.n_rows; start += block_rows) {
        CountBlock block;
        block.first_row = start;
        CountEntries<std::uint32_t> entries;
        for (Index row = start; row < std::min(start + block_rows, c.n_rows); ++row) {
            for (; next < c.entries.size() && c.entries[next].row == row; ++next) {
                entries.column.push_back(c.entries[next].column);
                entries.first.push_back(c.entries[next].first);
                if (c.two_channels) entries.second.push_back(c.entries[next].second);
            }
            block.row_start.push_back(static_cast<Index>(entries.column.size()));
        }
        block.set_entries(entries);
        matrix.append(std::move(block));
    }
    return matrix;
}

std::vector<SimdLevel> levels() {
    unsetenv("NGRAMSTAT_SIMD");
    std::vector<SimdLevel> all;
    for (const SimdLevel level : {SimdLevel::scalar, SimdLevel::avx2, SimdLevel::avx512}) {
        if (level <= simd_level()) all.push_back(level);
    }
    return all;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

struct Results {
    std::vector<double> product;
    std::vector<double> transposed;
    double inner = 0.0;
};

using Weights = std::array<double, 2>;

Results compute(const CountMatrix& matrix, const CountMatrix& other, const std::vector<double>& x,
                const std::vector<double>& y, Weights weights, int threads) {
    const double stale = std::numeric_limits<double>::quiet_NaN();  // outputs are overwritten
    Results results{
        std::vector<double>(static_cast<std::size_t>(matrix.n_rows() * kBlockSize), stale),
        std::vector<double>(static_cast<std::size_t>(matrix.n_cols() * kBlockSize), stale), 0.0};
    matrix.multiply(x, weights, results.product, threads);
    matrix.multiply_transposed(y, weights, results.transposed, threads);
    results.inner = matrix.inner_product(other, weights, {1.0, -2.0}, threads);
    return results;
}

// exact: x, y and weights are small integers and every partial sum stays below 2^53, so that any
// order of summation gives the same bits.
void check_products(const Case& c, bool exact) {
    check::Random random(17);
    std::vector<double> x(static_cast<std::size_t>(c.n_cols * kBlockSize));
    std::vector<double> y(static_cast<std::size_t>(c.n_rows * kBlockSize));
    for (auto* vector : {&x, &y}) {
        for (double& value : *vector) {
            value = exact ? static_cast<double>(random.below(9) - 4) : random.real();
        }
    }
    const Weights weights = exact ? Weights{2.0, -3.0} : Weights{0.7, -1.3};

    // In row-major order of the entries, which is the documented order of `multiply`.
    Results naive{std::vector<double>(y.size(), 0.0), std::vector<double>(x.size(), 0.0), 0.0};
    for (const Entry& e : c.entries) {
        double value = weights[0] * e.first;
        if (c.two_channels) value = value + weights[1] * e.second;
        const double other = 1.0 * e.first + -2.0 * e.second;
        for (Index lane = 0; lane < kBlockSize; ++lane) {
            naive.product[e.row * kBlockSize + lane] += value * x[e.column * kBlockSize + lane];
            naive.transposed[e.column * kBlockSize + lane] += value * y[e.row * kBlockSize + lane];
        }
        naive.inner += value * other;
    }

    Results first;
    for (const SimdLevel level : levels()) {
        setenv("NGRAMSTAT_SIMD", simd_name(level).c_str(), 1);
        CHECK(simd_level() == level);
        for (const Index block_rows : {Index{1}, Index{7}, std::max(c.n_rows, Index{1})}) {
            const CountMatrix matrix = build(c, block_rows);
            const CountMatrix other = build(c, 5);
            for (const int threads : check::kThreads) {
                check::in_case(c.name + ", " + simd_name(level) + ", threads " +
                               std::to_string(threads) + ", blocks of " +
                               std::to_string(block_rows) + (exact ? ", exact" : ""));
                const Results results = compute(matrix, other, x, y, weights, threads);
                if (first.transposed.empty()) first = results;
                CHECK(same_bits(results.product, naive.product));
                CHECK(same_bits(results.transposed, first.transposed));
                CHECK(results.inner == first.inner);
            }
        }
    }
    unsetenv("NGRAMSTAT_SIMD");
    for (std::size_t i = 0; exact && i < naive.transposed.size(); ++i) {
        CHECK(first.transposed[i] == naive.transposed[i]);
    }
    if (exact) CHECK(first.inner == naive.inner);
    // Otherwise only the order of the sums differs: 2 n u times the sum of magnitudes.
    for (Index i = 0; i < c.n_cols * kBlockSize && !exact; ++i) {
        double magnitude = 0.0;
        Index terms = 0;
        for (const Entry& e : c.entries) {
            if (e.column != i / kBlockSize) continue;
            magnitude += weights[0] * e.first + 1.3 * e.second;  // |y| <= 1
            ++terms;
        }
        const double bound = 2.0 * static_cast<double>(terms + 16) * 0x1p-53 * magnitude;
        const double difference = first.transposed[i] - naive.transposed[i];
        CHECK(difference <= bound && -difference <= bound);
    }
}

void check_sums(const Case& c) {
    for (const Index block_rows : {1, 3, 1000}) {
        check::in_case(c.name + ", sums, blocks of " + std::to_string(block_rows));
        const CountMatrix matrix = build(c, block_rows);
        CHECK(matrix.nnz() == static_cast<Index>(c.entries.size()));
        std::vector<Count> rows[2];
        std::vector<Count> columns[2];
        for (int channel = 0; channel < 2; ++channel) {
            rows[channel].assign(static_cast<std::size_t>(c.n_rows), 0);
            columns[channel].assign(static_cast<std::size_t>(c.n_cols), 0);
            for (const Entry& e : c.entries) {
                const Count count = channel == 0 ? e.first : e.second;
                rows[channel][e.row] += count;
                columns[channel][e.column] += count;
            }
            CHECK(matrix.row_sums()[channel] == rows[channel]);
            CHECK(matrix.column_sums()[channel] == columns[channel]);
        }
    }
}

void joins_and_refuses() {
    check::in_case("joining");
    CountMatrix whole(5, 4);
    CountMatrix head(5, 4);
    CountMatrix tail(5, 4);
    auto rows = [](Index first, Index n) {
        CountBlock block;
        block.first_row = first;
        block.row_start.assign(static_cast<std::size_t>(n) + 1, 0);
        return block;
    };
    head.append(rows(0, 2));
    tail.start_at(2);
    tail.append(rows(2, 1));
    tail.append(rows(3, 2));
    CHECK(!head.complete() && !tail.complete());
    std::vector<double> x(4 * kBlockSize);
    std::vector<double> out(5 * kBlockSize);
    CHECK_THROWS(std::invalid_argument, head.multiply(x, {1, 1}, out, 1));
    CHECK_THROWS(std::invalid_argument, tail.row_sums());
    CHECK_THROWS(std::invalid_argument, whole.append(std::move(tail)));  // out of order
    CHECK(tail.blocks().size() == 2);                                    // and nothing lost
    whole.append(std::move(head));
    whole.append(std::move(tail));
    CHECK(whole.complete() && tail.blocks().empty());
    CHECK_THROWS(std::invalid_argument, whole.append(rows(5, 1)));
    CHECK_THROWS(std::invalid_argument, whole.start_at(0));
    CHECK_THROWS(std::invalid_argument, whole.append(CountMatrix(5, 3)));
    CHECK_THROWS(std::invalid_argument, whole.multiply(out, {1, 1}, out, 1));
    CHECK_THROWS(std::invalid_argument, whole.multiply_transposed(x, {1, 1}, x, 1));
    CHECK_THROWS(std::invalid_argument, whole.multiply_gram(x, {}, x, 1));
    CHECK_THROWS(std::invalid_argument, whole.inner_product(CountMatrix(4, 5), {1, 1}, {1, 1}, 1));
    CHECK_THROWS(std::invalid_argument, CountMatrix(1, 0));
    CHECK_THROWS(std::invalid_argument, CountMatrix(-1, 1));
    CHECK_THROWS(std::invalid_argument, CountMatrix(1, (Index{1} << 32) + 1));

    check::in_case("forced instruction sets");
    setenv("NGRAMSTAT_SIMD", "sse9", 1);
    CHECK_THROWS(std::invalid_argument, whole.multiply(x, {1, 1}, out, 1));
    const auto here = levels();
    for (const SimdLevel level : {SimdLevel::scalar, SimdLevel::avx2, SimdLevel::avx512}) {
        setenv("NGRAMSTAT_SIMD", simd_name(level).c_str(), 1);
        if (level > here.back()) CHECK_THROWS(std::invalid_argument, simd_level());
    }
    setenv("NGRAMSTAT_SIMD", "", 1);
    CHECK(simd_level() == here.back());
    unsetenv("NGRAMSTAT_SIMD");
}

}  // namespace

int main() {
    const std::vector<Case> cases{
        random_case(0, 1, 0, true, false),    random_case(1, 1, 1, true, false),
        random_case(3, 50, 60, false, false), random_case(211, 13, 5, true, false),
        random_case(97, 97, 20, true, false), random_case(40, 300, 30, false, true),
        random_case(60, 60, 25, true, true),
    };
    for (const Case& c : cases) {
        check_sums(c);
        check_products(c, false);
        // Inner products of large counts exceed 2^53.
        if (c.name.find("large") == std::string::npos) check_products(c, true);
    }
    // Above 2^16 columns, sums over rows use fewer partial copies.
    check_products(random_case(60, 66'000, 40, true, false), true);
    joins_and_refuses();
}
