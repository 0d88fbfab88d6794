// The twin of count_document_tokens: which tokens each document has, as counts in device memory.
// Pairs of document and token become keys of 64 bits, are sorted, and runs of equal ones counted.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "ngramstat/gpu/count_matrix.hpp"
#include "ngramstat/gpu/documents.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/tokens.hpp"

namespace ngramstat::gpu {

// Document and token of every position that is in the content of one, else kNone, which is sorted
// to the end.
template <class Token>
struct DocumentKeys {
    DocumentsView documents;
    const Token* tokens;
    Index first;  // position of the first key
    int token_bits;
    std::uint64_t none;
    std::uint64_t* keys;

    NGRAMSTAT_HD void operator()(Index i) const {
        const Index position = first + i, d = documents.at(position);
        const bool inside =
            position >= documents.content_starts[d] && position < documents.content_ends[d];
        keys[i] = inside ? static_cast<std::uint64_t>(d) << token_bits |
                               static_cast<std::uint64_t>(tokens[position])
                         : none;
    }
};

// Where the entries of documents begin among sorted keys.
struct StartsOfDocuments {
    const std::uint64_t* keys;
    Index n, first_document, offset;
    int token_bits;
    Index* starts;  // of all documents

    NGRAMSTAT_HD void operator()(Index i) const {
        const Index d = first_document + i;
        const auto least = static_cast<std::uint64_t>(d) << token_bits;
        starts[d] = offset + first_not_below(keys, n, least);
    }
};

struct TokensOfKeys {
    const std::uint64_t* keys;
    std::uint64_t mask;
    std::uint32_t* column;

    NGRAMSTAT_HD void operator()(Index e) const {
        column[e] = static_cast<std::uint32_t>(keys[e] & mask);
    }
};

template <class Executor, class Token>
class DocumentTokenCounter {
  public:
    DocumentTokenCounter(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                         const Documents& documents)
        : on_(on),
          documents_(documents),
          on_device_(on, documents, tokens.size),
          windows_(on, tokens, 1.0),
          vocab_size_(vocab_size),
          token_bits_(bits_below(static_cast<std::uint64_t>(vocab_size))),
          // Above the key of every document, with which its bits also end.
          none_(static_cast<std::uint64_t>(documents.size()) << token_bits_) {
        if (!windows_.is_whole()) {
            throw DeviceMemoryError(static_cast<std::size_t>(tokens.size) * sizeof(Token),
                                    on_.available(), on_.limit());
        }
        count_tokens(on_, windows_, tokens, vocab_size);  // refuses tokens outside the vocabulary
    }

    std::shared_ptr<Counts> count() {
        const Index n_documents = documents_.size();
        Buffer<Index> row_start(on_, n_documents + 1);
        std::vector<Entries> pieces;
        Index nnz = 0;
        for (Index first = 0; first < n_documents;) {
            const Index last = end_of_piece(first);
            pieces.push_back(count_piece(first, last, nnz, row_start.data()));
            nnz += pieces.back().column.size();
            first = last;
        }
        on_.upload(row_start.data() + n_documents, &nnz, 1);
        Csr csr(on_, n_documents, vocab_size_, nnz);
        csr.row_start = std::move(row_start);
        on_.clear(csr.second.data(), nnz);
        Index at = 0;
        for (Entries& piece : pieces) {
            on_.copy(csr.column.data() + at, piece.column.data(), piece.column.size());
            on_.copy(csr.first.data() + at, piece.counts.data(), piece.counts.size());
            at += piece.column.size();
            piece = Entries();
        }
        return std::make_shared<CountsOn<Executor>>(on_, std::move(csr));
    }

  private:
    // Keys, sorted keys and runs of a position, and room for what has been counted.
    static constexpr std::size_t kBytesOfPosition = 40;

    struct Entries {
        Buffer<std::uint32_t> column, counts;
    };

    // Documents from `first` on whose positions fit the memory, at least one.
    Index end_of_piece(Index first) const {
        const Index budget = static_cast<Index>(on_.available() / kBytesOfPosition);
        const auto ends = documents_.ends();
        const Index begin = documents_.starts()[static_cast<std::size_t>(first)];
        const auto end = std::upper_bound(ends.begin() + first, ends.end(), begin + budget);
        return std::max(first + 1, static_cast<Index>(end - ends.begin()));
    }

    Entries count_piece(Index first, Index last, Index offset, Index* row_start) {
        const Index begin = documents_.starts()[static_cast<std::size_t>(first)];
        const Index n = documents_.ends()[static_cast<std::size_t>(last) - 1] - begin;
        Buffer<std::uint64_t> keys(on_, n), unique(on_, n);
        on_.for_each(n, DocumentKeys<Token>{on_device_.view(), windows_.whole(), begin, token_bits_,
                                            none_, keys.data()});
        on_.sort_keys(keys, unique, n, bits_below(none_ + 1));
        Buffer<std::uint32_t> lengths(on_, n);
        Index runs = on_.run_lengths(keys.data(), n, unique.data(), lengths.data());
        std::uint64_t greatest = 0;
        if (runs > 0) on_.download(&greatest, unique.data() + runs - 1, 1);
        runs -= greatest == none_;  // what is in no content
        on_.for_each(last - first,
                     StartsOfDocuments{unique.data(), runs, first, offset, token_bits_, row_start});
        Entries entries{Buffer<std::uint32_t>(on_, runs), Buffer<std::uint32_t>(on_, runs)};
        const std::uint64_t mask = (std::uint64_t{1} << token_bits_) - 1;
        on_.for_each(runs, TokensOfKeys{unique.data(), mask, entries.column.data()});
        on_.copy(entries.counts.data(), lengths.data(), runs);
        return entries;
    }

    Executor& on_;
    const Documents& documents_;
    DocumentsOn<Executor> on_device_;
    Windows<Executor, Token> windows_;
    Index vocab_size_;
    int token_bits_;
    std::uint64_t none_;
};

}  // namespace ngramstat::gpu
