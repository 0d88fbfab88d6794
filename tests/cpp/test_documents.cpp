// Documents: what they derive, and what they refuse.
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/base/documents.hpp"
#include "ngramstat/pairs/labelled_segments.hpp"

namespace {

using namespace ngramstat;

using Ends = std::vector<Index>;
using Folds = std::vector<std::uint8_t>;
using Clusters = std::vector<std::uint32_t>;

template <class T>
std::vector<T> to_vector(std::span<const T> values) {
    return {values.begin(), values.end()};
}

void derives_starts_halves_and_quarters() {
    check::in_case("derived arrays");
    const Documents documents(Ends{2, 3, 7}, {{0, 2, 4}, {1, 3, 7}}, {Folds{5, 2, 3}, 6},
                              {Clusters{1, 0, 1}, 2});
    CHECK(documents.size() == 3 && documents.n_tokens() == 7);
    CHECK(to_vector(documents.starts()) == (Ends{0, 2, 3}));
    CHECK(to_vector(documents.ends()) == (Ends{2, 3, 7}));
    CHECK(to_vector(documents.halves()) == (Folds{1, 0, 1}));
    CHECK(documents.quarters() == (Folds{3, 1, 2}));
    const Documents others = documents.with_clusters({Clusters{0, 0, 0}, 1});
    CHECK(to_vector(others.folds()) == (Folds{5, 2, 3}) && others.n_clusters() == 1);
    const Documents whole = Documents::single(4);
    CHECK(whole.size() == 1 && whole.content_ends()[0] == 4 && whole.n_folds() == 2);
    CHECK(Documents::single(0).size() == 0 && Documents::single(0).n_tokens() == 0);
}

void refuses_bad_arguments() {
    check::in_case("bad arguments");
    auto documents = [&](const Ends& ends, const Ends& starts, const Ends& stops,
                         const Folds& folds, const Clusters& clusters = {0, 0}) {
        Documents(ends, {starts, stops}, {folds, 2}, {clusters, 1}).require_length(3);
    };
    documents({2, 3}, {0, 2}, {1, 3}, {0, 1});
    documents({3}, {1}, {1}, {1}, {0});
    CHECK_THROWS(std::invalid_argument, documents({}, {}, {}, {}, {}));
    CHECK_THROWS(std::invalid_argument, documents({2}, {0}, {2}, {0}, {0}));
    CHECK_THROWS(std::invalid_argument, documents({4}, {0}, {3}, {0}, {0}));
    CHECK_THROWS(std::invalid_argument, documents({3, 3}, {0, 3}, {3, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({0, 3}, {0, 0}, {0, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 1}, {2, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {3, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {1, 2}, {0, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {2, 3}, {0, 2}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0}, {2, 3}, {0, 0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {2, 3}, {0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {2, 3}, {0, 0}, {0}));
    CHECK_THROWS(std::invalid_argument, documents({2, 3}, {0, 2}, {2, 3}, {0, 0}, {0, 1}));
    for (const Index n_folds : {0, 3, 258}) {
        CHECK_THROWS(std::invalid_argument,
                     Documents(Ends{3}, {{0}, {3}}, {Folds{0}, n_folds}, {Clusters{0}, 1}));
    }
    CHECK_THROWS(std::invalid_argument, Documents::single(-1));
}

// Every token of every content is in one segment, whose bin has the bounds of its position.
template <class Token>
void check_position_bins(const check::Stream<Token>& stream) {
    const Documents documents = stream.documents();
    const LabelledSegments segments(documents, false, PairLabel::half_and_position);
    CHECK(segments.n_labels() == 2 * kPositionBins);
    Index s = 0;
    for (std::size_t d = 0; d < stream.ends.size(); ++d) {
        for (Index i = stream.content_starts[d]; i < stream.content_ends[d]; ++i) {
            if (segments[s].last <= i) ++s;
            CHECK(segments[s].first <= i && i < segments[s].last);
            CHECK(segments[s].right_limit == stream.content_ends[d]);
            const Index position = i - stream.content_starts[d];
            Index bin = 0;
            while (bin + 1 < kPositionBins && position >= (Index{1} << bin)) ++bin;
            CHECK(segments[s].label == stream.halves[d] * kPositionBins + bin);
        }
    }
    CHECK(segments.size() == (segments.size() == 0 ? 0 : s + 1));
    CHECK_THROWS(std::invalid_argument,
                 LabelledSegments(documents, true, PairLabel::half_and_position));
}

}  // namespace

int main() {
    derives_starts_halves_and_quarters();
    refuses_bad_arguments();
    for (const auto& stream : check::streams<std::uint16_t>()) {
        check::in_case(stream.name + ", position bins");
        check_position_bins(stream);
    }
    // Long documents reach the last bin.
    check::Random random(2);
    check_position_bins(
        check::make_stream<std::uint32_t>("long", std::vector<Index>(100'000, 1), 2, random));
}
