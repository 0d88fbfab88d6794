// Pair counts on a GPU.
//
// Small vocabularies: positions are ranked by their token once; then, for four lags at a time, what
// stands after a position goes to its rank as one entry of 8 bytes, so that a row's entries lie
// together, and blocks of threads count stretches of one row in memory that they share. Device
// memory sees no addition per pair, only those of the counters that are not zero at the end.
//   Bytes a position and four lags: 8 written, 8 read, 8 of ranks and documents, the tokens.
//
// Large vocabularies: pairs become keys of 64 bits, are sorted, and runs of equal ones counted.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ngramstat/gpu/counts.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/tokens.hpp"

namespace ngramstat::gpu {

inline constexpr int kGroup = 4;  // lags of an entry
// Of an entry's 16 bits a lag, two tell the kind of pair.
inline constexpr Index kMostTableTypes = Index{1} << 14;
inline constexpr std::uint32_t kWithin = 1, kAcross = 2;
inline constexpr std::uint32_t kRemaining = 0x7fffffff;

// Arrays of the documents in device memory.
struct DocumentsView {
    const Index *ends, *starts, *content_ends;
    const std::uint8_t* classes;
    Index n;
};

// Class of a position's document in the top bit; below, how many tokens of its content follow.
struct Describe {
    DocumentsView documents;
    Index first;
    std::uint32_t* about;

    NGRAMSTAT_HD void operator()(Index i) const {
        const Index position = first + i;
        const Index d = first_above(documents.ends, documents.n, position);
        std::uint32_t remaining = 0;
        if (position >= documents.starts[d] && position < documents.content_ends[d]) {
            const Index left = documents.content_ends[d] - position;
            remaining = left < static_cast<Index>(kRemaining) ? static_cast<std::uint32_t>(left)
                                                              : kRemaining;
        }
        about[i] = static_cast<std::uint32_t>(documents.classes[d]) << 31 | remaining;
    }
};

template <class Token>
struct RowKeys {
    const Token* tokens;
    const std::uint32_t* about;
    Index vocab_size;
    std::uint16_t* keys;
    std::uint32_t* places;

    NGRAMSTAT_HD void operator()(Index i) const {
        const Index cls = about[i] >> 31;
        keys[i] = static_cast<std::uint16_t>(cls * vocab_size + static_cast<Index>(tokens[i]));
        places[i] = static_cast<std::uint32_t>(i);
    }
};

struct Ranks {
    const std::uint32_t* places;
    std::uint32_t* ranks;

    NGRAMSTAT_HD void operator()(Index r) const {
        ranks[places[r]] = static_cast<std::uint32_t>(r);
    }
};

struct StartsOfRows {
    const std::uint16_t* keys;
    Index n;
    std::uint32_t* starts;

    NGRAMSTAT_HD void operator()(Index row) const {
        starts[row] =
            static_cast<std::uint32_t>(first_not_below(keys, n, static_cast<std::uint32_t>(row)));
    }
};

template <class Token>
struct WriteEntries {
    const Token* right[kGroup];  // what stands a lag after each position
    Index limit[kGroup];         // positions that have it; 0: no such lag
    std::uint32_t lag[kGroup];
    const std::uint32_t *about, *ranks;
    std::uint64_t* entries;

    NGRAMSTAT_HD void operator()(Index i) const {
        const std::uint32_t remaining = about[i] & kRemaining;
        std::uint64_t entry = 0;
        for (int k = 0; k < kGroup; ++k) {
            if (i < limit[k]) {
                const std::uint64_t kind = lag[k] < remaining ? kWithin : kAcross;
                entry |= (static_cast<std::uint64_t>(right[k][i]) << 2 | kind) << (16 * k);
            }
        }
        entries[ranks[i]] = entry;
    }
};

// Entries of one row, too few for a counter of 16 bits to overflow.
struct Slice {
    std::uint32_t row, begin, end;
};
inline constexpr std::uint32_t kSliceEntries = 65535;

// Counters (lag, kind, column) of 16 bits, two in a word.
struct CountSlices {
    static constexpr int kPhases = 3;

    const Slice* slices;
    const std::uint64_t* entries;
    Index vocab_size;
    int first_lag, n_lags;
    std::uint32_t* tables;  // (lag, kind, class, row, column)

