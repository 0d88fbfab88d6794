// Finds the document (or other interval of the stream) that holds a position.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Which interval contains a position, from the intervals' ends. A table that fits the cache gives
// the first candidate for each run of positions, from which a linear search continues.
class IntervalLookup {
  public:
    IntervalLookup() = default;
    // end(k) is the exclusive end of interval k; ends do not fall.
    template <class End>
    IntervalLookup(Index n_intervals, End&& end) {
        for (Index k = 0; k < n_intervals; ++k) ends_.push_back(end(k));
        const Index n = n_intervals == 0 ? 0 : ends_.back();
        while (n >> bits_ > std::max<Index>(kTable, n_intervals)) ++bits_;
        std::uint32_t interval = 0;
        for (Index start = 0; start < n; start += Index{1} << bits_) {
            while (ends_[interval] <= start) ++interval;
            first_.push_back(interval);
        }
    }
    // The first interval that ends after the position, which must be below the last end.
    std::uint32_t operator()(Index position) const {
        std::uint32_t interval = first_[static_cast<std::size_t>(position >> bits_)];
        while (ends_[interval] <= position) ++interval;
        return interval;
    }
    Index end(std::uint32_t interval) const { return ends_[interval]; }

  private:
    static constexpr Index kTable = 1 << 16;

    int bits_ = 6;
    std::vector<Index> ends_;
    std::vector<std::uint32_t> first_;
};

}  // namespace ngramstat
