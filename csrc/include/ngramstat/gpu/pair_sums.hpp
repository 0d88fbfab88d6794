// The twin of pairs/pair_products.hpp: sums over the pairs at one lag with vectors, by document and
// by class of pairs, without a table of counts.
//
// Sums by document and bilinear sums read the stream in order, and blocks of threads take pieces of
// its segments. Products by class are one sum for every token: positions are sorted by token within
// chunks of the stream, and every thread keeps sums of its own for each class, so that no addition
// waits for another and the order of all of them is fixed.
//
// Memory: the tokens, 10 bytes per position, 20 per vocabulary item for every 2^24 positions, and
// up to 100 per document.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ngramstat/gpu/count_matrix.hpp"
#include "ngramstat/gpu/documents.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/pair_products.hpp"
#include "ngramstat/gpu/tokens.hpp"

namespace ngramstat::gpu {

// Left positions [first, last) of one segment; the right tokens of its pairs lie below right_limit.
struct Piece {
    Index first, last, right_limit;

    NGRAMSTAT_HD Index end_of_pairs(Index lag) const {
        const Index stop = right_limit - lag;
        return stop < last ? stop : last;
    }
};

// Sums of u[x_i] v[x_j], u[x_i] and v[x_j] over the pairs of a piece, by a block of threads.
template <class Token>
struct SumPieces {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 64;
    static constexpr int kSums = 3;
    static constexpr std::size_t kShared = kSums * kThreads * sizeof(double);

    const Token* tokens;
    const Piece* pieces;
    Index lag;
    const double *u, *v;
    double* sums;  // (pieces, kSums)

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        double* partial = at.shared_as<double>();
        if constexpr (kPhase == 0) {
            const Piece piece = pieces[at.block];
            const Index end = piece.end_of_pairs(lag);
            double product = 0, left = 0, right = 0;
            for (Index i = piece.first + at.thread; i < end; i += at.threads) {
                const double a = u[tokens[i]], b = v[tokens[i + lag]];
                product += a * b;
                left += a;
                right += b;
            }
            partial[at.thread] = product;
            partial[at.threads + at.thread] = left;
            partial[2 * at.threads + at.thread] = right;
        } else if (at.thread < kSums) {
            double sum = 0;
            for (int t = 0; t < at.threads; ++t) sum += partial[at.thread * at.threads + t];
            sums[at.block * kSums + at.thread] = sum;
        }
    }
};

// Pairs and sums of each document, from those of its pieces.
struct SumPiecesOfDocuments {
    static constexpr int kSums = 3;

    const Piece* pieces;
    const Index* first_piece;  // of each document
    Index lag, n_documents;
    const double* of_pieces;
    std::uint64_t* pairs;
    double* sums;  // (kSums, documents)

    NGRAMSTAT_HD void operator()(Index document) const {
        std::uint64_t n = 0;
        double total[kSums] = {};
        for (Index p = first_piece[document]; p < first_piece[document + 1]; ++p) {
            const Index end = pieces[p].end_of_pairs(lag);
            if (end > pieces[p].first) n += static_cast<std::uint64_t>(end - pieces[p].first);
            for (int s = 0; s < kSums; ++s) total[s] += of_pieces[p * kSums + s];
        }
        pairs[document] = n;
        for (int s = 0; s < kSums; ++s) sums[s * n_documents + document] = total[s];
    }
};

// Pieces of one class that a block of threads sums.
struct Batch {
    Index first_piece, last_piece, cls;
};

// The forms of ngramstat::bilinear_forms_by_class over a batch, by groups of kVectors threads, one
// vector of the left side each.
template <class Token>
struct SumBilinear {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 256;
    static constexpr int kSums = static_cast<int>(kVectors);
    static constexpr std::size_t kShared = kSums * kThreads * sizeof(double);

