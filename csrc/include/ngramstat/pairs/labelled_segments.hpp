// Pieces of the documents of a stream, labelled so that the pairs of one label are summed together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/documents.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// How a pair is labelled. Every label belongs to the document that holds the left token.
//   half               0 or 1
//   fold               0 .. n_folds - 1
//   half_and_position  half * kPositionBins + the position bin of the left token. Positions are
//                      counted from the start of the content; bin 0 holds position 0, bin 1
//                      position 1, bin 2 positions 2 and 3, and so on in powers of two. The last
//                      bin holds position 8192 and all later ones. Pairs inside documents only
enum class PairLabel { half, fold, half_and_position };

inline constexpr Index kPositionBins = 15;

// The pairs of segment s have their left token in [first, last) and their right token below
// right_limit. Those with both tokens in [content_first, content_last) are inside a document.
struct PairSegment {
    Index first;
    Index last;
    Index right_limit;
    Index content_first;
    Index content_last;
    std::uint8_t label;
};

// The segments of all documents, in the order of the stream. Reads the documents where they are:
// they must outlive it.
//   across = true   pairs whose left token lies anywhere in the document, and whose right token
//                   lies anywhere in the stream
//   across = false  pairs inside the content of one document
class LabelledSegments {
  public:
    // Throws std::invalid_argument for half_and_position with across.
    LabelledSegments(const Documents& documents, bool across, PairLabel by);
    LabelledSegments(const LabelledSegments&) = delete;  // spans point into its own vectors
    LabelledSegments& operator=(const LabelledSegments&) = delete;

    Index size() const { return static_cast<Index>(starts_.size()); }
    Index n_labels() const { return n_labels_; }
    Index n_tokens() const { return n_tokens_; }
    PairSegment operator[](Index s) const {
        const auto at = static_cast<std::size_t>(s);
        return {starts_[at],
                ends_[at],
                right_limits_.empty() ? n_tokens_ : right_limits_[at],
                content_starts_[at],
                content_ends_[at],
                labels_[at]};
    }

  private:
    void cut_into_position_bins(const Documents& documents);

    Index n_tokens_;
    Index n_labels_;
    std::span<const Index> starts_, ends_;
    std::span<const Index> content_starts_, content_ends_;
    std::span<const Index> right_limits_;  // empty: the end of the stream for all
    std::span<const std::uint8_t> labels_;
    // Filled for position bins, which are no arrays of the documents.
    std::vector<Index> bin_starts_, bin_ends_, bin_right_limits_;
    std::vector<std::uint8_t> bin_labels_;
};

}  // namespace ngramstat