    static std::size_t shared_bytes(Index vocab_size, int lags) {
        return static_cast<std::size_t>(words(vocab_size, lags)) * sizeof(std::uint32_t);
    }
    NGRAMSTAT_HD static Index words(Index vocab_size, int lags) {
        return (2 * lags * vocab_size + 1) / 2;
    }

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* counters = at.shared_as<std::uint32_t>();
        const Slice slice = slices[at.block];
        const int n_words = static_cast<int>(words(vocab_size, n_lags));
        const auto width = static_cast<std::uint32_t>(vocab_size);
        if constexpr (kPhase == 0) {
            for (int w = at.thread; w < n_words; w += at.threads) counters[w] = 0;
        } else if constexpr (kPhase == 1) {
            const auto step = static_cast<std::uint32_t>(at.threads);
            for (std::uint32_t e = slice.begin + static_cast<std::uint32_t>(at.thread);
                 e < slice.end; e += step) {
                const std::uint64_t entry = entries[e] >> (16 * first_lag);
                for (int k = 0; k < n_lags; ++k) {
                    const auto field = static_cast<std::uint32_t>(entry >> (16 * k)) & 0xffffu;
                    const std::uint32_t kind = field & 3;
                    if (kind == 0) continue;
                    const std::uint32_t cell =
                        (2 * static_cast<std::uint32_t>(k) + kind - 1) * width + (field >> 2);
                    add(&counters[cell >> 1], std::uint32_t{1} << (16 * (cell & 1)));
                }
            }
        } else {
            const std::uint32_t cls = slice.row / width, row = slice.row % width;
            for (int w = at.thread; w < n_words; w += at.threads) {
                const std::uint32_t both = counters[w];
                if (both == 0) continue;
                for (int half = 0; half < 2; ++half) {
                    const std::uint32_t count = half == 0 ? both & 0xffffu : both >> 16;
                    if (count == 0) continue;
                    const std::uint32_t cell =
                        2 * static_cast<std::uint32_t>(w) + static_cast<std::uint32_t>(half);
                    const std::uint32_t table = cell / width, column = cell % width;
                    const Index place =
                        ((static_cast<Index>(2 * first_lag) + table) * 2 + cls) * vocab_size + row;
                    add(&tables[place * vocab_size + column], count);
                }
            }
        }
    }
};

// Stretches of a table's row whose entries one thread finds.
struct Segments {
    static constexpr Index kColumns = 64;

    const std::uint32_t *first, *second;  // (V, V), of both classes
    Index vocab_size, per_row;

    static Index in_row(Index vocab_size) { return (vocab_size + kColumns - 1) / kColumns; }
    template <class Visit>
    NGRAMSTAT_HD void visit(Index segment, Visit&& visit) const {
        const Index row = segment / per_row, begin = segment % per_row * kColumns;
        const Index end = begin + kColumns < vocab_size ? begin + kColumns : vocab_size;
        for (Index y = begin; y < end; ++y) {
            const std::uint32_t a = first[row * vocab_size + y], b = second[row * vocab_size + y];
            if ((a | b) != 0) visit(static_cast<std::uint32_t>(y), a, b);
        }
    }
};

struct CountSegments {
    Segments segments;
    std::uint64_t* numbers;

    struct Counter {
        std::uint64_t& n;
        NGRAMSTAT_HD void operator()(std::uint32_t, std::uint32_t, std::uint32_t) { ++n; }
    };
    NGRAMSTAT_HD void operator()(Index segment) const {
        std::uint64_t n = 0;
        segments.visit(segment, Counter{n});
        numbers[segment] = n;
    }
};

struct WriteSegments {
    Segments segments;
    const std::uint64_t* offsets;
    std::uint32_t *column, *first, *second;

    struct Writer {
        const WriteSegments& to;
        std::uint64_t at;
        NGRAMSTAT_HD void operator()(std::uint32_t y, std::uint32_t a, std::uint32_t b) {
            to.column[at] = y;
            to.first[at] = a;
            to.second[at++] = b;
        }
    };
    NGRAMSTAT_HD void operator()(Index segment) const {
        segments.visit(segment, Writer{*this, offsets[segment]});
    }
};