    const Token* tokens;
    const Piece* pieces;
    const Batch* batches;
    Index classes_of_set, vocab_size, lag;
    const float *a, *b;  // (sets, V, kVectors)
    double* sums;        // (batches, kVectors, kSums)

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        double* partial = at.shared_as<double>();
        if constexpr (kPhase == 0) {
            double mine[kSums] = {};
            sum_batch(at, mine);
            for (int s = 0; s < kSums; ++s) partial[s * at.threads + at.thread] = mine[s];
        } else if (at.thread < kSums * kVectors) {
            const int s = at.thread / kVectors, k = at.thread % kVectors;
            double sum = 0;
            for (int t = k; t < at.threads; t += kVectors) sum += partial[s * at.threads + t];
            sums[(at.block * kVectors + k) * kSums + s] = sum;
        }
    }

    NGRAMSTAT_HD void sum_batch(const BlockThread& at, double* mine) const {
        const Batch batch = batches[at.block];
        const Index first_row = batch.cls / classes_of_set * vocab_size;
        const int k = at.thread % kVectors, group = at.thread / kVectors;
        for (Index p = batch.first_piece; p < batch.last_piece; ++p) {
            const Piece piece = pieces[p];
            const Index end = piece.end_of_pairs(lag);
            for (Index i = piece.first + group; i < end; i += at.threads / kVectors) {
                const Index left = first_row + static_cast<Index>(tokens[i]);
                const Index right = first_row + static_cast<Index>(tokens[i + lag]);
                const float *one = a + left * kVectors, *two = b + right * kVectors;
                const double x = one[k];
                for (int s = 0; s < kSums; ++s) mine[s] += x * static_cast<double>(two[s]);
            }
        }
    }
};

struct SumBatchesOfClasses {
    static constexpr Index kSums = kVectors * kVectors;

    const Index* first_batch;  // of each class
    const double* of_batches;
    double* sums;  // (classes, kSums)

    NGRAMSTAT_HD void operator()(Index element) const {
        const Index cls = element / kSums, s = element % kSums;
        double sum = 0;
        for (Index batch = first_batch[cls]; batch < first_batch[cls + 1]; ++batch) {
            sum += of_batches[batch * kSums + s];
        }
        sums[element] = sum;
    }
};

// The class of the pairs at each left position.
struct PairClasses {
    const std::uint8_t* labels;
    std::uint8_t divisor;  // 1, or the folds of a half

    NGRAMSTAT_HD int of(Index left) const { return labels[left] / divisor; }
};

// Sorted positions of one token in a chunk of the stream.
struct TokenRun {
    Index begin;
    std::uint32_t length;
};

// Sums over runs, and numbers of pairs, for the classes [first_class, first_class + n_classes).
template <class Token>
struct SumRunsByClass {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 32;
    static constexpr int kClasses = 32;  // at most
    static constexpr std::size_t kShared =
        kClasses * kThreads * (sizeof(double) + sizeof(std::uint32_t));

    PairAt<Token> pair;
    PairClasses classes;
    const TokenRun* runs;
    const std::uint32_t* positions;  // sorted by token within chunks
    Index first_position;            // of the chunk
    int first_class, n_classes, classes_of_set;
    Index vocab_size;
    const double* x;  // (sets, V)
    double* sums;     // (runs, n_classes)
    std::uint32_t* counts;

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        double* own_sums = at.shared_as<double>();  // (n_classes, threads)
        auto* own_counts = reinterpret_cast<std::uint32_t*>(own_sums + kClasses * at.threads);
        if constexpr (kPhase == 0) {
            for (int c = 0; c < n_classes; ++c) {
                own_sums[c * at.threads + at.thread] = 0;
                own_counts[c * at.threads + at.thread] = 0;
            }
            const TokenRun run = runs[at.block];
            for (auto e = static_cast<std::uint32_t>(at.thread); e < run.length;
                 e += static_cast<std::uint32_t>(at.threads)) {
                const Index position =
                    first_position + static_cast<Index>(positions[run.begin + e]);
                if (pair.half_of(position) < 0) continue;
                const int cls = classes.of(pair.backward ? position - pair.lag : position);
                const int c = cls - first_class;
                if (c < 0 || c >= n_classes) continue;
                const Index row = static_cast<Index>(cls / classes_of_set) * vocab_size;
                own_sums[c * at.threads + at.thread] += x[row + pair.other(position)];
                ++own_counts[c * at.threads + at.thread];
            }
        } else {
            for (int c = at.thread; c < n_classes; c += at.threads) {
                double sum = 0;
                std::uint32_t count = 0;
                for (int t = 0; t < at.threads; ++t) {
                    sum += own_sums[c * at.threads + t];
                    count += own_counts[c * at.threads + t];
                }
                sums[at.block * n_classes + c] = sum;
                counts[at.block * n_classes + c] = count;
            }
        }
    }
};

