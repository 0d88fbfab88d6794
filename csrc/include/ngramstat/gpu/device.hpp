// A Gpu on any executor.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ngramstat/gpu/blocks.hpp"
#include "ngramstat/gpu/context_counts.hpp"
#include "ngramstat/gpu/count_matrix.hpp"
#include "ngramstat/gpu/document_counts.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/kneser_ney.hpp"
#include "ngramstat/gpu/pair_counts.hpp"
#include "ngramstat/gpu/pair_products.hpp"
#include "ngramstat/gpu/pair_sums.hpp"
#include "ngramstat/gpu/suffix_sort.hpp"

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
        const auto active = on_.activate();
        on_.wait_for_others();
    }

    std::unique_ptr<PairCounter> pair_counter(const AnyStream& tokens, Index vocab_size,
                                              const Documents& documents) override {
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) -> std::unique_ptr<PairCounter> {
                return std::make_unique<PairCounterOn<Executor, Token>>(on_, stream, vocab_size,
                                                                        documents);
            },
            tokens);
    }
    std::shared_ptr<Counts> count_document_tokens(const AnyStream& tokens, Index vocab_size,
                                                  const Documents& documents) override {
        const auto active = on_.activate();
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) {
                return DocumentTokenCounter<Executor, Token>(on_, stream, vocab_size, documents)
                    .count();
            },
            tokens);
    }
    std::shared_ptr<PairStream> pair_stream(const AnyStream& tokens, Index vocab_size,
                                            const Documents& documents, bool across) override {
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) -> std::shared_ptr<PairStream> {
                return std::make_shared<PairStreamOn<Executor, Token>>(on_, stream, vocab_size,
                                                                       documents, across);
            },
            tokens);
    }
    std::unique_ptr<PairSummer> pair_summer(const AnyStream& tokens, Index vocab_size,
                                            const Documents& documents) override {
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) -> std::unique_ptr<PairSummer> {
                return std::make_unique<PairSummerOn<Executor, Token>>(on_, stream, vocab_size,
                                                                       documents);
            },
            tokens);
    }
    std::unique_ptr<NgramCounter> ngram_counter(const AnyStream& tokens, Index vocab_size,
                                                int max_context, const Documents& documents,
                                                bool across) override {
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) -> std::unique_ptr<NgramCounter> {
                return std::make_unique<NgramCounterOn<Executor, Token>>(
                    on_, stream, vocab_size, max_context, documents, across);
            },
            tokens);
    }
    std::unique_ptr<HeldOutCounter> held_out_counter(const AnyStream& training,
                                                     const HeldOutTries& held_out) override {
        const auto active = on_.activate();
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) -> std::unique_ptr<HeldOutCounter> {
                return std::make_unique<HeldOutCounterOn<Executor, Token>>(on_, stream, held_out);
            },
            training);
    }
    std::unique_ptr<FollowersCounter> followers_counter(const AnyStream& training,
                                                        const Vocabulary& vocabulary) override {
        const auto active = on_.activate();
        return std::visit(
            [&]<class Token>(const Stream<Token>& stream) -> std::unique_ptr<FollowersCounter> {
                return std::make_unique<FollowersCounterOn<Executor, Token>>(on_, stream,
                                                                             vocabulary);
            },
            training);
    }
    void suffix_array(const AnyStream& tokens, Index vocab_size, const SuffixOrder& order,
                      std::span<Index> suffixes, std::span<std::uint8_t> lcp) override {
        const auto active = on_.activate();
        std::visit(
            [&](const auto& stream) {
                suffix_array_on(on_, stream, vocab_size, order, suffixes, lcp);
            },
            tokens);
    }

    std::unique_ptr<Block> block(std::span<const double> values) override {
        const auto active = on_.activate();
        auto result = std::make_unique<BlockOn<Executor>>(
            on_, static_cast<Index>(values.size()) / kBlockSize);
        on_.upload(result->data(), values.data(), static_cast<Index>(values.size()));
        return result;
    }
    std::unique_ptr<Operator> covariance(std::vector<std::shared_ptr<Term>> terms,
                                         std::span<const double> left,
                                         std::span<const double> right,
                                         std::span<const std::uint8_t> vocab_mask) override {
        const auto active = on_.activate();
        return std::make_unique<OperatorOn<Executor>>(on_, std::move(terms), left, right,
                                                      vocab_mask);
    }

  private:
    std::string name_;
    Executor on_;
};

}  // namespace ngramstat::gpu
