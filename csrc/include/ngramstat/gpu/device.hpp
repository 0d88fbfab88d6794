// A Gpu on any executor.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ngramstat/gpu/blocks.hpp"
#include "ngramstat/gpu/counts.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/pairs.hpp"
#include "ngramstat/gpu/streams.hpp"
#include "ngramstat/gpu/suffixes.hpp"

namespace ngramstat::gpu {

template <class Executor>
class GpuOn : public Gpu {
  public:
    template <class... Arguments>
    explicit GpuOn(std::string name, Arguments&&... arguments)
        : name_(std::move(name)), on_(std::forward<Arguments>(arguments)...) {}

    std::string name() const override { return name_; }
    std::size_t memory_limit() const override { return on_.limit(); }
    std::size_t used_bytes() const override { return on_.used(); }
    std::size_t peak_bytes() const override { return on_.peak(); }
    void wait_for_others() override {
        const auto held = on_.activate();
        on_.wait_for_others();
    }

    std::unique_ptr<PairCounter> pair_counter(const Stream<std::uint16_t>& tokens, Index vocab_size,
                                              const DocumentSpans& documents) override {
        return std::make_unique<PairCounterOn<Executor, std::uint16_t>>(on_, tokens, vocab_size,
                                                                        documents);
    }
    std::unique_ptr<PairCounter> pair_counter(const Stream<std::uint32_t>& tokens, Index vocab_size,
                                              const DocumentSpans& documents) override {
        return std::make_unique<PairCounterOn<Executor, std::uint32_t>>(on_, tokens, vocab_size,
                                                                        documents);
    }
    std::unique_ptr<NgramCounter> ngram_counter(const Stream<std::uint16_t>& tokens,
                                                Index vocab_size, int max_context,
                                                std::span<const Index> document_ends,
                                                const NgramUnits& units) override {
        return std::make_unique<NgramCounterOn<Executor, std::uint16_t>>(
            on_, tokens, vocab_size, max_context, document_ends, units);
    }
    std::unique_ptr<NgramCounter> ngram_counter(const Stream<std::uint32_t>& tokens,
                                                Index vocab_size, int max_context,
                                                std::span<const Index> document_ends,
                                                const NgramUnits& units) override {
        return std::make_unique<NgramCounterOn<Executor, std::uint32_t>>(
            on_, tokens, vocab_size, max_context, document_ends, units);
    }
    std::shared_ptr<PairStream> pair_stream(const Stream<std::uint16_t>& tokens, Index vocab_size,
                                            const DocumentSpans& documents, bool across) override {
        return std::make_shared<PairStreamOn<Executor, std::uint16_t>>(on_, tokens, vocab_size,
                                                                       documents, across);
    }
    void suffix_array(const Stream<std::uint16_t>& tokens, Index vocab_size,
                      const SuffixOrder& order, std::span<Index> suffixes,
                      std::span<std::uint8_t> lcp) override {
        const auto held = on_.activate();
        suffix_array_on(on_, tokens, vocab_size, order, suffixes, lcp);
    }
    std::shared_ptr<PairStream> pair_stream(const Stream<std::uint32_t>& tokens, Index vocab_size,
                                            const DocumentSpans& documents, bool across) override {
        return std::make_shared<PairStreamOn<Executor, std::uint32_t>>(on_, tokens, vocab_size,
                                                                       documents, across);
    }
    void suffix_array(const Stream<std::uint32_t>& tokens, Index vocab_size,
                      const SuffixOrder& order, std::span<Index> suffixes,
                      std::span<std::uint8_t> lcp) override {
        const auto held = on_.activate();
        suffix_array_on(on_, tokens, vocab_size, order, suffixes, lcp);
    }
    std::vector<Index> token_counts(const Stream<std::uint16_t>& tokens,
                                    Index vocab_size) override {
        return counted(tokens, vocab_size);
    }
    std::vector<Index> token_counts(const Stream<std::uint32_t>& tokens,
                                    Index vocab_size) override {
        return counted(tokens, vocab_size);
    }
    std::unique_ptr<Block> block(std::span<const double> values) override {
        const auto held = on_.activate();
        auto result =
            std::make_unique<BlockOn<Executor>>(on_, static_cast<Index>(values.size()) / kLanes);
        on_.upload(result->data(), values.data(), static_cast<Index>(values.size()));
        return result;
    }
    std::unique_ptr<Operator> covariance(std::vector<std::shared_ptr<Part>> parts,
                                         std::span<const double> left,
                                         std::span<const double> right,
                                         std::span<const std::uint8_t> kept) override {
        const auto held = on_.activate();
        return std::make_unique<OperatorOn<Executor>>(on_, std::move(parts), left, right, kept);
    }

  private:
    template <class Token>
    std::vector<Index> counted(const Stream<Token>& tokens, Index vocab_size) {
        const auto held = on_.activate();
        Windows<Executor, Token> windows(on_, tokens, 0.5);
        return count_tokens(on_, windows, tokens, vocab_size);
    }

    std::string name_;
    Executor on_;
};

}  // namespace ngramstat::gpu
