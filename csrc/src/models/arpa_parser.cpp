#include <charconv>
#include <cmath>
#include <stdexcept>

#include "ngramstat/models/arpa.hpp"

namespace ngramstat {

namespace {

constexpr std::size_t kMaxLine = std::size_t{1} << 20;
constexpr std::size_t kMaxPreamble = std::size_t{1} << 16;
// A log probability above zero by no more than this is a rounded zero.
constexpr double kRounding = 1e-6;
// Characters of a line that messages show.
constexpr std::size_t kShown = 40;

bool is_space(char c) { return c == ' ' || c == '\t'; }

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (is_space(text.back()) || text.back() == '\r')) text.remove_suffix(1);
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    return text;
}

// Takes the next field off a line; empty at its end.
std::string_view next_field(std::string_view& line) {
    while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
    std::size_t size = 0;
    while (size < line.size() && !is_space(line[size])) ++size;
    const std::string_view field = line.substr(0, size);
    line.remove_prefix(size);
    return field;
}

// What messages show of a text: its beginning, in printable ASCII.
std::string shown(std::string_view text) {
    std::string out = "'";
    for (const char c : text.substr(0, kShown)) out += c >= ' ' && c <= '~' ? c : '?';
    return out + (text.size() > kShown ? "...'" : "'");
}

std::string section_name(int order) {
    std::string name("\\");
    name += std::to_string(order);
    name += "-grams:";
    return name;
}

template <class Number>
bool parse_whole(std::string_view text, Number& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

void ArpaParser::fail(const std::string& message) const {
    throw std::invalid_argument("line " + std::to_string(line_) + ": " + message);
}

void ArpaParser::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t end = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, end);
        if (partial_.size() + piece.size() > kMaxLine) {
            ++line_;
            fail("is longer than 1 MiB; is this an ARPA file?");
        }
        if (end == std::string_view::npos) {
            partial_ += piece;
            return;
        }
        bytes.remove_prefix(end + 1);
        ++line_;
        if (partial_.empty()) {
            read_line(piece);
            continue;
        }
        partial_ += piece;
        read_line(partial_);
        partial_.clear();
    }
}

void ArpaParser::finish() {
    if (!partial_.empty()) {
        ++line_;
        // The last line needs no end, but then it has to be the last one.
        if (state_ == State::preamble || state_ == State::done || trimmed(partial_) == "\\end\\") {
            read_line(partial_);
        }
        partial_.clear();
    }
    if (state_ == State::preamble) fail("the file ends, and holds no \\data\\");
    if (state_ != State::done) fail("the file ends without \\end\\; it is truncated");
}

std::vector<ArpaEntries> ArpaParser::take() {
    std::vector<ArpaEntries> taken;
    taken.swap(entries_);
    return taken;
}

void ArpaParser::read_line(std::string_view line) {
    const std::string_view text = trimmed(line);
    switch (state_) {
        case State::preamble:
            return read_preamble(line);
        case State::header:
            if (text.empty()) return;
            return text.front() == '\\' ? begin_section(text) : read_count(text);
        case State::between:
            if (text.empty()) return;
            if (text.front() != '\\') fail(shown(text) + " stands between the sections");
            return begin_section(text);
        case State::entries:
            return read_in_section(text);
        case State::done:
            if (!text.empty()) fail(shown(text) + " follows \\end\\");
    }
}

void ArpaParser::read_preamble(std::string_view line) {
    if (trimmed(line) == "\\data\\") {
        state_ = State::header;
    } else if (preamble_.size() + line.size() < kMaxPreamble) {
        preamble_.append(line).push_back('\n');
    } else {
        fail("there is no \\data\\ in the first 64 KiB; this is no ARPA file");
    }
}

// An n-gram, or what ends them: an empty line or the next section. Empty lines may come before the
// first n-gram.
void ArpaParser::read_in_section(std::string_view text) {
    if (!text.empty() && text.front() != '\\') return read_entry(text);
    if (text.empty() && read_ == 0) return;
    end_section();
    if (!text.empty()) begin_section(text);
}

