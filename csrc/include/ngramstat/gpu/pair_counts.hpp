// The twin of pairs/pair_counts.hpp: pair counts on a GPU.
//
// Small vocabularies: positions are sorted by their token once. Then, for up to sixteen lags at a
// time, the tokens that follow each position are written in the order of the stream, one entry of 8
// bytes for four lags, and read in the order of the sorted positions, so that a row's entries are
// contiguous (on an H200, reading 32 bytes at random is twice as fast as writing 8). Blocks of
// threads count slices of one row in shared memory. Device memory sees no addition per pair, only
// one per counter that is not zero at the end.
//
// Large vocabularies: pairs become keys of 64 bits, are sorted, and runs of equal ones counted.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ngramstat/gpu/count_matrix.hpp"
#include "ngramstat/gpu/documents.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/tokens.hpp"

namespace ngramstat::gpu {

inline constexpr int kGroup = 4;       // lags of an entry
inline constexpr int kMaxEntries = 4;  // of a position: 32 bytes, what memory reads at once
inline constexpr int kMaxLags = kGroup * kMaxEntries;
// Two of the 16 bits that an entry has for each lag tell the kind of pair.
inline constexpr Index kMaxTableVocab = Index{1} << 14;
inline constexpr std::uint32_t kWithin = 1, kAcross = 2;

template <class Token>
struct RowKeys {
    const Token* tokens;
    const std::uint32_t* position_info;
    Index vocab_size;
    std::uint16_t* keys;
    std::uint32_t* positions;

    NGRAMSTAT_HD void operator()(Index i) const {
        const Index half = position_info[i] >> 31;
        keys[i] = static_cast<std::uint16_t>(half * vocab_size + static_cast<Index>(tokens[i]));
        positions[i] = static_cast<std::uint32_t>(i);
    }
};

// Writes the entries of positions in the order of the stream. Threads read adjacent tokens; entries
// go through shared memory, so that threads also write adjacent entries.
template <class Token, int kEntries>
struct WriteEntries {
    static constexpr int kPhases = 2;
    static constexpr int kThreads = 256;
    static constexpr int kPositions = 1024;  // of a block
    static constexpr std::size_t kShared = kEntries * kPositions * sizeof(std::uint64_t);

    const Token* right[kMaxLags];  // the token a lag after each position
    Index limit[kMaxLags];         // positions that have one; 0: no such lag
    std::uint32_t lag[kMaxLags];
    const std::uint32_t* position_info;
    Index n;
    std::uint64_t* entries;

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* block_entries = at.shared_as<std::uint64_t>();
        const Index first = at.block * kPositions;
        const int size = static_cast<int>(n - first < kPositions ? n - first : kPositions);
        if constexpr (kPhase == 0) {
            for (int j = at.thread; j < size; j += at.threads) {
                const Index i = first + j;
                const std::uint32_t remaining = position_info[i] & kRemaining;
                for (int e = 0; e < kEntries; ++e) {
                    std::uint64_t entry = 0;
                    for (int k = 0; k < kGroup; ++k) {
                        const int l = e * kGroup + k;
                        if (i < limit[l]) {
                            const std::uint64_t kind = lag[l] < remaining ? kWithin : kAcross;
                            const auto column = static_cast<std::uint64_t>(right[l][i]);
                            entry |= (column << 2 | kind) << (16 * k);
                        }
                    }
                    block_entries[e * kPositions + j] = entry;
                }
            }
        } else {
            for (int k = at.thread; k < size * kEntries; k += at.threads) {
                entries[first * kEntries + k] =
                    block_entries[k % kEntries * kPositions + k / kEntries];
            }
        }
    }
};

// Entries in the order of the sorted positions, those of each group of lags by themselves.
template <int kEntries>
struct GatherEntries {
    const std::uint32_t* positions;
    const std::uint64_t* entries;
    Index n;
    std::uint64_t* sorted;  // (kEntries, n)

    NGRAMSTAT_HD void operator()(Index number) const {
        const Index rank = number / kEntries, which = number % kEntries;
        sorted[which * n + rank] = entries[static_cast<Index>(positions[rank]) * kEntries + which];
    }
};

