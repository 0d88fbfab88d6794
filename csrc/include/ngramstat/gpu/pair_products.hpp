// The twin of pairs/pair_products.hpp: products of the pairs of a stream with vectors, without a
// table of counts, as sums over the positions of each token.
//
// Memory: tokens, 8 bytes per position, and blocks of vectors; nothing grows with the number of
// distinct pairs. A product reads one token and one line of the vectors for every pair.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "ngramstat/gpu/count_matrix.hpp"
#include "ngramstat/gpu/documents.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/tokens.hpp"

namespace ngramstat::gpu {

template <class Token>
struct PositionsOfTokens {
    const Token* tokens;
    std::uint32_t *keys, *positions;

    NGRAMSTAT_HD void operator()(Index i) const {
        keys[i] = static_cast<std::uint32_t>(tokens[i]);
        positions[i] = static_cast<std::uint32_t>(i);
    }
};

// Consecutive sorted positions of one token.
struct Run {
    std::uint32_t begin, end;
};

// The pair that a position is the left (or, backward, the right) token of.
template <class Token>
struct PairAt {
    const Token* tokens;
    const std::uint32_t* position_info;
    Index n;
    Index lag;
    bool across;  // also pairs that are not inside the content of one document
    bool backward;

    // The half of the left token's document; -1: there is no such pair.
    NGRAMSTAT_HD int half_of(Index position) const {
        const Index left = backward ? position - lag : position;
        if (lag >= n || left < 0 || left + lag >= n) return -1;
        if (!across && lag >= static_cast<Index>(position_info[left] & kRemaining)) return -1;
        return static_cast<int>(position_info[left] >> 31);
    }
    NGRAMSTAT_HD Index other(Index position) const {
        return static_cast<Index>(tokens[backward ? position - lag : position + lag]);
    }
};

// Sums over runs, by groups of kVectors threads, one vector each.
template <class Token>
struct SumRuns {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 128;
    static constexpr std::size_t kShared = kThreads * sizeof(double);

    PairAt<Token> pair;
    const Run* runs;
    const std::uint32_t* positions;
    const double* x;
    double w0, w1;
    double* sums;  // (runs, kBlockSize)

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        double* partial = at.shared_as<double>();
        if constexpr (kPhase == 0) {
            const int v = at.thread % kVectors;
            const auto groups = static_cast<std::uint32_t>(at.threads / kVectors);
            const Run run = runs[at.block];
            double sum = 0;
            for (std::uint32_t e = run.begin + static_cast<std::uint32_t>(at.thread / kVectors);
                 e < run.end; e += groups) {
                const Index position = positions[e];
                const int half = pair.half_of(position);
                if (half < 0) continue;
                sum += (half == 0 ? w0 : w1) * x[pair.other(position) * kVectors + v];
            }
            partial[at.thread] = sum;
        } else if (at.thread < kVectors) {
            double sum = 0;
            for (int t = at.thread; t < at.threads; t += kVectors) sum += partial[t];
            sums[at.block * kVectors + at.thread] = sum;
        }
    }
};

struct SumRunsOfRows {
    const double* sums;
    const std::uint32_t* first_run;  // of each row
    double* out;
    bool accumulate;

    NGRAMSTAT_HD void operator()(Index element) const {
        const Index row = element / kVectors, v = element % kVectors;
        double sum = accumulate ? out[element] : 0;
        for (std::uint32_t run = first_run[row]; run < first_run[row + 1]; ++run) {
            sum += sums[static_cast<Index>(run) * kVectors + v];
        }
        out[element] = sum;
    }
};

// Pairs of each half by the token at the sorted positions. A thread adds up a stretch before it
// touches memory that others add to.
template <class Token>
struct CountRuns {
    PairAt<Token> pair;
    const std::uint32_t *tokens_of, *positions;  // sorted by token
    Index vocab_size;
    Index n;
    std::uint64_t* counts;  // (2, V)

    static constexpr Index kStretch = 32;

    NGRAMSTAT_HD void operator()(Index stretch) const {
        const Index begin = stretch * kStretch;
        const Index end = begin + kStretch < n ? begin + kStretch : n;
        std::uint64_t sums[2] = {0, 0};
        for (Index e = begin; e < end; ++e) {
            const int half = pair.half_of(positions[e]);
            if (half >= 0) ++sums[half];
            if (e + 1 == end || tokens_of[e + 1] != tokens_of[e]) {
                for (int c = 0; c < 2; ++c) {
                    if (sums[c] != 0) add(&counts[c * vocab_size + tokens_of[e]], sums[c]);
                    sums[c] = 0;
                }
            }
        }
    }
};

