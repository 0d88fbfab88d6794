#include <array>
#include <charconv>

#include "ngramstat/base/error.hpp"
#include "ngramstat/models/arpa.hpp"

namespace ngramstat {

namespace {

constexpr int kDigits = 9;

void append_number(std::string& out, double value) {
    std::array<char, 32> digits;
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                            std::chars_format::general, kDigits);
    out.append(digits.data(), end);
}

void append_word(std::string& out, std::uint32_t word, const Spellings& spellings) {
    if (word >= spellings.ends.size()) {
        throw std::out_of_range("word " + std::to_string(word) + " has no spelling");
    }
    const Index begin = word == 0 ? 0 : spellings.ends[word - 1], end = spellings.ends[word];
    require(begin >= 0 && begin <= end && end <= static_cast<Index>(spellings.text.size()),
            "spellings must lie one after the other in their text");
    out.append(spellings.text.data() + begin, static_cast<std::size_t>(end - begin));
}

}  // namespace

std::string arpa_lines(std::span<const std::uint32_t> words, int order,
                       std::span<const double> log_probs, std::span<const double> backoffs,
                       const Spellings& spellings) {
    require(order >= 1 && order <= kMaxArpaOrder, "order must lie between 1 and 16");
    const std::size_t n = log_probs.size(), width = static_cast<std::size_t>(order);
    require(words.size() == n * width, "words must be (n, order)");
    require(backoffs.empty() || backoffs.size() == n, "one back-off per n-gram, or none");
    std::string out;
    out.reserve(n * (24 + 8 * width));
    for (std::size_t i = 0; i < n; ++i) {
        append_number(out, log_probs[i]);
        for (std::size_t j = 0; j < width; ++j) {
            out += j == 0 ? '\t' : ' ';
            append_word(out, words[i * width + j], spellings);
        }
        if (!backoffs.empty()) {
            out += '\t';
            append_number(out, backoffs[i]);
        }
        out += '\n';
    }
    return out;
}

}  // namespace ngramstat
