#include "ngramstat/base/documents.hpp"

#include <utility>

#include "ngramstat/base/error.hpp"

namespace ngramstat {

namespace {

std::vector<Index> bounds_of(std::span<const Index> ends) {
    std::vector<Index> bounds{0};
    bounds.reserve(ends.size() + 1);
    for (const Index end : ends) {
        require(end > bounds.back(), "the ends of documents must be strictly increasing");
        bounds.push_back(end);
    }
    return bounds;
}

Documents::Content whole_documents(std::span<const Index> ends) {
    std::vector<Index> starts = bounds_of(ends);
    starts.pop_back();
    return {std::move(starts), {ends.begin(), ends.end()}};
}

}  // namespace

Documents::Documents(std::span<const Index> ends, Content content, Folds folds, Clusters clusters)
    : bounds_(bounds_of(ends)),
      content_(std::move(content)),
      folds_(std::move(folds)),
      clusters_(std::move(clusters)) {
    require(content_.starts.size() == ends.size() && content_.ends.size() == ends.size() &&
                folds_.labels.size() == ends.size() && clusters_.labels.size() == ends.size(),
            "the arrays of documents must have one length");
    check_content();
    check_folds();
    check_clusters();
    halves_.reserve(ends.size());
    for (const std::uint8_t fold : folds_.labels) halves_.push_back(fold >= folds_.count / 2);
}

Documents::Documents(std::span<const Index> ends)
    : Documents(ends, whole_documents(ends), Folds{std::vector<std::uint8_t>(ends.size()), 2},
                Clusters{std::vector<std::uint32_t>(ends.size()), 1}) {}

Documents Documents::single(Index n_tokens) {
    require(n_tokens >= 0, "the number of tokens cannot be negative");
    return Documents(std::span(&n_tokens, n_tokens == 0 ? 0 : 1));
}

Documents Documents::with_clusters(Clusters clusters) const {
    return Documents(ends(), content_, folds_, std::move(clusters));
}

std::vector<std::uint8_t> Documents::quarters() const {
    std::vector<std::uint8_t> quarters;
    quarters.reserve(folds_.labels.size());
    for (const std::uint8_t fold : folds_.labels) {
        quarters.push_back(static_cast<std::uint8_t>(Index{fold} * 4 / folds_.count));
    }
    return quarters;
}

void Documents::require_length(Index n_tokens) const {
    require(this->n_tokens() == n_tokens, "the last document must end where the stream ends");
}

void Documents::check_content() const {
    for (std::size_t d = 0; d < content_.starts.size(); ++d) {
        require(bounds_[d] <= content_.starts[d] && content_.starts[d] <= content_.ends[d] &&
                    content_.ends[d] <= bounds_[d + 1],
                "document content must lie inside its document");
    }
}

void Documents::check_folds() const {
    require(folds_.count >= 2 && folds_.count <= kMaxFolds && folds_.count % 2 == 0,
            "the number of folds must be even, in 2 .. 256");
    for (const std::uint8_t fold : folds_.labels) {
        require(fold < folds_.count, "a document's fold must be below n_folds");
    }
}

void Documents::check_clusters() const {
    require(clusters_.count >= 1 && clusters_.count < kMaxClusters,
            "the number of clusters must lie in 1 .. 2^29 - 1");
    for (const std::uint32_t cluster : clusters_.labels) {
        require(Index{cluster} < clusters_.count, "a document's cluster must be below n_clusters");
    }
}

}  // namespace ngramstat
