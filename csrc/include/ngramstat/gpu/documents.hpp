// The twin of base/documents.hpp: documents in device memory, and which one holds a position.
#pragma once

#include <algorithm>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/pairs/labelled_segments.hpp"

namespace ngramstat::gpu {

inline constexpr std::uint32_t kRemaining = 0x7fffffff;

// A lag as kernel bodies compare it with the remaining tokens, which saturate at kRemaining. Longer
// lags are refused, except those beyond the stream, which have no pairs.
inline std::uint32_t checked_lag(Index lag, Index n_tokens) {
    require(lag >= 1, "lags must be at least 1");
    require(lag < static_cast<Index>(kRemaining) || lag >= n_tokens,
            "the GPU counts lags below 2^31 - 1");
    return static_cast<std::uint32_t>(std::min(lag, static_cast<Index>(kRemaining)));
}

// Arrays of the documents in device memory.
struct DocumentsView {
    static constexpr int kShift = 12;

    const Index *ends, *content_starts, *content_ends;
    const std::uint8_t *halves, *folds;
    Index n;
    const std::uint32_t* coarse;  // the document of every 2^kShift-th position

    NGRAMSTAT_HD Index at(Index position) const {
        const Index low = coarse[position >> kShift], high = coarse[(position >> kShift) + 1];
        return low + first_above(ends + low, high - low, position);
    }
};

struct CoarseDocuments {
    const Index* ends;
    Index n;
    std::uint32_t* coarse;

    NGRAMSTAT_HD void operator()(Index k) const {
        const Index d = first_above(ends, n, k << DocumentsView::kShift);
        coarse[k] = static_cast<std::uint32_t>(d < n ? d : n - 1);
    }
};

// Half of a position's document in the top bit; below, how many tokens of its content follow.
struct DescribePositions {
    DocumentsView documents;
    Index first;
    std::uint32_t* position_info;

    NGRAMSTAT_HD void operator()(Index i) const {
        const Index position = first + i;
        const Index d = documents.at(position);
        std::uint32_t remaining = 0;
        if (position >= documents.content_starts[d] && position < documents.content_ends[d]) {
            const Index left = documents.content_ends[d] - position;
            remaining = left < static_cast<Index>(kRemaining) ? static_cast<std::uint32_t>(left)
                                                              : kRemaining;
        }
        position_info[i] = static_cast<std::uint32_t>(documents.halves[d]) << 31 | remaining;
    }
};

// The fold of each position's document.
struct FoldsOfPositions {
    DocumentsView documents;
    std::uint8_t* labels;

    NGRAMSTAT_HD void operator()(Index position) const {
        labels[position] = documents.folds[documents.at(position)];
    }
};

// See PairLabel::half_and_position; 0 outside the content of documents.
struct BinsOfPositions {
    DocumentsView documents;
    std::uint8_t* labels;

    NGRAMSTAT_HD void operator()(Index position) const {
        const Index d = documents.at(position);
        labels[position] = 0;
        if (position < documents.content_starts[d] || position >= documents.content_ends[d]) return;
        Index bin = 0;
        for (Index left = position - documents.content_starts[d];
             left > 0 && bin + 1 < kPositionBins; left >>= 1) {
            ++bin;
        }
        labels[position] = static_cast<std::uint8_t>(documents.halves[d] * kPositionBins + bin);
    }
};

template <class Executor>
class DocumentsOn {
  public:
    // Throws std::invalid_argument unless the documents cover the stream.
    DocumentsOn(Executor& on, const Documents& documents, Index n_tokens)
        : on_(on), n_(documents.size()) {
        documents.require_length(n_tokens);
        ends_ = to_device(on, documents.ends());
        content_starts_ = to_device(on, documents.content_starts());
        content_ends_ = to_device(on, documents.content_ends());
        halves_ = to_device(on, documents.halves());
        folds_ = to_device(on, documents.folds());
        coarse_ = Buffer<std::uint32_t>(on, (n_tokens >> DocumentsView::kShift) + 2);
        on.for_each(coarse_.size(), CoarseDocuments{ends_.data(), n_, coarse_.data()});
    }

    // See DescribePositions, for the positions [first, first + n).
    Buffer<std::uint32_t> describe(Index first, Index n) const {
        Buffer<std::uint32_t> position_info(on_, n);
        on_.for_each(n, DescribePositions{view(), first, position_info.data()});
        return position_info;
    }
    DocumentsView view() const {
        return {ends_.data(),   content_starts_.data(), content_ends_.data(),
                halves_.data(), folds_.data(),          n_,
                coarse_.data()};
    }

  private:
    Executor& on_;
    Index n_;
    Buffer<Index> ends_, content_starts_, content_ends_;
    Buffer<std::uint8_t> halves_, folds_;
    Buffer<std::uint32_t> coarse_;
};

}  // namespace ngramstat::gpu