void ArpaParser::read_count(std::string_view line) {
    std::string_view rest = line;
    int order = 0;
    Count count = 0;
    const bool is_count = next_field(rest) == "ngram";
    const std::size_t equals = rest.find('=');
    if (!is_count || equals == std::string_view::npos ||
        !parse_whole(trimmed(rest.substr(0, equals)), order) ||
        !parse_whole(trimmed(rest.substr(equals + 1)), count)) {
        fail(shown(line) + " is no count such as 'ngram 1=100'");
    }
    if (order != static_cast<int>(counts_.size()) + 1) {
        fail("the counts of the header are not those of orders 1, 2, 3, ...");
    }
    if (order > kMaxArpaOrder) {
        fail("n-grams of more than " + std::to_string(kMaxArpaOrder) + " words are not read");
    }
    counts_.push_back(count);
}

void ArpaParser::begin_section(std::string_view line) {
    if (counts_.empty()) fail("the header has no counts of n-grams");
    if (state_ == State::entries) end_section();
    const std::size_t orders = counts_.size();
    if (line == "\\end\\") {
        if (first_lines_.size() != orders) {
            fail("\\end\\ where " + section_name(order() + 1) + " was expected");
        }
        state_ = State::done;
        return;
    }
    const std::string expected =
        first_lines_.size() == orders ? "\\end\\" : section_name(order() + 1);
    if (line != expected) fail(shown(line) + " where " + expected + " was expected");
    first_lines_.push_back(line_ + 1);
    read_ = 0;
    state_ = State::entries;
}

// Every n-gram of the current section has been read.
void ArpaParser::end_section() {
    const Count stated = counts_[static_cast<std::size_t>(order() - 1)];
    if (read_ != stated) {
        fail("the section ends after " + std::to_string(read_) + " " + std::to_string(order()) +
             "-grams; the header states " + std::to_string(stated));
    }
    state_ = State::between;
}

double ArpaParser::read_number(std::string_view field, const char* what) const {
    double value = 0.0;
    if (!parse_whole(field, value) || !std::isfinite(value)) {
        fail(shown(field) + " is no finite " + what);
    }
    return value;
}

std::uint32_t ArpaParser::read_word(std::string_view word) {
    if (order() == 1) {
        const std::uint32_t number = words_.add(word);
        if (number == WordTable::kAbsent) fail("the word " + shown(word) + " was there before");
        return number;
    }
    const std::uint32_t number = words_.find(word);
    if (number == WordTable::kAbsent) fail("the word " + shown(word) + " is none of the 1-grams");
    return number;
}

void ArpaParser::read_entry(std::string_view line) {
    const int n = order();
    if (read_ == 0) first_lines_.back() = line_;
    if (++read_ > counts_[static_cast<std::size_t>(n - 1)]) {
        fail("more " + std::to_string(n) + "-grams than the " +
             std::to_string(counts_[static_cast<std::size_t>(n - 1)]) + " that the header states");
    }
    if (entries_.empty() || entries_.back().order != n) entries_.push_back({n, {}, {}, {}});
    ArpaEntries& entries = entries_.back();
    std::string_view rest = line;
    double log_prob = read_number(next_field(rest), "log probability");
    if (log_prob > kRounding) fail("the log probability is above 0");
    entries.log_probs.push_back(log_prob > 0 ? 0.0 : log_prob);
    for (int i = 0; i < n; ++i) {
        const std::string_view word = next_field(rest);
        if (word.empty()) fail("has fewer than " + std::to_string(n) + " words");
        entries.words.push_back(read_word(word));
    }
    const std::string_view field = next_field(rest);
    const double backoff = field.empty() ? 0.0 : read_number(field, "back-off");
    if (!next_field(rest).empty()) {
        fail("has more fields than a probability, " + std::to_string(n) + " words and a back-off");
    }
    if (backoff != 0.0 && n == static_cast<int>(counts_.size())) {
        fail("an n-gram of the highest order has a back-off");
    }
    entries.backoffs.push_back(backoff);
}

}  // namespace ngramstat