struct RowStartsOfSegments {
    const std::uint64_t* offsets;
    Index per_row;
    Index* row_start;

    NGRAMSTAT_HD void operator()(Index row) const {
        row_start[row] = static_cast<Index>(offsets[row * per_row]);
    }
};

// ((kind V + x) V + y) 2 + class: the order of both matrices' entries.
template <class Token>
struct PairKeys {
    const Token *left, *right;
    const std::uint32_t* about;
    std::uint32_t lag;
    std::uint64_t vocab_size;
    std::uint64_t* keys;

    NGRAMSTAT_HD void operator()(Index i) const {
        const std::uint64_t across = lag < (about[i] & kRemaining) ? 0 : 1;
        const std::uint64_t row = across * vocab_size + left[i];
        keys[i] = (row * vocab_size + right[i]) << 1 | about[i] >> 31;
    }
};

struct Widen {
    const std::uint32_t* from;
    std::uint64_t* to;
    NGRAMSTAT_HD void operator()(Index i) const { to[i] = from[i]; }
};

// 1 where an entry of the matrices begins, and a 0 behind the last.
struct HeadsOfEntries {
    const std::uint64_t* keys;
    Index n;
    std::uint64_t* heads;

    NGRAMSTAT_HD void operator()(Index i) const {
        heads[i] = i < n && (i == 0 || keys[i] >> 1 != keys[i - 1] >> 1) ? 1 : 0;
    }
};

struct EntriesOfKeys {
    const std::uint64_t *keys, *counts, *places;  // places: heads before each key
    Index n;
    std::uint64_t vocab_size;
    std::uint64_t* rows;
    std::uint32_t *column, *first, *second;
    std::uint64_t* largest;  // negated

    NGRAMSTAT_HD void operator()(Index i) const {
        if (counts[i] > 0xffffffffu) lower_to(largest, ~counts[i]);
        if (i > 0 && keys[i] >> 1 == keys[i - 1] >> 1) return;
        std::uint32_t both[2] = {0, 0};
        for (Index j = i; j < n && keys[j] >> 1 == keys[i] >> 1; ++j) {
            both[keys[j] & 1] = static_cast<std::uint32_t>(counts[j]);
        }
        const std::uint64_t place = places[i], cell = keys[i] >> 1;
        rows[place] = cell / vocab_size;
        column[place] = static_cast<std::uint32_t>(cell % vocab_size);
        first[place] = both[0];
        second[place] = both[1];
    }
};

struct RowStartsOfRows {
    const std::uint64_t* rows;
    Index n;
    std::uint64_t first_row;
    Index offset;
    Index* row_start;

    NGRAMSTAT_HD void operator()(Index row) const {
        row_start[row] =
            first_not_below(rows, n, first_row + static_cast<std::uint64_t>(row)) - offset;
    }
};

template <class Executor, class Token>
class PairCounterOn : public PairCounter {
  public:
    PairCounterOn(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                  const DocumentSpans& documents)
        : on_(on), n_(tokens.size), vocab_size_(vocab_size) {
        check_documents(documents, n_);
        require(vocab_size <= std::numeric_limits<std::int32_t>::max(),
                "the GPU counts pairs of at most 2^31 - 1 types");
        on_.activate();
        n_documents_ = static_cast<Index>(documents.ends.size());
        ends_ = sent(documents.ends);
        starts_ = sent(documents.content_starts);
        content_ends_ = sent(documents.content_ends);
        classes_ = sent(documents.classes);
        windows_.emplace(on_, tokens, kStreamShare);
        const auto counts = count_tokens(on_, *windows_, tokens, vocab_size);
        windows_->drop();
        if (n_ > 0) check_counts(counts);
        tables_ = vocab_size <= kMostTableTypes && lags_of_pass() > 0;
        chunk_ = std::min(n_, kLargestChunk);
    }

