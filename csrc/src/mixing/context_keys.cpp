#include "ngramstat/mixing/context_keys.hpp"

#include <bit>

namespace ngramstat {

ContextKeys::ContextKeys(const Vocabulary& vocabulary, const ContextPattern& pattern,
                         std::span<const std::uint32_t> class_maps)
    : vocabulary_(vocabulary), offsets_(pattern.offsets) {
    require(vocabulary.size >= 1 && vocabulary.size < KeyTable::kAbsent,
            "vocab_size must be at least 1");
    require(vocabulary.stop_token >= -1 && vocabulary.stop_token <= vocabulary.size,
            "stop_token must be -1 or a symbol");
    require(pattern.maps.size() == pattern.offsets.size(), "one map per offset");
    const Index n_symbols = vocabulary.n_symbols();
    const Index n_maps = static_cast<Index>(class_maps.size()) / n_symbols;
    require(n_maps * n_symbols == static_cast<Index>(class_maps.size()),
            "class_maps must be (n_maps, n_symbols)");
    int bits = 0;
    for (std::size_t j = 0; j < pattern.offsets.size(); ++j) {
        require(pattern.offsets[j] >= 1 && pattern.offsets[j] <= kMaxOffset,
                "offsets must lie in 1 .. 16");
        require(pattern.maps[j] >= -1 && pattern.maps[j] < n_maps, "there is no such class map");
        longest_offset_ = std::max<Index>(longest_offset_, pattern.offsets[j]);
        std::uint64_t largest = static_cast<std::uint64_t>(n_symbols - 1);
        classes_.emplace_back();
        if (pattern.maps[j] >= 0) {
            const auto map =
                class_maps.subspan(static_cast<std::size_t>(pattern.maps[j] * n_symbols),
                                   static_cast<std::size_t>(n_symbols));
            classes_.back().assign(map.begin(), map.end());
            largest = *std::max_element(map.begin(), map.end());
        }
        bits_.push_back(static_cast<int>(std::bit_width(largest)));
        bits += bits_.back();
    }
    exact_ = bits < 64;
}

}  // namespace ngramstat
