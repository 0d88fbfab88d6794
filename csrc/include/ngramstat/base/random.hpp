// Counter-based random words and discrete draws from them, in integers alone: word n of a key is a
// function of (key, n), so any part of a sample can be made by itself, on any thread, and comes out
// the same on every machine.
#pragma once

#include <cstdint>
#include <span>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// SplitMix64 (Steele, Lea and Flood 2014) with its counter in the open.
inline std::uint64_t random_word(std::uint64_t key, std::uint64_t n) {
    std::uint64_t z = key + (n + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

// Walker's alias method: column c is taken with probability threshold[c] / 2^64, else alias[c]. A
// column that is always taken is its own alias.
struct AliasTable {
    std::span<const std::uint64_t> threshold;
    std::span<const std::uint32_t> alias;

    std::uint32_t size() const { return static_cast<std::uint32_t>(threshold.size()); }

    // One word gives the column (its high part times the size) and the choice (what is left).
    std::uint32_t pick(std::uint64_t word) const {
        const auto product = static_cast<unsigned __int128>(word) * threshold.size();
        const auto column = static_cast<std::uint32_t>(product >> 64);
        return static_cast<std::uint64_t>(product) < threshold[column] ? column : alias[column];
    }
};

// Throws std::invalid_argument unless the table can be drawn from.
inline void check_alias_table(const AliasTable& table) {
    require(!table.threshold.empty() && table.threshold.size() < (std::size_t{1} << 32) &&
                table.alias.size() == table.threshold.size(),
            "an alias table needs 1 .. 2^32-1 columns");
    for (const std::uint32_t other : table.alias) {
        require(other < table.size(), "an alias table points beyond its columns");
    }
}

}  // namespace ngramstat