template <class Executor, class Token>
class PairStreamOn : public PairStream {
  public:
    PairStreamOn(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                 const Documents& documents, bool across)
        : on_(on), n_(tokens.size), vocab_size_(vocab_size), across_(across) {
        if (n_ > kMaxTokens) throw DeviceError("the GPU streams at most 2^32 - 256 tokens");
        const auto active = on_.activate();
        const DocumentsOn<Executor> on_device(on_, documents, n_);
        windows_.emplace(on_, tokens, 1.0);
        if (!windows_->is_whole()) {
            throw DeviceMemoryError(static_cast<std::size_t>(n_) * sizeof(Token), on_.available(),
                                    on_.limit());
        }
        const auto counts = count_tokens(on_, *windows_, tokens, vocab_size);
        position_info_ = on_device.describe(0, n_);
        keys_ = Buffer<std::uint32_t>(on_, n_);
        positions_ = Buffer<std::uint32_t>(on_, n_);
        {
            Buffer<std::uint32_t> other_keys(on_, n_), other_positions(on_, n_);
            on_.for_each(
                n_, PositionsOfTokens<Token>{windows_->whole(), keys_.data(), positions_.data()});
            on_.sort_pairs(keys_, other_keys, positions_, other_positions, n_,
                           bits_below(static_cast<std::uint64_t>(vocab_size)));
        }
        std::vector<Run> runs;
        std::vector<std::uint32_t> first_run;
        std::uint32_t begin = 0;
        for (const Index count : counts) {
            first_run.push_back(static_cast<std::uint32_t>(runs.size()));
            const std::uint32_t end = begin + static_cast<std::uint32_t>(count);
            while (begin < end) {
                const std::uint32_t stop = end - begin > kMaxOfRun ? begin + kMaxOfRun : end;
                runs.push_back({begin, stop});
                begin = stop;
            }
        }
        first_run.push_back(static_cast<std::uint32_t>(runs.size()));
        runs_ = Buffer<Run>(on_, static_cast<Index>(runs.size()));
        on_.upload(runs_.data(), runs.data(), runs_.size());
        first_run_ = Buffer<std::uint32_t>(on_, vocab_size + 1);
        on_.upload(first_run_.data(), first_run.data(), vocab_size + 1);
    }

    // Products return before they are complete, and the tokens that they read may be the caller's.
    ~PairStreamOn() override { on_.synchronize(); }

    Index vocab_size() const { return vocab_size_; }

    std::array<std::vector<Count>, 2> counts(Index lag, bool by_right) const override {
        const auto active = on_.activate();
        Buffer<std::uint64_t> sums(on_, 2 * vocab_size_);
        on_.clear(sums.data(), sums.size());
        using Body = CountRuns<Token>;
        on_.for_each((n_ + Body::kStretch - 1) / Body::kStretch,
                     Body{pair(lag, by_right), keys_.data(), positions_.data(), vocab_size_, n_,
                          sums.data()});
        std::array<std::vector<Count>, 2> host;
        for (int c = 0; c < 2; ++c) {
            host[c].resize(static_cast<std::size_t>(vocab_size_));
            on_.download(host[c].data(), sums.data() + c * vocab_size_, vocab_size_);
        }
        return host;
    }

    void multiply_on_device(Index lag, std::array<double, 2> weights, const double* x, double* out,
                            bool transposed, bool accumulate) const {
        Buffer<double> sums(on_, runs_.size() * kBlockSize);
        using Body = SumRuns<Token>;
        on_.for_blocks(runs_.size(), Body::kThreads, Body::kShared,
                       Body{pair(lag, transposed), runs_.data(), positions_.data(), x, weights[0],
                            weights[1], sums.data()});
        on_.for_each(vocab_size_ * kBlockSize,
                     SumRunsOfRows{sums.data(), first_run_.data(), out, accumulate});
    }

    std::shared_ptr<Term> weighted(Index lag, std::array<double, 2> weights) override;

  private:
    static constexpr std::uint32_t kMaxOfRun = 1 << 14;
    static constexpr Index kMaxTokens = (Index{1} << 32) - 256;

    PairAt<Token> pair(Index lag, bool backward) const {
        checked_lag(lag, n_);
        return {windows_->whole(), position_info_.data(), n_, lag, across_, backward};
    }

    Executor& on_;
    Index n_, vocab_size_;
    bool across_;
    std::optional<Windows<Executor, Token>> windows_;
    Buffer<std::uint32_t> position_info_, keys_, positions_, first_run_;
    Buffer<Run> runs_;
};

template <class Executor, class Token>
class StreamTerm : public TermOn {
  public:
    StreamTerm(std::shared_ptr<const PairStreamOn<Executor, Token>> stream, Index lag,
               std::array<double, 2> weights)
        : stream_(std::move(stream)), lag_(lag), weights_(weights) {}

    Index n_rows() const override { return stream_->vocab_size(); }
    Index n_cols() const override { return stream_->vocab_size(); }
    void multiply_on_device(const double* x, double* out, bool transposed,
                            bool accumulate) const override {
        stream_->multiply_on_device(lag_, weights_, x, out, transposed, accumulate);
    }

  private:
    std::shared_ptr<const PairStreamOn<Executor, Token>> stream_;
    Index lag_;
    std::array<double, 2> weights_;
};

template <class Executor, class Token>
std::shared_ptr<Term> PairStreamOn<Executor, Token>::weighted(Index lag,
                                                              std::array<double, 2> weights) {
    checked_lag(lag, n_);
    auto self = std::static_pointer_cast<const PairStreamOn>(shared_from_this());
    return std::make_shared<StreamTerm<Executor, Token>>(std::move(self), lag, weights);
}

}  // namespace ngramstat::gpu