// Adds the sums of a chunk's runs to those of their tokens.
struct AddRunsByClass {
    const std::uint32_t* first_run;  // of each token, among those of the chunk
    int first_class, n_classes;
    Index vocab_size;
    const double* sums;
    const std::uint32_t* counts;
    double* out_sums;  // (classes, V)
    std::uint64_t* out_counts;

    NGRAMSTAT_HD void operator()(Index element) const {
        const Index c = element / vocab_size, token = element % vocab_size;
        double sum = 0;
        std::uint64_t count = 0;
        for (std::uint32_t run = first_run[token]; run < first_run[token + 1]; ++run) {
            sum += sums[static_cast<Index>(run) * n_classes + c];
            count += counts[static_cast<Index>(run) * n_classes + c];
        }
        out_sums[first_class * vocab_size + element] += sum;
        out_counts[first_class * vocab_size + element] += count;
    }
};

template <class Executor, class Token>
class PairSummerOn : public PairSummer {
  public:
    PairSummerOn(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                 const Documents& documents)
        : on_(on), n_(tokens.size), vocab_size_(vocab_size), documents_(documents) {
        const auto active = on_.activate();
        const DocumentsOn<Executor> on_device(on_, documents, n_);
        windows_.emplace(on_, tokens, 1.0);
        if (!windows_->is_whole()) {
            throw DeviceMemoryError(static_cast<std::size_t>(n_) * sizeof(Token), on_.available(),
                                    on_.limit());
        }
        count_tokens(on_, *windows_, tokens, vocab_size);  // refuses tokens outside the vocabulary
        position_info_ = on_device.describe(0, n_);
        folds_ = Buffer<std::uint8_t>(on_, n_);
        bins_ = Buffer<std::uint8_t>(on_, n_);
        on_.for_each(n_, FoldsOfPositions{on_device.view(), folds_.data()});
        on_.for_each(n_, BinsOfPositions{on_device.view(), bins_.data()});
        sort_positions();
    }

    // The tokens that kernels read may be the caller's.
    ~PairSummerOn() override { on_.synchronize(); }

    PairSums sum_by_document(Index lag, std::span<const double> u, std::span<const double> v,
                             bool across) override {
        require(static_cast<Index>(u.size()) == vocab_size_ && u.size() == v.size(),
                "u and v must have vocab_size entries");
        checked_lag(lag, n_);
        const auto active = on_.activate();
        const Pieces& pieces = pieces_of_documents(across);
        const auto left = to_device(on_, u), right = to_device(on_, v);
        using Body = SumPieces<Token>;
        Buffer<double> of_pieces(on_, pieces.list.size() * Body::kSums);
        on_.for_blocks(pieces.list.size(), Body::kThreads, Body::kShared,
                       Body{windows_->whole(), pieces.list.data(), lag, left.data(), right.data(),
                            of_pieces.data()});
        const Index n = documents_.size();
        Buffer<std::uint64_t> pairs(on_, n);
        Buffer<double> sums(on_, n * Body::kSums);
        on_.for_each(n, SumPiecesOfDocuments{pieces.list.data(), pieces.first.data(), lag, n,
                                             of_pieces.data(), pairs.data(), sums.data()});
        const auto size = static_cast<std::size_t>(n);
        PairSums result{std::vector<Count>(size), std::vector<double>(size),
                        std::vector<double>(size), std::vector<double>(size)};
        on_.download(result.pairs.data(), pairs.data(), n);
        on_.download(result.product.data(), sums.data(), n);
        on_.download(result.left.data(), sums.data() + n, n);
        on_.download(result.right.data(), sums.data() + 2 * n, n);
        return result;
    }

