// mark_copies against a search for every passage.
#include <algorithm>
#include <stdexcept>

#include "check.hpp"
#include "ngramstat/suffixes/copies.hpp"

namespace {

using namespace ngramstat;

template <class Token>
std::vector<std::uint8_t> naive(const std::vector<Token>& scored, const std::vector<Index>& ends,
                                const std::vector<Token>& training, Index length) {
    std::vector<std::uint8_t> marks(scored.size(), 0);
    Index start = 0;
    for (const Index end : ends) {
        for (Index i = start; i + length <= end; ++i) {
            const auto first = scored.begin() + i, last = first + length;
            if (std::search(training.begin(), training.end(), first, last) == training.end()) {
                continue;
            }
            std::fill_n(marks.begin() + i, length, std::uint8_t{1});
        }
        start = end;
    }
    return marks;
}

template <class Token>
void check_copies() {
    check::Random random(7);
    for (const Index vocabulary : {1, 2, 50}) {
        for (const int length : {1, 3, 32}) {
            check::in_case("vocabulary " + std::to_string(vocabulary) + ", length " +
                           std::to_string(length));
            std::vector<Token> scored, training;
            for (int i = 0; i < 300; ++i) {
                scored.push_back(static_cast<Token>(random.below(vocabulary)));
            }
            for (int i = 0; i < 200; ++i) {
                training.push_back(static_cast<Token>(random.below(vocabulary)));
            }
            training.insert(training.end(), scored.begin() + 20, scored.begin() + 90);
            const std::vector<Index> ends{1, 60, 61, 200, 300};
            const Documents documents{std::span<const Index>(ends)};
            for (const int threads : check::kThreads) {
                std::vector<std::uint8_t> marks(scored.size(), 9);
                mark_copies<Token>(scored, documents, training, length, marks, threads);
                CHECK(marks == naive(scored, ends, training, length));
            }
            std::vector<std::uint8_t> marks(scored.size(), 9);
            mark_copies<Token>(scored, documents, {}, length, marks, 1);
            CHECK(marks == std::vector<std::uint8_t>(scored.size(), 0));
        }
    }
    std::vector<std::uint8_t> none;
    CHECK_THROWS(std::invalid_argument,
                 mark_copies<Token>({}, Documents::single(0), {}, 0, none, 1));
    CHECK_THROWS(std::invalid_argument,
                 mark_copies<Token>({}, Documents::single(3), {}, 2, none, 1));
}

}  // namespace

int main() {
    check_copies<std::uint16_t>();
    check_copies<std::uint32_t>();
    return 0;
}