    std::vector<CountsOfPairs> count(std::span<const Index> lags) override {
        on_.activate();
        std::vector<CountsOfPairs> result;
        for (std::size_t done = 0; done < lags.size();) {
            plan();
            const std::size_t size = std::min<std::size_t>(group_, lags.size() - done);
            try {
                auto counted = tables_ ? count_in_tables(lags.subspan(done, size))
                                       : count_keys(lags.subspan(done, size));
                for (auto& pair : counted) result.push_back(std::move(pair));
                done += size;
            } catch (const DeviceMemoryError&) {
                prepared_.reset();
                windows_->drop();
                if (!shrink()) throw;
            }
        }
        // Products with the counts want their transposes, too, and some room beside.
        std::size_t counted = 0;
        for (const auto& [within, across] : result) {
            counted += static_cast<std::size_t>(within->bytes() + across->bytes());
        }
        if (on_.room() < 3 * counted) {
            prepared_.reset();
            windows_->drop();
        }
        return result;
    }

    Index lags_at_once() const override { return tables_ ? kGroup : 1; }

  private:
    static constexpr double kStreamShare = 0.3;
    static constexpr Index kLargestChunk = Index{1} << 30;
    static constexpr Index kSmallestChunk = 1 << 12;
    static constexpr Index kBytesOfPosition = 34;  // ranking and entries
    static constexpr Index kBytesOfKey = 44;       // keys, sorted keys, runs
    static constexpr int kThreads = 1024;

    // What all groups of lags share of a chunk.
    struct Prepared {
        Index first = 0, size = 0;
        Buffer<std::uint32_t> about, ranks;
        Buffer<std::uint64_t> entries;
        Buffer<Slice> slices;
    };

    // Keys with the number of their pairs, ascending.
    struct Runs {
        Buffer<std::uint64_t> keys, counts;
        Index n = 0;
    };

    template <class T>
    Buffer<T> sent(std::span<const T> values) const {
        Buffer<T> buffer(on_, static_cast<Index>(values.size()));
        on_.upload(buffer.data(), values.data(), buffer.size());
        return buffer;
    }

    // Counters of a row hold 32 bits.
    void check_counts(const std::vector<Index>& counts) const {
        const Index most = *std::max_element(counts.begin(), counts.end());
        // Both classes together: more than is needed, but nothing that fits is lost below 2^32.
        if (n_ >= Index{1} << 32 && most >= Index{1} << 32) {
            throw std::overflow_error(
                "a token occurs 2^32 times or more: its pairs may not fit "
                "counters of 32 bits");
        }
    }

    std::size_t bytes_of_tables(int lags) const {
        return static_cast<std::size_t>(lags) * 4 * static_cast<std::size_t>(vocab_size_) *
               static_cast<std::size_t>(vocab_size_) * sizeof(std::uint32_t);
    }
    // Lags whose counters fit the memory of a block.
    int lags_of_pass() const {
        int lags = kGroup;
        while (lags > 0 && CountSlices::shared_bytes(vocab_size_, lags) > on_.max_shared_bytes()) {
            --lags;
        }
        return lags;
    }

    // Lags and positions at a time that fit the memory that is left, as far as that is known.
    void plan() {
        if (prepared_) return;
        const std::size_t room = on_.room();
        if (tables_) {
            while (group_ > 1 && bytes_of_tables(group_) > room / 2) group_ /= 2;
            if (bytes_of_tables(group_) > room / 2) {
                tables_ = false;
                group_ = 1;
            }
        } else {
            group_ = 1;
        }
        const std::size_t left = tables_ ? (room - bytes_of_tables(group_)) * 3 / 4 : room / 2;
        const std::size_t each =
            static_cast<std::size_t>(tables_ ? kBytesOfPosition : kBytesOfKey) +
            (windows_->whole() == nullptr ? 4 * sizeof(Token) : 0);
        while (chunk_ > kSmallestChunk && static_cast<std::size_t>(chunk_) * each > left) {
            chunk_ = (chunk_ + 1) / 2;
        }
    }
    bool shrink() {
        if (chunk_ > kSmallestChunk) {
            chunk_ = (chunk_ + 1) / 2;
        } else if (group_ > 1) {
            group_ /= 2;
        } else if (tables_) {
            tables_ = false;
        } else {
            return false;
        }
        return true;
    }

    Index n_chunks() const { return (n_ + chunk_ - 1) / std::max<Index>(chunk_, 1); }
    Index chunk_end(Index chunk) const { return std::min(n_, (chunk + 1) * chunk_); }

    DocumentsView documents() const {
        return {ends_.data(), starts_.data(), content_ends_.data(), classes_.data(), n_documents_};
    }