// Entries of one row, too few for a counter of 16 bits to overflow.
struct Slice {
    std::uint32_t row, begin, end;
};
inline constexpr std::uint32_t kSliceEntries = 65535;

// Counters (lag, kind, column) of 16 bits, two columns in a word.
struct CountSlices {
    static constexpr int kPhases = 3;
    static constexpr int kAhead = 4;  // entries that a thread reads before it counts them

    const Slice* slices;
    const std::uint64_t* entries;
    Index vocab_size, width;  // width: of a row of the tables, even
    int first_lag, n_lags;
    std::uint32_t* tables;  // (lag, kind, half, row, column)

    static std::size_t shared_bytes(Index width, int lags) {
        return static_cast<std::size_t>(lags * width) * sizeof(std::uint32_t);
    }

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* counters = at.shared_as<std::uint32_t>();
        const Slice slice = slices[at.block];
        const int words = static_cast<int>(width / 2), n_tables = 2 * n_lags;
        if constexpr (kPhase == 0) {
            for (int w = at.thread; w < n_tables * words; w += at.threads) counters[w] = 0;
        } else if constexpr (kPhase == 1) {
            const auto step = static_cast<std::uint32_t>(at.threads);
            std::uint32_t e = slice.begin + static_cast<std::uint32_t>(at.thread);
            for (; e < slice.end; e += kAhead * step) {
                std::uint64_t ahead[kAhead];
                for (std::uint32_t j = 0; j < kAhead; ++j) {
                    ahead[j] = e + j * step < slice.end ? entries[e + j * step] : 0;
                }
                for (int j = 0; j < kAhead; ++j) count(counters, ahead[j] >> (16 * first_lag));
            }
        } else {
            const auto v = static_cast<std::uint32_t>(vocab_size);
            const Index half = slice.row / v, row = slice.row % v;
            for (int table = 0; table < n_tables; ++table) {
                const Index table_row = ((2 * first_lag + table) * 2 + half) * vocab_size + row;
                auto* to = reinterpret_cast<std::uint64_t*>(tables + table_row * width);
                for (int w = at.thread; w < words; w += at.threads) {
                    const std::uint64_t both = counters[table * words + w];
                    // Two counters of 32 bits that no addition makes overflow.
                    if (both != 0) add(&to[w], (both & 0xffffu) | (both >> 16) << 32);
                }
            }
        }
    }

    NGRAMSTAT_HD void count(std::uint32_t* counters, std::uint64_t entry) const {
        for (int k = 0; k < kGroup; ++k, entry >>= 16) {
            const auto field = static_cast<std::uint32_t>(entry & 0xffffu);
            const std::uint32_t kind = field & 3;
            if (k >= n_lags || kind == 0) continue;
            const std::uint32_t cell =
                (2 * static_cast<std::uint32_t>(k) + kind - 1) * static_cast<std::uint32_t>(width) +
                (field >> 2);
            add(&counters[cell >> 1], std::uint32_t{1} << (16 * (cell & 1)));
        }
    }
};

// Compresses one row of both halves' tables, by a block of threads: reads in order, and writes the
// entries that are not zero in order. Without kWrite it only counts them.
template <bool kWrite>
struct CompressRow {
    static constexpr int kPhases = kWrite ? 5 : 3;
    static constexpr int kThreads = 256;

    const std::uint32_t *first, *second;  // (V, width)
    Index vocab_size, width;
    Index* row_start;  // numbers of entries, then offsets
    std::uint32_t *column, *first_out, *second_out;

    // Numbers of entries in each thread's stretch, the columns that are not zero, and their flags.
    static std::size_t shared_bytes(Index vocab_size) {
        return (kThreads + 1) * sizeof(std::uint32_t) +
               static_cast<std::size_t>(vocab_size) * (kWrite ? 3 : 1);
    }

