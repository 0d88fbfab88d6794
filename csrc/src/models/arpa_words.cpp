#include <stdexcept>

#include "ngramstat/base/key_table.hpp"
#include "ngramstat/models/arpa.hpp"

namespace ngramstat {

namespace {

std::uint64_t hash_of(std::string_view word) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
    for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return mix_bits(hash);
}

}  // namespace

WordTable::WordTable() : slots_(16, kAbsent) {}

// Where the word is, or the free slot where it belongs.
std::size_t WordTable::slot(std::string_view word) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = hash_of(word) & mask;
    while (slots_[i] != kAbsent && (*this)[slots_[i]] != word) i = (i + 1) & mask;
    return i;
}

std::uint32_t WordTable::find(std::string_view word) const { return slots_[slot(word)]; }

std::uint32_t WordTable::add(std::string_view word) {
    if (2 * (size() + 1) > slots_.size()) {
        slots_.assign(2 * slots_.size(), kAbsent);
        for (std::size_t i = 0; i < size(); ++i) {
            slots_[slot((*this)[i])] = static_cast<std::uint32_t>(i);
        }
    }
    const std::size_t at = slot(word);
    if (slots_[at] != kAbsent) return kAbsent;
    if (size() + 1 >= kAbsent) throw std::overflow_error("more than 2^32 - 2 words");
    slots_[at] = static_cast<std::uint32_t>(size());
    text_ += word;
    ends_.push_back(text_.size());
    return slots_[at];
}

}  // namespace ngramstat
