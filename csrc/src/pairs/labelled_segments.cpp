#include "ngramstat/pairs/labelled_segments.hpp"

#include <algorithm>

#include "ngramstat/base/error.hpp"

namespace ngramstat {

namespace {

// The first position of a bin: 0, 1, 2, 4, 8, ...
Index first_position(Index bin) { return bin == 0 ? 0 : Index{1} << (bin - 1); }

}  // namespace

LabelledSegments::LabelledSegments(const Documents& documents, bool across, PairLabel by)
    : n_tokens_(documents.n_tokens()) {
    if (by == PairLabel::half_and_position) {
        require(!across, "position bins are for pairs inside documents");
        cut_into_position_bins(documents);
        return;
    }
    if (across) {
        starts_ = documents.starts();
        ends_ = documents.ends();
    } else {
        starts_ = documents.content_starts();
        ends_ = right_limits_ = documents.content_ends();
    }
    content_starts_ = documents.content_starts();
    content_ends_ = documents.content_ends();
    labels_ = by == PairLabel::half ? documents.halves() : documents.folds();
    n_labels_ = by == PairLabel::half ? 2 : documents.n_folds();
}

void LabelledSegments::cut_into_position_bins(const Documents& documents) {
    for (std::size_t d = 0; d < documents.starts().size(); ++d) {
        const Index start = documents.content_starts()[d], end = documents.content_ends()[d];
        for (Index bin = 0; bin < kPositionBins && start + first_position(bin) < end; ++bin) {
            const bool is_last = bin + 1 == kPositionBins;
            bin_starts_.push_back(start + first_position(bin));
            bin_ends_.push_back(is_last ? end : std::min(start + first_position(bin + 1), end));
            bin_right_limits_.push_back(end);
            bin_labels_.push_back(
                static_cast<std::uint8_t>(documents.halves()[d] * kPositionBins + bin));
        }
    }
    starts_ = bin_starts_;
    ends_ = bin_ends_;
    right_limits_ = bin_right_limits_;
    content_starts_ = bin_starts_;
    content_ends_ = bin_right_limits_;
    labels_ = bin_labels_;
    n_labels_ = 2 * kPositionBins;
}

}  // namespace ngramstat