    template <int kPhase>
    NGRAMSTAT_HD void phase(const BlockThread& at) const {
        auto* numbers = at.shared_as<std::uint32_t>();
        auto* columns = reinterpret_cast<std::uint16_t*>(numbers + kThreads + 1);
        auto* there = reinterpret_cast<std::uint8_t*>(columns + (kWrite ? vocab_size : 0));
        const std::uint32_t* a = first + at.block * width;
        const std::uint32_t* b = second + at.block * width;
        const int v = static_cast<int>(vocab_size);
        const int stretch = (v + at.threads - 1) / at.threads;
        const int begin = at.thread * stretch;
        const int end = begin + stretch < v ? begin + stretch : v;
        if constexpr (kPhase == 0) {
            for (int y = at.thread; y < v; y += at.threads) there[y] = (a[y] | b[y]) != 0;
        } else if constexpr (kPhase == 1) {
            std::uint32_t n = 0;
            for (int y = begin; y < end; ++y) n += there[y];
            numbers[at.thread + 1] = n;
        } else if constexpr (kPhase == 2) {
            if (at.thread != 0) return;
            numbers[0] = 0;
            for (int t = 0; t < at.threads; ++t) numbers[t + 1] += numbers[t];
            if constexpr (!kWrite) row_start[at.block] = numbers[at.threads];
        } else if constexpr (kPhase == 3) {
            std::uint32_t to = numbers[at.thread];
            for (int y = begin; y < end; ++y) {
                if (there[y] != 0) columns[to++] = static_cast<std::uint16_t>(y);
            }
        } else {
            const Index offset = row_start[at.block];
            for (std::uint32_t k = static_cast<std::uint32_t>(at.thread); k < numbers[at.threads];
                 k += static_cast<std::uint32_t>(at.threads)) {
                const std::uint32_t y = columns[k];
                column[offset + k] = y;
                first_out[offset + k] = a[y];
                second_out[offset + k] = b[y];
            }
        }
    }
};

// ((kind V + x) V + y) 2 + half: the order of both matrices' entries.
template <class Token>
struct PairKeys {
    const Token *left, *right;
    const std::uint32_t* position_info;
    std::uint32_t lag;
    std::uint64_t vocab_size;
    std::uint64_t* keys;

    NGRAMSTAT_HD void operator()(Index i) const {
        const std::uint64_t across = lag < (position_info[i] & kRemaining) ? 0 : 1;
        const std::uint64_t row = across * vocab_size + left[i];
        keys[i] = (row * vocab_size + right[i]) << 1 | position_info[i] >> 31;
    }
};

struct Widen {
    const std::uint32_t* from;
    std::uint64_t* to;
    NGRAMSTAT_HD void operator()(Index i) const { to[i] = from[i]; }
};

// 1 where an entry of the matrices begins, and a 0 after the last.
struct HeadsOfEntries {
    const std::uint64_t* keys;
    Index n;
    std::uint64_t* heads;

    NGRAMSTAT_HD void operator()(Index i) const {
        heads[i] = i < n && (i == 0 || keys[i] >> 1 != keys[i - 1] >> 1) ? 1 : 0;
    }
};

struct EntriesOfKeys {
    const std::uint64_t *keys, *counts, *slots;  // slots: heads before each key
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
        const std::uint64_t slot = slots[i], cell = keys[i] >> 1;
        rows[slot] = cell / vocab_size;
        column[slot] = static_cast<std::uint32_t>(cell % vocab_size);
        first[slot] = both[0];
        second[slot] = both[1];
    }
};

template <class Executor, class Token>
class PairCounterOn : public PairCounter {
  public:
    PairCounterOn(Executor& on, const Stream<Token>& tokens, Index vocab_size,
                  const Documents& documents)
        : on_(on), n_(tokens.size), vocab_size_(vocab_size) {
        require(vocab_size <= std::numeric_limits<std::int32_t>::max(),
                "the GPU counts pairs of at most 2^31 - 1 vocabulary items");
        const auto active = on_.activate();
        documents_.emplace(on_, documents, n_);
        windows_.emplace(on_, tokens, kStreamFraction);
        const auto counts = count_tokens(on_, *windows_, tokens, vocab_size);
        windows_->drop();
        if (n_ > 0) check_counts(counts);
        reset_plan();
    }