    // Lags that reach beyond the stream have no pairs, whatever they are. Longer ones than this are
    // not told from documents that go on for as long.
    std::uint32_t checked(Index lag) const {
        require(lag >= 1, "lags must be at least 1");
        require(lag < static_cast<Index>(kRemaining) || lag >= n_,
                "the GPU counts lags below 2^31 - 1");
        return static_cast<std::uint32_t>(std::min(lag, static_cast<Index>(kRemaining)));
    }

    // visit(chunk, left tokens, right tokens by lag) over all chunks. The stream's windows hold a
    // chunk and what the lags reach behind it, or chunk and reach alone for a lag at a time.
    template <class Visit>
    void for_chunks(std::span<const Index> lags, Visit&& visit) {
        const Index reach = lags.empty() ? 0 : *std::max_element(lags.begin(), lags.end());
        const auto last = [&](Index chunk) { return std::min(n_, chunk_end(chunk) + reach); };
        if (windows_->whole() == nullptr) windows_->reserve(std::min(n_, chunk_ + reach));
        if (n_ > 0) windows_->fetch(0, 0, last(0));
        for (Index chunk = 0; chunk < n_chunks(); ++chunk) {
            const int slot = static_cast<int>(chunk % 2);
            const Token* left = windows_->use(slot);
            visit(chunk, left, [&] {
                if (chunk + 1 < n_chunks()) {
                    windows_->fetch(1 - slot, (chunk + 1) * chunk_, last(chunk + 1));
                }
            });
            windows_->release(slot);
        }
    }

    // Ranks the positions of a chunk by class and token, and cuts their rows into slices.
    template <class Meanwhile>
    void prepare(Index chunk, const Token* left, Meanwhile&& meanwhile) {
        const Index first = chunk * chunk_, size = chunk_end(chunk) - first;
        if (prepared_ && prepared_->first == first && prepared_->size == size) return meanwhile();
        prepared_.reset();
        Prepared ready;
        ready.first = first;
        ready.size = size;
        ready.about = Buffer<std::uint32_t>(on_, size);
        ready.ranks = Buffer<std::uint32_t>(on_, size);
        on_.for_each(size, Describe{documents(), first, ready.about.data()});
        const Index rows = 2 * vocab_size_;
        Buffer<std::uint32_t> starts(on_, rows + 1);
        {
            Buffer<std::uint16_t> keys(on_, size), other_keys(on_, size);
            Buffer<std::uint32_t> places(on_, size), other_places(on_, size);
            on_.for_each(size, RowKeys<Token>{left, ready.about.data(), vocab_size_, keys.data(),
                                              places.data()});
            on_.sort_pairs(keys, other_keys, places, other_places, size,
                           bits_below(static_cast<std::uint64_t>(rows)));
            on_.for_each(size, Ranks{places.data(), ready.ranks.data()});
            on_.for_each(rows + 1, StartsOfRows{keys.data(), size, starts.data()});
            meanwhile();
        }
        std::vector<std::uint32_t> bounds(static_cast<std::size_t>(rows) + 1);
        on_.download(bounds.data(), starts.data(), rows + 1);
        std::vector<Slice> slices;
        for (Index row = 0; row < rows; ++row) {
            const std::uint32_t end = bounds[static_cast<std::size_t>(row) + 1];
            for (std::uint32_t begin = bounds[static_cast<std::size_t>(row)]; begin < end;) {
                const std::uint32_t stop =
                    end - begin > kSliceEntries ? begin + kSliceEntries : end;
                slices.push_back({static_cast<std::uint32_t>(row), begin, stop});
                begin = stop;
            }
        }
        ready.slices = Buffer<Slice>(on_, static_cast<Index>(slices.size()));
        on_.upload(ready.slices.data(), slices.data(), ready.slices.size());
        ready.entries = Buffer<std::uint64_t>(on_, size);
        prepared_ = std::make_unique<Prepared>(std::move(ready));
    }

