// The documents of a token stream: where they lie, and which of them are counted or resampled
// together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// The documents partition the stream: document d is [starts()[d], ends()[d]). Its content is the
// part without separators, and may be empty.
//
// Every document belongs to a fold (of which the first half make half 0 of the corpus, the others
// half 1) and to a cluster of documents that are resampled together. All spans have one entry per
// document and live as long as the object.
class Documents {
  public:
    static constexpr Index kMaxFolds = 256;
    static constexpr Index kMaxClusters = Index{1} << 29;

    // The part of each document that is its content.
    struct Content {
        std::vector<Index> starts;
        std::vector<Index> ends;
    };
    struct Folds {
        std::vector<std::uint8_t> labels;  // below `count`
        Index count;                       // even, at most kMaxFolds
    };
    struct Clusters {
        std::vector<std::uint32_t> labels;  // below `count`
        Index count;                        // below kMaxClusters
    };

    // `ends` are exclusive and strictly increasing; the last one is the number of tokens. Throws
    // std::invalid_argument where the arrays contradict this description.
    Documents(std::span<const Index> ends, Content content, Folds folds, Clusters clusters);
    // Documents that are all content, in fold 0 of two and in one cluster.
    explicit Documents(std::span<const Index> ends);
    // The whole stream as one document; no document where it is empty.
    static Documents single(Index n_tokens);
    // The same documents in other clusters.
    Documents with_clusters(Clusters clusters) const;

    Index size() const { return static_cast<Index>(folds_.labels.size()); }
    Index n_tokens() const { return bounds_.back(); }
    Index n_folds() const { return folds_.count; }
    Index n_clusters() const { return clusters_.count; }

    std::span<const Index> starts() const { return std::span(bounds_).first(bounds_.size() - 1); }
    std::span<const Index> ends() const { return std::span(bounds_).subspan(1); }
    std::span<const Index> content_starts() const { return content_.starts; }
    std::span<const Index> content_ends() const { return content_.ends; }
    std::span<const std::uint8_t> folds() const { return folds_.labels; }
    std::span<const std::uint8_t> halves() const { return halves_; }  // 0 or 1
    std::span<const std::uint32_t> clusters() const { return clusters_.labels; }
    // fold * 4 / n_folds of each document: quarters 0 and 1 make half 0 where n_folds is a
    // multiple of 4.
    std::vector<std::uint8_t> quarters() const;

    // Throws std::invalid_argument unless the documents cover exactly `n_tokens` tokens.
    void require_length(Index n_tokens) const;

  private:
    void check_content() const;
    void check_folds() const;
    void check_clusters() const;

    std::vector<Index> bounds_;  // 0, then the ends
    Content content_;
    Folds folds_;
    Clusters clusters_;
    std::vector<std::uint8_t> halves_;
};

}  // namespace ngramstat