    std::vector<CountsOfPairs> count(std::span<const Index> lags) override {
        const auto active = on_.activate();
        std::vector<CountsOfPairs> result;
        for (std::size_t done = 0; done < lags.size();) {
            plan();
            const std::size_t size =
                std::min<std::size_t>(static_cast<std::size_t>(batch_), lags.size() - done);
            try {
                auto counted = tables_ ? count_in_tables(lags.subspan(done, size))
                                       : count_keys(lags.subspan(done, size));
                for (auto& pair : counted) result.push_back(std::move(pair));
                done += size;
            } catch (const DeviceMemoryError&) {
                prepared_.reset();
                windows_->drop();
                // The counts themselves may fill the memory; smaller pieces do not help then, and
                // the next call plans anew.
                if (!result.empty() || !shrink()) {
                    reset_plan();
                    throw;
                }
            }
        }
        // Products with the counts also need their transposes, and some scratch memory.
        std::size_t counted = 0;
        for (const auto& [within, across] : result) {
            counted += static_cast<std::size_t>(within->bytes() + across->bytes());
        }
        if (on_.available() < 3 * counted) {
            prepared_.reset();
            windows_->drop();
        }
        return result;
    }

    Index lags_at_once() const override { return tables_ ? kMaxLags : 1; }

  private:
    static constexpr double kStreamFraction = 0.3;
    static constexpr Index kLargestChunk = Index{1} << 30;
    static constexpr Index kSmallestChunk = 1 << 12;
    static constexpr int kThreads = 1024;

    // A chunk's positions sorted by row, which all groups of lags use.
    struct Prepared {
        Index first = 0, size = 0;
        Buffer<std::uint32_t> position_info, positions;
        Buffer<std::uint64_t> entries, sorted;
        Buffer<Slice> slices;
    };

    // Keys with the number of their pairs, ascending.
    struct Runs {
        Buffer<std::uint64_t> keys, counts;
        Index n = 0;
    };

    // Counters of a row hold 32 bits.
    void check_counts(const std::vector<Index>& counts) const {
        const Index most = *std::max_element(counts.begin(), counts.end());
        // Of both halves together, which is stricter than necessary, but only beyond 2^32 tokens.
        if (n_ >= Index{1} << 32 && most >= Index{1} << 32) {
            throw std::overflow_error(
                "a token occurs 2^32 times or more: its pairs may not fit "
                "counters of 32 bits");
        }
    }

    std::size_t bytes_of_tables(int lags) const {
        return static_cast<std::size_t>(lags * 4 * cells()) * sizeof(std::uint32_t);
    }
    // Of a row of the tables: even, so that two counters are one word of 64 bits.
    Index width() const { return (vocab_size_ + 1) / 2 * 2; }
    // Lags whose counters fit the memory of a block.
    int lags_of_pass() const {
        int lags = kGroup;
        while (lags > 0 && CountSlices::shared_bytes(width(), lags) > on_.max_shared_bytes()) {
            --lags;
        }
        return lags;
    }

    // Bytes that a position of a chunk takes at most: sorting it by row, then its entries twice; or
    // keys, sorted keys and runs.
    std::size_t bytes_of_position() const {
        const Index windows = !windows_->is_whole() ? 2 * sizeof(Token) : 0;
        return static_cast<std::size_t>(windows + (tables_ ? 8 + 16 * entries_of(batch_) : 44));
    }
    // Memory for positions beside that for tables. A chunk that is not the whole stream needs the
    // tables of all its lags.
    std::size_t bytes_for_positions() const {
        const std::size_t available = on_.available();
        if (!tables_) return available / 2;
        const std::size_t tables =
            bytes_of_tables(n_chunks() > 1 ? batch_ : std::min(batch_, kGroup));
        return tables < available ? (available - tables) * 3 / 4 : 0;
    }
    // Chooses how many lags and positions to count at a time, so that they fit the available
    // memory.
    void plan() {
        if (prepared_) return;
        if (!tables_) batch_ = 1;
        while (!fits() && shrink()) {
        }
    }
    bool fits() const {
        return static_cast<std::size_t>(chunk_) * bytes_of_position() <= bytes_for_positions();
    }
    void reset_plan() {
        tables_ = vocab_size_ <= kMaxTableVocab && lags_of_pass() > 0;
        batch_ = kMaxLags;
        chunk_ = std::min(n_, kLargestChunk);
    }
    // More pieces than this would take too long.
    Index smallest_chunk() const { return std::max(kSmallestChunk, n_ / 256); }
    // Counts less at a time. Whole entries of lags go first: lags of one entry share its cost.
    bool shrink() {
        if (tables_ && batch_ > kGroup) {
            batch_ -= kGroup;
        } else if (chunk_ > smallest_chunk()) {
            chunk_ = (chunk_ + 1) / 2;
        } else if (tables_ && batch_ > 1) {
            batch_ /= 2;
            chunk_ = std::min(n_, kLargestChunk);
        } else if (tables_) {
            tables_ = false;
            batch_ = 1;
            chunk_ = std::min(n_, kLargestChunk);
        } else {
            return false;
        }
        return true;
    }