    ClassProducts multiply_by_class(Index lag, std::span<const double> u, std::span<const double> v,
                                    bool across, PairLabel by) override {
        const Index n_classes = check_classes(across, by);
        const Index sets = sets_of_vectors(u.size(), vocab_size_, n_classes);
        require(v.size() == u.size(), "u and v must have one size");
        checked_lag(lag, n_);
        const auto active = on_.activate();
        const auto left = to_device(on_, u), right = to_device(on_, v);
        const auto size = static_cast<std::size_t>(n_classes * vocab_size_);
        ClassProducts products{std::vector<double>(size),
                               std::vector<double>(size),
                               {std::vector<Count>(size), std::vector<Count>(size)}};
        const int of_set = static_cast<int>(n_classes / sets);
        sum_runs(pair(lag, across, false), by, of_set, right, products.left, products.counts.left);
        sum_runs(pair(lag, across, true), by, of_set, left, products.right, products.counts.right);
        return products;
    }

    std::vector<double> bilinear_forms_by_class(Index lag, std::span<const float> a,
                                                std::span<const float> b, bool across,
                                                PairLabel by) override {
        const Index n_classes = check_classes(across, by);
        const Index sets = sets_of_vectors(a.size(), vocab_size_ * kBlockSize, n_classes);
        require(b.size() == a.size(), "a and b must have one size");
        const Index of_set = n_classes / sets;
        require(of_set <= kBlockSize, "at most kBlockSize classes a set of vectors");
        checked_lag(lag, n_);
        const auto active = on_.activate();
        const Batches& batches = batches_of_classes(across, by);
        const auto left = to_device(on_, a), right = to_device(on_, b);
        using Body = SumBilinear<Token>;
        Buffer<double> of_batches(on_, batches.list.size() * SumBatchesOfClasses::kSums);
        on_.for_blocks(batches.list.size(), Body::kThreads, Body::kShared,
                       Body{windows_->whole(), batches.pieces.data(), batches.list.data(), of_set,
                            vocab_size_, lag, left.data(), right.data(), of_batches.data()});
        Buffer<double> sums(on_, n_classes * SumBatchesOfClasses::kSums);
        on_.for_each(sums.size(),
                     SumBatchesOfClasses{batches.first.data(), of_batches.data(), sums.data()});
        std::vector<double> result(static_cast<std::size_t>(sums.size()));
        on_.download(result.data(), sums.data(), sums.size());
        return result;
    }

  private:
    // Positions that are sorted together.
    static constexpr Index kChunk = Index{1} << 24;
    // Longest piece of a document and longest run: enough blocks of threads for one long document.
    static constexpr Index kLongest = Index{1} << 14;
    // Positions of a batch of pieces, about.
    static constexpr Index kOfBatch = Index{1} << 14;

    struct Pieces {
        Buffer<Piece> list;
        Buffer<Index> first;  // of each document
    };
    struct Batches {
        Buffer<Piece> pieces;
        Buffer<Batch> list;
        Buffer<Index> first;  // of each class
    };

    PairAt<Token> pair(Index lag, bool across, bool backward) const {
        return {windows_->whole(), position_info_.data(), n_, lag, across, backward};
    }
    static Index sets_of_vectors(std::size_t size, Index length, Index n_classes) {
        const Index sets = static_cast<Index>(size) / length;
        require(sets >= 1 && sets * length == static_cast<Index>(size) && n_classes % sets == 0,
                "the vectors must have one entry per token type, and serve equal numbers of "
                "classes");
        return sets;
    }
    Index check_classes(bool across, PairLabel by) const {
        require(!across || by != PairLabel::half_and_position,
                "position bins are for pairs inside documents");
        if (by == PairLabel::half) return 2;
        return by == PairLabel::fold ? documents_.n_folds() : 2 * kPositionBins;
    }
    PairClasses classes(PairLabel by) const {
        if (by == PairLabel::half_and_position) return {bins_.data(), 1};
        const Index folds = by == PairLabel::half ? documents_.n_folds() / 2 : 1;
        return {folds_.data(), static_cast<std::uint8_t>(folds)};
    }