    std::vector<CountsOfPairs> count_in_tables(std::span<const Index> lags) {
        const int n_lags = static_cast<int>(lags.size());
        const Index cells = vocab_size_ * vocab_size_;
        Buffer<std::uint32_t> tables(on_, n_lags * 4 * cells);
        on_.clear(tables.data(), tables.size());
        for_chunks(lags, [&](Index chunk, const Token* left, auto&& fetch_next) {
            prepare(chunk, left, fetch_next);
            WriteEntries<Token> write{};
            for (int k = 0; k < n_lags; ++k) {
                write.lag[k] = checked(lags[k]);
                write.right[k] = left + std::min(lags[k], n_);
                write.limit[k] =
                    std::clamp<Index>(n_ - lags[k] - prepared_->first, 0, prepared_->size);
            }
            write.about = prepared_->about.data();
            write.ranks = prepared_->ranks.data();
            write.entries = prepared_->entries.data();
            on_.for_each(prepared_->size, write);
            const int pass = lags_of_pass();
            for (int k = 0; k < n_lags; k += pass) {
                const int now = std::min(pass, n_lags - k);
                on_.for_blocks(prepared_->slices.size(), kThreads,
                               CountSlices::shared_bytes(vocab_size_, now),
                               CountSlices{prepared_->slices.data(), prepared_->entries.data(),
                                           vocab_size_, k, now, tables.data()});
            }
            if (n_chunks() > 1) prepared_.reset();
        });
        std::vector<CountsOfPairs> result;
        for (int k = 0; k < n_lags; ++k) {
            const std::uint32_t* table = tables.data() + k * 4 * cells;
            auto within = compressed(table, table + cells);
            auto across = compressed(table + 2 * cells, table + 3 * cells);
            result.emplace_back(std::move(within), std::move(across));
        }
        return result;
    }

    std::shared_ptr<Counts> compressed(const std::uint32_t* first,
                                       const std::uint32_t* second) const {
        const Index per_row = Segments::in_row(vocab_size_);
        const Segments segments{first, second, vocab_size_, per_row};
        const Index n = vocab_size_ * per_row;
        Buffer<std::uint64_t> offsets(on_, n + 1);
        on_.clear(offsets.data() + n, 1);
        on_.for_each(n, CountSegments{segments, offsets.data()});
        on_.exclusive_sum(offsets.data(), n + 1);
        std::uint64_t entries = 0;
        on_.download(&entries, offsets.data() + n, 1);
        Csr csr(on_, vocab_size_, vocab_size_, static_cast<Index>(entries));
        on_.for_each(n, WriteSegments{segments, offsets.data(), csr.column.data(), csr.first.data(),
                                      csr.second.data()});
        on_.for_each(vocab_size_ + 1,
                     RowStartsOfSegments{offsets.data(), per_row, csr.row_start.data()});
        return std::make_shared<CountsOn<Executor>>(on_, std::move(csr));
    }

    std::vector<CountsOfPairs> count_keys(std::span<const Index> lags) {
        std::vector<CountsOfPairs> result;
        for (const Index lag : lags) {
            Runs all;
            const std::uint32_t distance = checked(lag);
            for_chunks(std::span<const Index>(&lag, 1), [&](Index chunk, const Token* left,
                                                            auto&& fetch_next) {
                const Index first = chunk * chunk_;
                const Index pairs =
                    std::clamp<Index>(n_ - lag - first, 0, chunk_end(chunk) - first);
                if (pairs > 0) {
                    all = joined(std::move(all), runs_of(left, first, pairs, distance, fetch_next));
                } else {
                    fetch_next();
                }
            });
            result.push_back(matrices(all));
        }
        return result;
    }

    int key_bits() const {
        const auto v = static_cast<std::uint64_t>(vocab_size_);
        // 2 V^2 classes of two: below 2^64 since V < 2^31.
        return bits_below(4 * v * v);
    }

    template <class Meanwhile>
    Runs runs_of(const Token* left, Index first, Index n, std::uint32_t lag,
                 Meanwhile&& meanwhile) {
        Buffer<std::uint64_t> keys(on_, n), other(on_, n);
        {
            Buffer<std::uint32_t> about(on_, n);
            on_.for_each(n, Describe{documents(), first, about.data()});
            on_.for_each(n, PairKeys<Token>{left, left + lag, about.data(), lag,
                                            static_cast<std::uint64_t>(vocab_size_), keys.data()});
        }
        on_.sort_keys(keys, other, n, key_bits());
        meanwhile();
        Buffer<std::uint32_t> lengths(on_, n);
        const Index runs = on_.run_lengths(keys.data(), n, other.data(), lengths.data());
        keys.reset();
        Runs result;
        result.n = runs;
        result.keys = Buffer<std::uint64_t>(on_, runs);
        result.counts = Buffer<std::uint64_t>(on_, runs);
        on_.copy(result.keys.data(), other.data(), runs);
        on_.for_each(runs, Widen{lengths.data(), result.counts.data()});
        return result;
    }

