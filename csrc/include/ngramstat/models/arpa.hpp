// Language models in ARPA format: text with the log10 probability and back-off of every n-gram.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

inline constexpr int kMaxArpaOrder = 16;

// Distinct words, numbered in the order in which they were added.
class WordTable {
  public:
    static constexpr std::uint32_t kAbsent = 0xffffffffu;

    WordTable();
    std::uint32_t find(std::string_view word) const;
    // The number of a new word; kAbsent if the table holds it already. Throws std::overflow_error
    // beyond 2^32 - 2 words.
    std::uint32_t add(std::string_view word);
    std::size_t size() const { return ends_.size(); }
    std::string_view operator[](std::size_t i) const {
        const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
        return std::string_view(text_).substr(begin, ends_[i] - begin);
    }
    std::size_t bytes() const {
        return text_.capacity() + ends_.capacity() * sizeof(std::size_t) +
               slots_.capacity() * sizeof(std::uint32_t);
    }

  private:
    std::size_t slot(std::string_view word) const;

    std::string text_;               // one word after the other
    std::vector<std::size_t> ends_;  // of each word in text_
    std::vector<std::uint32_t> slots_;
};

// Some consecutive n-grams of one order.
//   words      (n, order), row-major: numbers of the words, oldest first
//   log_probs  (n), log10
//   backoffs   (n), log10; 0 where the file has none
struct ArpaEntries {
    int order = 1;
    std::vector<std::uint32_t> words;
    std::vector<double> log_probs, backoffs;
};

// Reads an ARPA file piece by piece. It is not trusted: whatever is wrong is a
// std::invalid_argument whose message begins with "line N: ". Memory is that of the distinct words
// and of the entries that have not been taken yet.
class ArpaParser {
  public:
    // The next bytes of the file, which may end in the middle of a line.
    void feed(std::string_view bytes);
    // To be called at the end of the file.
    void finish();
    // The entries read since the last call, in the order of the file.
    std::vector<ArpaEntries> take();

    // Numbers of n-grams that the header states, by order.
    const std::vector<Count>& counts() const { return counts_; }
    // By order: the line of its first n-gram; the others follow line by line.
    const std::vector<Index>& first_lines() const { return first_lines_; }
    const WordTable& words() const { return words_; }
    // The lines before the header, which are no part of the model; at most 64 KiB of them.
    const std::string& preamble() const { return preamble_; }

  private:
    enum class State { preamble, header, between, entries, done };

    void read_line(std::string_view line);
    void read_preamble(std::string_view line);
    void read_in_section(std::string_view text);
    void read_count(std::string_view line);
    void begin_section(std::string_view line);
    void end_section();
    void read_entry(std::string_view line);
    double read_number(std::string_view field, const char* what) const;
    std::uint32_t read_word(std::string_view word);
    int order() const { return static_cast<int>(first_lines_.size()); }
    [[noreturn]] void fail(const std::string& message) const;

    State state_ = State::preamble;
    Index line_ = 0;
    std::string partial_;  // the beginning of a line whose end has not come yet
    std::string preamble_;
    std::vector<Count> counts_;
    std::vector<Index> first_lines_;
    Count read_ = 0;  // n-grams of the current section
    WordTable words_;
    std::vector<ArpaEntries> entries_;
};

// The spellings of words: word i is text[ends[i - 1], ends[i]).
struct Spellings {
    std::span<const char> text;
    std::span<const Index> ends;
};

// Lines of the n-grams of one order: log10 probability, words, and, unless `backoffs` is empty,
// log10 back-off. Numbers have nine significant digits, which tell 32-bit floats apart in any base.
//   words      (n, order), row-major
//   log_probs  (n); backoffs (n) or empty
// Throws std::invalid_argument for sizes that do not fit, std::out_of_range for a word that has no
// spelling.
std::string arpa_lines(std::span<const std::uint32_t> words, int order,
                       std::span<const double> log_probs, std::span<const double> backoffs,
                       const Spellings& spellings);

}  // namespace ngramstat