    // Calls visit(piece, label) for all segments, cut into pieces, in the order of the stream.
    template <class Visit>
    static void for_pieces(const LabelledSegments& segments, Visit&& visit) {
        for (Index s = 0; s < segments.size(); ++s) {
            const PairSegment segment = segments[s];
            for (Index first = segment.first; first < segment.last; first += kLongest) {
                visit(Piece{first, std::min(first + kLongest, segment.last), segment.right_limit},
                      s, static_cast<Index>(segment.label));
            }
        }
    }

    // Kept, as every lag needs them; their last pairs depend on the lag, where they begin does not.
    const Pieces& pieces_of_documents(bool across) {
        auto& kept = pieces_[across ? 1 : 0];
        if (!kept) {
            const LabelledSegments segments(documents_, across, PairLabel::half);
            std::vector<Piece> list;
            std::vector<Index> first(static_cast<std::size_t>(segments.size()) + 1, 0);
            for_pieces(segments, [&](const Piece& piece, Index segment, Index) {
                list.push_back(piece);
                ++first[static_cast<std::size_t>(segment) + 1];
            });
            for (std::size_t d = 1; d < first.size(); ++d) first[d] += first[d - 1];
            kept.emplace(Pieces{to_device(on_, std::span<const Piece>(list)),
                                to_device(on_, std::span<const Index>(first))});
        }
        return *kept;
    }

    const Batches& batches_of_classes(bool across, PairLabel by) {
        const std::pair key{across, by};
        if (const auto kept = batches_.find(key); kept != batches_.end()) return kept->second;
        const LabelledSegments segments(documents_, across, by);
        std::vector<std::vector<Piece>> by_class(static_cast<std::size_t>(segments.n_labels()));
        for_pieces(segments, [&](const Piece& piece, Index, Index label) {
            by_class[static_cast<std::size_t>(label)].push_back(piece);
        });
        std::vector<Piece> pieces;
        std::vector<Batch> list;
        std::vector<Index> first{0};
        for (Index cls = 0; cls < segments.n_labels(); ++cls) {
            Index size = kOfBatch;  // the class's first piece begins a batch
            for (const Piece& piece : by_class[static_cast<std::size_t>(cls)]) {
                const auto at = static_cast<Index>(pieces.size());
                if (size >= kOfBatch) {
                    list.push_back({at, at, cls});
                    size = 0;
                }
                pieces.push_back(piece);
                list.back().last_piece = at + 1;
                size += piece.last - piece.first;
            }
            first.push_back(static_cast<Index>(list.size()));
        }
        Batches batches{to_device(on_, std::span<const Piece>(pieces)),
                        to_device(on_, std::span<const Batch>(list)),
                        to_device(on_, std::span<const Index>(first))};
        return batches_.emplace(key, std::move(batches)).first->second;
    }