    Index n_chunks() const { return n_ == 0 ? 0 : (n_ + chunk_ - 1) / chunk_; }
    Index chunk_end(Index chunk) const { return std::min(n_, (chunk + 1) * chunk_); }

    // Calls visit(chunk, its tokens, fetch_next) for all chunks, where fetch_next() starts to copy
    // the next one. A window holds a chunk and the longest lag after it.
    template <class Visit>
    void for_chunks(std::span<const Index> lags, Visit&& visit) {
        const Index longest = lags.empty() ? 0 : *std::max_element(lags.begin(), lags.end());
        const auto last = [&](Index chunk) { return std::min(n_, chunk_end(chunk) + longest); };
        if (!windows_->is_whole()) windows_->reserve(std::min(n_, chunk_ + longest));
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

    // Sorts the positions of a chunk by half and token, and cuts their rows into slices.
    template <class Meanwhile>
    void prepare(Index chunk, const Token* left, Meanwhile&& meanwhile) {
        const Index first = chunk * chunk_, size = chunk_end(chunk) - first;
        if (prepared_ && prepared_->first == first && prepared_->size == size) return meanwhile();
        prepared_.reset();
        Prepared ready;
        ready.first = first;
        ready.size = size;
        ready.position_info = documents_->describe(first, size);
        const Index rows = 2 * vocab_size_;
        Buffer<std::uint32_t> starts(on_, rows + 1);
        {
            Buffer<std::uint16_t> keys(on_, size), other_keys(on_, size);
            Buffer<std::uint32_t> positions(on_, size), other_positions(on_, size);
            on_.for_each(size, RowKeys<Token>{left, ready.position_info.data(), vocab_size_,
                                              keys.data(), positions.data()});
            on_.sort_pairs(keys, other_keys, positions, other_positions, size,
                           bits_below(static_cast<std::uint64_t>(rows)));
            on_.for_each(rows + 1, RowStarts<std::uint16_t, std::uint32_t>{keys.data(), size, 0, 0,
                                                                           starts.data()});
            ready.positions = std::move(positions);
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
        ready.entries = Buffer<std::uint64_t>(on_, size * entries_of(batch_));
        ready.sorted = Buffer<std::uint64_t>(on_, size * entries_of(batch_));
        prepared_ = std::make_unique<Prepared>(std::move(ready));
    }

    std::vector<CountsOfPairs> count_in_tables(std::span<const Index> lags) {
        // With the whole stream prepared, the tables of one group of lags are freed before the
        // next.
        if (n_chunks() == 1) {
            std::vector<CountsOfPairs> result;
            for_chunks(lags, [&](Index chunk, const Token* left, auto&& fetch_next) {
                prepare(chunk, left, fetch_next);
                arrange(lags, left);
                for (std::size_t k = 0; k < lags.size(); k += kGroup) {
                    const std::size_t now = std::min<std::size_t>(kGroup, lags.size() - k);
                    auto tables = zero_tables(now);
                    count_entries(k / kGroup, static_cast<int>(now), tables.data());
                    compress(tables, now, result);
                }
            });
            return result;
        }
        auto tables = zero_tables(lags.size());
        for_chunks(lags, [&](Index chunk, const Token* left, auto&& fetch_next) {
            prepare(chunk, left, fetch_next);
            arrange(lags, left);
            for (std::size_t k = 0; k < lags.size(); k += kGroup) {
                const std::size_t now = std::min<std::size_t>(kGroup, lags.size() - k);
                count_entries(k / kGroup, static_cast<int>(now),
                              tables.data() + static_cast<Index>(k) * 4 * cells());
            }
            prepared_.reset();
        });
        std::vector<CountsOfPairs> result;
        compress(tables, lags.size(), result);
        return result;
    }

    static int entries_of(int lags) { return (lags + kGroup - 1) / kGroup; }
    Index cells() const { return vocab_size_ * width(); }

    // (lag, kind, half, row, column).
    Buffer<std::uint32_t> zero_tables(std::size_t n_lags) const {
        Buffer<std::uint32_t> tables(on_, static_cast<Index>(n_lags) * 4 * cells());
        on_.clear(tables.data(), tables.size());
        return tables;
    }

    // Writes the entries of all lags and sorts them by row.
    void arrange(std::span<const Index> lags, const Token* left) {
        switch (entries_of(static_cast<int>(lags.size()))) {
            case 1:
                return arrange_as<1>(lags, left);
            case 2:
                return arrange_as<2>(lags, left);
            case 3:
                return arrange_as<3>(lags, left);
            default:
                return arrange_as<4>(lags, left);
        }
    }
    template <int kEntries>
    void arrange_as(std::span<const Index> lags, const Token* left) {
        static_assert(kEntries <= kMaxEntries);
        const Index size = prepared_->size;
        WriteEntries<Token, kEntries> write{};
        for (std::size_t k = 0; k < lags.size(); ++k) {
            write.lag[k] = checked_lag(lags[k], n_);
            write.right[k] = left + std::min(lags[k], n_);
            write.limit[k] = std::clamp<Index>(n_ - lags[k] - prepared_->first, 0, size);
        }
        write.position_info = prepared_->position_info.data();
        write.n = size;
        write.entries = prepared_->entries.data();
        on_.for_blocks((size + write.kPositions - 1) / write.kPositions, write.kThreads,
                       write.kShared, write);
        on_.for_each(size * kEntries,
                     GatherEntries<kEntries>{prepared_->positions.data(), prepared_->entries.data(),
                                             size, prepared_->sorted.data()});
    }

    void count_entries(std::size_t which, int n_lags, std::uint32_t* tables) const {
        const std::uint64_t* entries =
            prepared_->sorted.data() + static_cast<Index>(which) * prepared_->size;
        const int pass = lags_of_pass();
        for (int k = 0; k < n_lags; k += pass) {
            const int now = std::min(pass, n_lags - k);
            on_.for_blocks(prepared_->slices.size(), kThreads,
                           CountSlices::shared_bytes(width(), now),
                           CountSlices{prepared_->slices.data(), entries, vocab_size_, width(), k,
                                       now, tables});
        }
    }

    void compress(const Buffer<std::uint32_t>& tables, std::size_t n_lags,
                  std::vector<CountsOfPairs>& result) const {
        for (std::size_t k = 0; k < n_lags; ++k) {
            const std::uint32_t* table = tables.data() + static_cast<Index>(k) * 4 * cells();
            auto within = compressed(table, table + cells());
            auto across = compressed(table + 2 * cells(), table + 3 * cells());
            result.emplace_back(std::move(within), std::move(across));
        }
    }

    std::shared_ptr<Counts> compressed(const std::uint32_t* first,
                                       const std::uint32_t* second) const {
        Buffer<Index> row_start(on_, vocab_size_ + 1);
        on_.clear(row_start.data() + vocab_size_, 1);
        CompressRow<false> count{first,   second,  vocab_size_, width(), row_start.data(),
                                 nullptr, nullptr, nullptr};
        on_.for_blocks(vocab_size_, count.kThreads, count.shared_bytes(vocab_size_), count);
        on_.exclusive_sum(row_start.data(), vocab_size_ + 1);
        Index entries = 0;
        on_.download(&entries, row_start.data() + vocab_size_, 1);
        Csr csr(on_, vocab_size_, vocab_size_, entries);
        csr.row_start = std::move(row_start);
        CompressRow<true> write{first,
                                second,
                                vocab_size_,
                                width(),
                                csr.row_start.data(),
                                csr.column.data(),
                                csr.first.data(),
                                csr.second.data()};
        on_.for_blocks(vocab_size_, write.kThreads, write.shared_bytes(vocab_size_), write);
        return std::make_shared<CountsOn<Executor>>(on_, std::move(csr));
    }

    std::vector<CountsOfPairs> count_keys(std::span<const Index> lags) {
        std::vector<CountsOfPairs> result;
        for (const Index lag : lags) {
            Runs all;
            const std::uint32_t distance = checked_lag(lag, n_);
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
        // 2 kinds, V^2 cells, 2 halves: below 2^64 since V < 2^31.
        return bits_below(4 * v * v);
    }

    template <class Meanwhile>
    Runs runs_of(const Token* left, Index first, Index n, std::uint32_t lag,
                 Meanwhile&& meanwhile) {
        Buffer<std::uint64_t> keys(on_, n), other(on_, n);
        {
            const auto position_info = documents_->describe(first, n);
            on_.for_each(n, PairKeys<Token>{left, left + lag, position_info.data(), lag,
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
        Buffer<std::uint64_t> slots(on_, runs.n + 1);
        on_.for_each(runs.n + 1, HeadsOfEntries{runs.keys.data(), runs.n, slots.data()});
        on_.exclusive_sum(slots.data(), runs.n + 1);
        std::uint64_t entries = 0;
        on_.download(&entries, slots.data() + runs.n, 1);
        const Index n = static_cast<Index>(entries);
        Buffer<std::uint64_t> rows(on_, n), largest(on_, 1);
        Buffer<std::uint32_t> column(on_, n), first(on_, n), second(on_, n);
        std::uint64_t none = ~std::uint64_t{0};
        on_.upload(largest.data(), &none, 1);
        on_.for_each(runs.n,
                     EntriesOfKeys{runs.keys.data(), runs.counts.data(), slots.data(), runs.n,
                                   static_cast<std::uint64_t>(vocab_size_), rows.data(),
                                   column.data(), first.data(), second.data(), largest.data()});
        on_.download(&none, largest.data(), 1);
        if (none != ~std::uint64_t{0}) {
            throw std::overflow_error("a pair occurs " + std::to_string(~none) +
                                      " times in one half: counters have 32 bits");
        }
        slots.reset();
        Buffer<Index> bounds(on_, 2);
        on_.for_each(
            2, RowStarts<std::uint64_t, Index>{rows.data(), n, vocab_size_, 0, bounds.data()});
        Index split = 0;
        on_.download(&split, bounds.data(), 1);
        std::array<std::shared_ptr<Counts>, 2> both;
        for (int kind = 0; kind < 2; ++kind) {
            const Index begin = kind == 0 ? 0 : split, end = kind == 0 ? split : n;
            Csr csr(on_, vocab_size_, vocab_size_, end - begin);
            on_.for_each(vocab_size_ + 1,
                         RowStarts<std::uint64_t, Index>{rows.data(), n, kind * vocab_size_, begin,
                                                         csr.row_start.data()});
            on_.copy(csr.column.data(), column.data() + begin, csr.nnz);
            on_.copy(csr.first.data(), first.data() + begin, csr.nnz);
            on_.copy(csr.second.data(), second.data() + begin, csr.nnz);
            both[static_cast<std::size_t>(kind)] =
                std::make_shared<CountsOn<Executor>>(on_, std::move(csr));
        }
        return {both[0], both[1]};
    }

    Executor& on_;
    Index n_, vocab_size_;
    std::optional<DocumentsOn<Executor>> documents_;
    std::optional<Windows<Executor, Token>> windows_;
    std::unique_ptr<Prepared> prepared_;
    bool tables_ = true;
    int batch_ = kMaxLags;
    Index chunk_ = 0;
};

}  // namespace ngramstat::gpu