    Runs joined(Runs&& a, Runs&& b) const {
        if (a.n == 0) return std::move(b);
        const Index n = a.n + b.n;
        Buffer<std::uint64_t> keys(on_, n), other_keys(on_, n), counts(on_, n), other(on_, n);
        on_.copy(keys.data(), a.keys.data(), a.n);
        on_.copy(keys.data() + a.n, b.keys.data(), b.n);
        on_.copy(counts.data(), a.counts.data(), a.n);
        on_.copy(counts.data() + a.n, b.counts.data(), b.n);
        a = Runs();
        b = Runs();
        on_.sort_pairs(keys, other_keys, counts, other, n, key_bits());
        Runs result;
        result.n = on_.sum_by_key(keys.data(), counts.data(), n, other_keys.data(), other.data());
        result.keys = std::move(other_keys);
        result.counts = std::move(other);
        return result;
    }

    CountsOfPairs matrices(const Runs& runs) const {
        Buffer<std::uint64_t> places(on_, runs.n + 1);
        on_.for_each(runs.n + 1, HeadsOfEntries{runs.keys.data(), runs.n, places.data()});
        on_.exclusive_sum(places.data(), runs.n + 1);
        std::uint64_t entries = 0;
        on_.download(&entries, places.data() + runs.n, 1);
        const Index n = static_cast<Index>(entries);
        Buffer<std::uint64_t> rows(on_, n), largest(on_, 1);
        Buffer<std::uint32_t> column(on_, n), first(on_, n), second(on_, n);
        std::uint64_t none = ~std::uint64_t{0};
        on_.upload(largest.data(), &none, 1);
        on_.for_each(runs.n,
                     EntriesOfKeys{runs.keys.data(), runs.counts.data(), places.data(), runs.n,
                                   static_cast<std::uint64_t>(vocab_size_), rows.data(),
                                   column.data(), first.data(), second.data(), largest.data()});
        on_.download(&none, largest.data(), 1);
        if (none != ~std::uint64_t{0}) {
            throw std::overflow_error("a pair occurs " + std::to_string(~none) +
                                      " times in one class: counters have 32 bits");
        }
        places.reset();
        Buffer<Index> bounds(on_, 2);
        on_.for_each(2, RowStartsOfRows{rows.data(), n, static_cast<std::uint64_t>(vocab_size_), 0,
                                        bounds.data()});
        Index split = 0;
        on_.download(&split, bounds.data(), 1);
        std::array<std::shared_ptr<Counts>, 2> both;
        for (int kind = 0; kind < 2; ++kind) {
            const Index begin = kind == 0 ? 0 : split, end = kind == 0 ? split : n;
            Csr csr(on_, vocab_size_, vocab_size_, end - begin);
            on_.for_each(
                vocab_size_ + 1,
                RowStartsOfRows{rows.data(), n, static_cast<std::uint64_t>(kind * vocab_size_),
                                begin, csr.row_start.data()});
            on_.copy(csr.column.data(), column.data() + begin, csr.nnz);
            on_.copy(csr.first.data(), first.data() + begin, csr.nnz);
            on_.copy(csr.second.data(), second.data() + begin, csr.nnz);
            both[static_cast<std::size_t>(kind)] =
                std::make_shared<CountsOn<Executor>>(on_, std::move(csr));
        }
        return {both[0], both[1]};
    }

    Executor& on_;
    Index n_, vocab_size_, n_documents_ = 0;
    Buffer<Index> ends_, starts_, content_ends_;
    Buffer<std::uint8_t> classes_;
    std::optional<Windows<Executor, Token>> windows_;
    std::unique_ptr<Prepared> prepared_;
    bool tables_ = true;
    int group_ = kGroup;
    Index chunk_ = 0;
};

}  // namespace ngramstat::gpu