    // Sorts the positions of every chunk by token, and cuts them into runs.
    void sort_positions() {
        positions_ = Buffer<std::uint32_t>(on_, n_);
        std::vector<TokenRun> runs;
        std::vector<std::uint32_t> first_run;
        const Index largest = std::min(n_, kChunk);
        Buffer<std::uint32_t> keys(on_, largest), other_keys(on_, largest);
        Buffer<std::uint32_t> sorted(on_, largest), other(on_, largest);
        Buffer<std::uint32_t> starts(on_, vocab_size_ + 1);
        std::vector<std::uint32_t> bounds(static_cast<std::size_t>(vocab_size_) + 1);
        for (Index first = 0; first < n_; first += kChunk) {
            const Index size = std::min(kChunk, n_ - first);
            on_.for_each(size, PositionsOfTokens<Token>{windows_->whole() + first, keys.data(),
                                                        sorted.data()});
            on_.sort_pairs(keys, other_keys, sorted, other, size,
                           bits_below(static_cast<std::uint64_t>(vocab_size_)));
            on_.copy(positions_.data() + first, sorted.data(), size);
            on_.for_each(vocab_size_ + 1, RowStarts<std::uint32_t, std::uint32_t>{
                                              keys.data(), size, 0, 0, starts.data()});
            on_.download(bounds.data(), starts.data(), vocab_size_ + 1);
            runs_of_chunk_.push_back(static_cast<Index>(runs.size()));
            for (std::size_t token = 0; token + 1 < bounds.size(); ++token) {
                first_run.push_back(static_cast<std::uint32_t>(static_cast<Index>(runs.size()) -
                                                               runs_of_chunk_.back()));
                for (Index begin = bounds[token]; begin < bounds[token + 1]; begin += kLongest) {
                    const Index length = std::min<Index>(kLongest, bounds[token + 1] - begin);
                    runs.push_back({first + begin, static_cast<std::uint32_t>(length)});
                }
            }
            first_run.push_back(static_cast<std::uint32_t>(static_cast<Index>(runs.size()) -
                                                           runs_of_chunk_.back()));
        }
        runs_of_chunk_.push_back(static_cast<Index>(runs.size()));
        runs_ = to_device(on_, std::span<const TokenRun>(runs));
        first_run_ = to_device(on_, std::span<const std::uint32_t>(first_run));
    }

    // Sums of x at the other token of each pair, and pairs, by class and token, (classes, V).
    void sum_runs(const PairAt<Token>& pairs, PairLabel by, int classes_of_set,
                  const Buffer<double>& x, std::vector<double>& sums,
                  std::vector<Count>& counts) const {
        using Body = SumRunsByClass<Token>;
        const auto size = static_cast<Index>(sums.size());
        const int n_classes = static_cast<int>(size / vocab_size_);
        Buffer<double> out_sums(on_, size);
        Buffer<std::uint64_t> out_counts(on_, size);
        on_.clear(out_sums.data(), size);
        on_.clear(out_counts.data(), size);
        Index most_runs = 0;
        for (std::size_t c = 0; c + 1 < runs_of_chunk_.size(); ++c) {
            most_runs = std::max(most_runs, runs_of_chunk_[c + 1] - runs_of_chunk_[c]);
        }
        const Index cells = most_runs * std::min(n_classes, Body::kClasses);
        Buffer<double> run_sums(on_, cells);
        Buffer<std::uint32_t> run_counts(on_, cells);
        for (std::size_t c = 0; c + 1 < runs_of_chunk_.size(); ++c) {
            const Index first = runs_of_chunk_[c], n_runs = runs_of_chunk_[c + 1] - first;
            for (int cls = 0; cls < n_classes; cls += Body::kClasses) {
                const int now = std::min(Body::kClasses, n_classes - cls);
                on_.for_blocks(n_runs, Body::kThreads, Body::kShared,
                               Body{pairs, classes(by), runs_.data() + first, positions_.data(),
                                    static_cast<Index>(c) * kChunk, cls, now, classes_of_set,
                                    vocab_size_, x.data(), run_sums.data(), run_counts.data()});
                on_.for_each(
                    now * vocab_size_,
                    AddRunsByClass{first_run_.data() + static_cast<Index>(c) * (vocab_size_ + 1),
                                   cls, now, vocab_size_, run_sums.data(), run_counts.data(),
                                   out_sums.data(), out_counts.data()});
            }
        }
        on_.download(sums.data(), out_sums.data(), size);
        on_.download(counts.data(), out_counts.data(), size);
    }

    Executor& on_;
    Index n_, vocab_size_;
    const Documents& documents_;
    std::optional<Windows<Executor, Token>> windows_;
    Buffer<std::uint32_t> position_info_, positions_;
    Buffer<std::uint8_t> folds_, bins_;
    std::vector<Index> runs_of_chunk_;  // numbers of runs before each chunk
    Buffer<TokenRun> runs_;
    Buffer<std::uint32_t> first_run_;  // (chunks, V + 1)
    std::array<std::optional<Pieces>, 2> pieces_;
    std::map<std::pair<bool, PairLabel>, Batches> batches_;
};

}  // namespace ngramstat::gpu
