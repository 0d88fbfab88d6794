#include "ngramstat/ngrams/ngram_buckets.hpp"

#include <algorithm>
#include <array>
#include <mutex>

#include "ngramstat/base/entry_streams.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/base/huge_pages.hpp"
#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

constexpr Index kMaxBucketBits = 20;
// Hashes that are computed before any of them is stored.
constexpr std::size_t kBlock = 256;

// An entry and how often it was seen; 0 for an empty slot.
template <class Entry>
struct Slot {
    std::uint32_t count;
    Entry entry_;
    Entry entry() const { return entry_; }
    void set(Entry entry) { entry_ = entry; }
};
template <>
struct Slot<WideKey> {
    std::uint32_t count;
    std::uint64_t low, high;  // 24 bytes in all, where a WideKey would make it 32
    WideKey entry() const { return WideKey{high} << 64 | low; }
    void set(WideKey entry) {
        low = static_cast<std::uint64_t>(entry);
        high = static_cast<std::uint64_t>(entry >> 64);
    }
};

template <class Entry>
struct CountedEntry {
    Entry entry;
    std::uint32_t count;
};

// Counts the entries of one bucket after the other. A slot's home is given by the highest bits of
// the entry, and an entry is at most kMaxProbes slots after its home, so that the table is nearly
// sorted.
template <class Entry>
class BucketTable {
  public:
    explicit BucketTable(int entry_bits) : entry_bits_(entry_bits) {}

    // Empties the table, for a bucket of so many entries.
    void start(std::size_t n_entries) {
        // As many slots as suited the buckets before, but no more than twice the entries.
        const double expected = static_cast<double>(n_entries) * std::min(distinct_ * 1.1, 1.0);
        crowded_ = false;
        resize(static_cast<std::size_t>(expected * 2));
        n_entries_ = n_entries;
    }

    void add(std::span<const Entry> entries) {
        while (!entries.empty() && !crowded_) {
            const std::size_t room = limit_ - size_;
            if (room == 0) {
                grow();
                continue;
            }
            const std::size_t done = add_some(entries.first(std::min(room, entries.size())));
            entries = entries.subspan(done);
            if (done == 0) make_room();
        }
    }

    // Whether entries of the bucket collide so often that they must be sorted instead.
    bool crowded() const { return crowded_; }

    // Appends the entries that were seen at least min_count times to those of the buckets before,
    // in ascending order, and returns how many there are.
    std::size_t take(Count min_count) {
        if (n_entries_ > 0) {
            distinct_ = static_cast<double>(size_) / static_cast<double>(n_entries_);
        }
        taken_.resize(std::max(taken_.size(), n_taken_ + size_ + 1));
        // Without a branch: which slots are taken cannot be foreseen.
        const auto least = static_cast<std::uint32_t>(std::clamp<Count>(min_count, 1, UINT32_MAX));
        CountedEntry<Entry>* const first = &taken_[n_taken_];
        std::size_t n = 0;
        for (const Slot<Entry>* slot = slots_.data(); slot < slots_.data() + used_; ++slot) {
            first[n] = {slot->entry(), slot->count};
            n += slot->count >= least;
        }
        // Few are not yet in order, and these nearly so.
        for (std::size_t k = 1; k < n; ++k) {
            const CountedEntry<Entry> counted = first[k];
            std::size_t at = k;
            for (; at > 0 && counted.entry < first[at - 1].entry; --at) first[at] = first[at - 1];
            first[at] = counted;
        }
        n_taken_ += n;
        return n;
    }

    // The same by sorting, for entries that agree in so many of their highest bits that a table
    // cannot keep them apart: only a text made for it has these.
    std::size_t take_sorted(std::vector<Entry> entries, Count min_count) {
        std::sort(entries.begin(), entries.end());
        const std::size_t before = n_taken_;
        taken_.resize(n_taken_);
        for (std::size_t k = 0, end = 0; k < entries.size(); k = end) {
            while (end < entries.size() && entries[end] == entries[k]) ++end;
            if (end - k >= min_count) {
                taken_.push_back({entries[k], static_cast<std::uint32_t>(end - k)});
            }
        }
        n_taken_ = taken_.size();
        return n_taken_ - before;
    }

    std::span<const CountedEntry<Entry>> taken() const { return std::span(taken_).first(n_taken_); }
    void forget_taken() { n_taken_ = 0; }

  private:
    static constexpr std::size_t kMaxProbes = 64;
    static constexpr std::size_t kMinSlots = 64;
    static constexpr std::size_t kAhead = 12;

    std::size_t home(Entry entry) const { return static_cast<std::size_t>(entry >> shift_); }

    void resize(std::size_t at_least) {
        int bits = bit_width(std::max(at_least, kMinSlots) - 1);
        bits = std::min(bits, entry_bits_);
        const std::size_t slots = std::size_t{1} << bits;
        // A slot for every entry that there can be is never taken by another.
        limit_ = bits == entry_bits_ ? slots + 1 : slots / 2;
        shift_ = entry_bits_ - bits;
        used_ = slots + kMaxProbes;
        if (slots_.size() < used_) slots_.resize(used_);
        for (std::size_t k = 0; k < used_; ++k) slots_[k].count = 0;
        size_ = 0;
    }

    // The place of an entry or of its first occurrence; kMaxProbes after its home if there is none.
    std::size_t find(Entry entry, std::size_t at) const {
        const std::size_t end = at + kMaxProbes;
        while (at < end && slots_[at].count != 0 && slots_[at].entry() != entry) ++at;
        return at;
    }

    // Returns how many were added: fewer than there are if one found no place.
    std::size_t add_some(std::span<const Entry> entries) {
        Slot<Entry>* const slots = slots_.data();
        std::size_t size = size_, done = 0;
        for (const Entry entry : entries) {
            if (done + kAhead < entries.size()) prefetch(&slots[home(entries[done + kAhead])]);
            const std::size_t first = home(entry);
            std::size_t at = first;
            // One branch for both ways to be done, as which of them cannot be foreseen.
            while (!((slots[at].count == 0) | (slots[at].entry() == entry))) {
                if (++at - first == kMaxProbes) {
                    size_ = size;
                    return done;
                }
            }
            size += slots[at].count == 0;
            slots[at].set(entry);
            ++slots[at].count;
            ++done;
        }
        size_ = size;
        return done;
    }

    // More slots help unless the table is nearly empty, or has a slot for every entry.
    void make_room() {
        if (size_ < used_ / 16) {
            crowded_ = true;
        } else {
            grow();
        }
    }

    void grow() {
        std::vector<CountedEntry<Entry>> kept;
        kept.reserve(size_);
        for (std::size_t k = 0; k < used_; ++k) {
            if (slots_[k].count != 0) kept.push_back({slots_[k].entry(), slots_[k].count});
        }
        resize(4 * (used_ - kMaxProbes));
        for (const auto& [entry, count] : kept) {
            const std::size_t at = find(entry, home(entry));
            if (at == home(entry) + kMaxProbes) {
                crowded_ = true;
                return;
            }
            slots_[at].set(entry);
            slots_[at].count = count;
            ++size_;
        }
    }

    int entry_bits_;
    int shift_ = 0;
    std::vector<Slot<Entry>, HugePageAllocator<Slot<Entry>>> slots_;
    std::size_t used_ = 0;   // slots, with those after the last home
    std::size_t size_ = 0;   // entries in the table
    std::size_t limit_ = 0;  // that it may hold
    std::size_t n_entries_ = 0;
    std::vector<CountedEntry<Entry>> taken_;  // its memory is used again
    std::size_t n_taken_ = 0;
    double distinct_ = 0.5;  // fraction of the entries of the last bucket
    bool crowded_ = false;
};

template <class Token, class Key, class Entry>
class Buckets final : public NgramBuckets {
  public:
    Buckets(std::span<const Token> tokens, const NgramPacking& packing, const Documents& documents,
            bool across, PositionRange range, BucketLayout layout)
        : tokens_(tokens),
          packing_(packing),
          documents_(documents),
          across_(across),
          range_(range),
          layout_(layout),
          hash_(packing.key_bits()),
          entry_bits_(packing.key_bits() - layout.bucket_bits),
          n_buckets_(Index{1} << layout.bucket_bits),
          n_chunks_((range.last - range.first + layout.chunk - 1) / layout.chunk),
          measured_(static_cast<std::size_t>(n_chunks_ * n_buckets_)) {}

    Index n_chunks() const override { return n_chunks_; }

    void measure(Index first, Index last, int threads) override {
        check_chunks(first, last);
        parallel_for(last - first, threads, [&](Index task) {
            const Index chunk = first + task;
            check_tokens(chunk);
            std::uint32_t* const sizes = &measured_[cell(chunk, 0)];
            std::fill_n(sizes, n_buckets_, 0);
            for_hashes(chunk, 0, n_buckets_, [&](std::size_t bucket, Entry) { ++sizes[bucket]; });
        });
    }

    std::vector<Index> bucket_sizes() const override {
        std::vector<Index> sizes(static_cast<std::size_t>(n_buckets_));
        for (Index chunk = 0; chunk < n_chunks_; ++chunk) {
            for (Index b = 0; b < n_buckets_; ++b) {
                sizes[static_cast<std::size_t>(b)] += measured_[cell(chunk, b)];
            }
        }
        return sizes;
    }

    void start(Index first_bucket, Index last_bucket) override {
        require(0 <= first_bucket && first_bucket <= last_bucket && last_bucket <= n_buckets_,
                "a range of buckets exceeds them");
        first_bucket_ = first_bucket;
        last_bucket_ = last_bucket;
        const Index started = last_bucket - first_bucket;
        bucket_lines_.assign(static_cast<std::size_t>(started) + 1, 0);
        chunk_lines_.resize(static_cast<std::size_t>(n_chunks_ * started));
        std::vector<std::uint32_t> lines(static_cast<std::size_t>(started));
        for (Index chunk = 0; chunk < n_chunks_; ++chunk) {
            for (Index b = 0; b < started; ++b) {
                std::uint32_t& total = lines[static_cast<std::size_t>(b)];
                chunk_lines_[static_cast<std::size_t>(chunk * started + b)] = total;
                total += lines_of(measured_[cell(chunk, first_bucket + b)]);
            }
        }
        for (std::size_t b = 0; b < lines.size(); ++b) {
            bucket_lines_[b + 1] = bucket_lines_[b] + lines[b];
        }
        // Without the contents, which a larger buffer would copy.
        const std::size_t n_entries = bucket_lines_.back() * kLine;
        if (entries_.capacity() < n_entries) entries_ = {};
        entries_.resize(n_entries);
    }

    void fill(Index first, Index last, int threads) override {
        check_chunks(first, last);
        const auto started = static_cast<std::size_t>(last_bucket_ - first_bucket_);
        parallel_for(last - first, threads, [&](Index task) {
            const Index chunk = first + task;
            std::vector<std::size_t> begins(started);
            for (std::size_t b = 0; b < started; ++b) {
                begins[b] = begin_of(chunk, first_bucket_ + static_cast<Index>(b));
            }
            StreamsOf<Entry> streams(entries_.data(), std::move(begins));
            for_hashes(chunk, first_bucket_, last_bucket_,
                       [&](std::size_t bucket, Entry entry) { streams.put(bucket, entry); });
            streams.finish();
        });
    }

    void count(Index first_bucket, Index last_bucket, Count min_count, int threads,
               CountedNgrams& counted) override {
        require(first_bucket_ <= first_bucket && first_bucket <= last_bucket &&
                    last_bucket <= last_bucket_,
                "a bucket has not been started");
        if (!std::holds_alternative<CountedKeys<Key>>(counted.keys)) {
            counted.keys = CountedKeys<Key>{};
        }
        auto& all = std::get<CountedKeys<Key>>(counted.keys);
        const Index n = last_bucket - first_bucket;
        for (auto& table : spare_tables_) table->forget_taken();
        std::vector<Found> found(static_cast<std::size_t>(n));
        parallel_with(
            n, threads, [&] { return TableLoan(*this); },
            [&](Index b, TableLoan& loan) {
                const std::size_t first = loan.table->taken().size();
                const std::size_t size = count_bucket(first_bucket + b, min_count, *loan.table);
                found[static_cast<std::size_t>(b)] = {loan.table.get(), first, size};
            });
        std::vector<std::size_t> begins{0};
        for (const Found& bucket : found) begins.push_back(begins.back() + bucket.size);
        all.keys.resize(begins.back());
        all.counts.resize(begins.back());
        parallel_for(n, threads, [&](Index b) {
            const Found& bucket = found[static_cast<std::size_t>(b)];
            const Key hash = bucket_hash(first_bucket + b);
            std::size_t at = begins[static_cast<std::size_t>(b)];
            for (const auto& [entry, number] :
                 bucket.table->taken().subspan(bucket.first, bucket.size)) {
                all.keys[at] = hash | static_cast<Key>(entry);
                all.counts[at++] = number;
            }
        });
    }

  private:
    static constexpr std::size_t kLine = StreamsOf<Entry>::kLine;

    // Where the n-grams of a bucket are until they are put together.
    struct Found {
        const BucketTable<Entry>* table;
        std::size_t first, size;
    };

    // A table for one worker, kept for the next call.
    struct TableLoan {
        explicit TableLoan(Buckets& owner) : buckets(&owner) {
            const std::lock_guard<std::mutex> lock(owner.mutex_);
            if (owner.spare_tables_.empty()) {
                table = std::make_unique<BucketTable<Entry>>(owner.entry_bits_);
            } else {
                table = std::move(owner.spare_tables_.back());
                owner.spare_tables_.pop_back();
            }
        }
        TableLoan(TableLoan&&) = default;
        ~TableLoan() {
            if (table == nullptr) return;
            const std::lock_guard<std::mutex> lock(buckets->mutex_);
            buckets->spare_tables_.push_back(std::move(table));
        }
        Buckets* buckets;
        std::unique_ptr<BucketTable<Entry>> table;
    };

    static std::uint32_t lines_of(std::size_t entries) {
        return static_cast<std::uint32_t>((entries + kLine - 1) / kLine);
    }
    std::size_t cell(Index chunk, Index bucket) const {
        return static_cast<std::size_t>(chunk * n_buckets_ + bucket);
    }
    void check_chunks(Index first, Index last) const {
        require(0 <= first && first <= last && last <= n_chunks_, "a range of chunks exceeds them");
    }
    Key bucket_hash(Index bucket) const {
        return entry_bits_ >= int{sizeof(Key)} * 8 ? Key{0}
                                                   : static_cast<Key>(bucket) << entry_bits_;
    }
    // Where the entries of a chunk in a started bucket begin.
    std::size_t begin_of(Index chunk, Index bucket) const {
        const Index started = last_bucket_ - first_bucket_, b = bucket - first_bucket_;
        return (bucket_lines_[static_cast<std::size_t>(b)] +
                chunk_lines_[static_cast<std::size_t>(chunk * started + b)]) *
               kLine;
    }

    void check_tokens(Index chunk) const {
        const Index begin = range_.first + chunk * layout_.chunk;
        const Index end = std::min(begin + layout_.chunk, range_.last) + packing_.n() - 1;
        const auto part = tokens_.subspan(
            static_cast<std::size_t>(begin),
            static_cast<std::size_t>(std::min(end, static_cast<Index>(tokens_.size())) - begin));
        Token largest = 0;
        for (const Token token : part) largest = std::max(largest, token);
        if (static_cast<Index>(largest) < packing_.vocab_size()) return;
        const auto bad = std::find_if(part.begin(), part.end(), [&](Token token) {
            return static_cast<Index>(token) >= packing_.vocab_size();
        });
        throw_token_out_of_range(*bad, begin + (bad - part.begin()), packing_.vocab_size());
    }

    // Calls body(first, last) for the runs of positions of a chunk where an n-gram begins.
    template <class Body>
    void for_segments(Index chunk, Body&& body) const {
        const Index begin = range_.first + chunk * layout_.chunk;
        const Index end = std::min(begin + layout_.chunk, range_.last);
        if (across_) {
            const Index last = documents_.n_tokens() - packing_.n() + 1;
            if (begin < std::min(end, last)) body(begin, std::min(end, last));
            return;
        }
        const auto starts = documents_.starts(), ends = documents_.ends();
        auto d = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), begin) -
                                          ends.begin());
        for (; d < ends.size() && starts[d] < end; ++d) {
            const Index first = std::max(begin, starts[d]);
            const Index last = std::min(end, ends[d] - packing_.n() + 1);
            if (first < last) body(first, last);
        }
    }

    // Calls body(bucket - first_bucket, entry) for the n-grams of a chunk in some buckets.
    template <class Body>
    void for_hashes(Index chunk, Index first_bucket, Index last_bucket, Body&& body) const {
        const auto lowest = static_cast<std::uint32_t>(first_bucket);
        const auto number = static_cast<std::uint32_t>(last_bucket - first_bucket);
        const KeyHash<Key> hash = hash_;
        const int bucket_bits = layout_.bucket_bits;
        std::array<SplitHash<Entry>, kBlock> hashes;
        for_segments(chunk, [&](Index first, Index last) {
            RollingKey<Key> rolling(packing_);
            const Token* next = tokens_.data() + first;
            for (Index j = 1; j < packing_.n(); ++j) rolling.push(*next++);
            const Token* const end = tokens_.data() + last + packing_.n() - 1;
            while (next < end) {
                const Token* const stop = next + std::min<Index>(end - next, kBlock);
                std::size_t found = 0;
                for (; next < stop; ++next) {
                    rolling.push(*next);
                    hashes[found] = hash.template split<Entry>(rolling.key(), bucket_bits);
                    hashes[found].bucket -= lowest;
                    // Without a branch: which hashes are in the buckets cannot be foreseen.
                    found += hashes[found].bucket < number;
                }
                for (std::size_t k = 0; k < found; ++k) body(hashes[k].bucket, hashes[k].entry);
            }
        });
    }

    std::span<const Entry> region(Index chunk, Index bucket) const {
        return std::span<const Entry>(entries_).subspan(begin_of(chunk, bucket),
                                                        measured_[cell(chunk, bucket)]);
    }

    std::size_t size_of_bucket(Index bucket) const {
        std::size_t size = 0;
        for (Index chunk = 0; chunk < n_chunks_; ++chunk) size += measured_[cell(chunk, bucket)];
        return size;
    }

    std::size_t count_bucket(Index bucket, Count min_count, BucketTable<Entry>& table) const {
        table.start(size_of_bucket(bucket));
        for (Index chunk = 0; chunk < n_chunks_; ++chunk) table.add(region(chunk, bucket));
        if (!table.crowded()) return table.take(min_count);
        std::vector<Entry> entries;
        for (Index chunk = 0; chunk < n_chunks_; ++chunk) {
            const auto part = region(chunk, bucket);
            entries.insert(entries.end(), part.begin(), part.end());
        }
        return table.take_sorted(std::move(entries), min_count);
    }

    std::span<const Token> tokens_;
    NgramPacking packing_;
    const Documents& documents_;
    bool across_;
    PositionRange range_;
    BucketLayout layout_;
    KeyHash<Key> hash_;
    int entry_bits_;
    Index n_buckets_;
    Index n_chunks_;
    std::vector<std::uint32_t> measured_;  // entries of a chunk and a bucket
    Index first_bucket_ = 0, last_bucket_ = 0;
    std::vector<std::size_t> bucket_lines_;   // where the entries of a started bucket begin
    std::vector<std::uint32_t> chunk_lines_;  // and from there those of a chunk in it
    BufferOf<Entry> entries_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<BucketTable<Entry>>> spare_tables_;
};

}  // namespace

NgramPacking::NgramPacking(Index vocab_size, Index n)
    : vocab_size_(vocab_size), n_(n), token_bits_(0) {
    require(n >= 1, "n must be at least 1");
    require(vocab_size >= 1 && vocab_size <= Index{1} << 32,
            "vocab_size must lie in 1 .. 4294967296");
    token_bits_ = bit_width(static_cast<std::uint64_t>(vocab_size - 1));
    require(token_bits_ == 0 || n <= kMaxBits / token_bits_,
            "the n-grams do not fit 16 bytes: ceil(log2(vocab_size)) * n must be at most 128");
}

template <class Token>
std::unique_ptr<NgramBuckets> make_ngram_buckets(std::span<const Token> tokens,
                                                 const NgramPacking& packing,
                                                 const Documents& documents, bool across,
                                                 PositionRange range, BucketLayout layout) {
    const auto n_tokens = static_cast<Index>(tokens.size());
    documents.require_length(n_tokens);
    require(0 <= range.first && range.first <= range.last && range.last <= n_tokens,
            "the range of positions exceeds the tokens");
    require(layout.chunk >= 1 && layout.chunk < Index{1} << 31, "chunk must lie in 1 .. 2^31 - 1");
    const int bits = packing.key_bits(), rest = bits - layout.bucket_bits;
    require(layout.bucket_bits >= 0 && layout.bucket_bits <= std::min<Index>(bits, kMaxBucketBits),
            "bucket_bits must lie in 0 .. 20 and not exceed the bits of an n-gram");
    require(rest <= 8 * layout.entry_bytes, "entry_bytes is too small for the n-grams");
    auto make = [&]<class Key, class Entry>() -> std::unique_ptr<NgramBuckets> {
        return std::make_unique<Buckets<Token, Key, Entry>>(tokens, packing, documents, across,
                                                            range, layout);
    };
    using Short = std::uint64_t;
    if (bits > 64 && layout.entry_bytes == 8) return make.template operator()<WideKey, Short>();
    if (bits > 64 && layout.entry_bytes == 16) return make.template operator()<WideKey, WideKey>();
    require(bits <= 64, "n-grams of more than 64 bits need entries of 8 or 16 bytes");
    if (layout.entry_bytes == 4) return make.template operator()<Short, std::uint32_t>();
    require(layout.entry_bytes == 8, "n-grams of up to 64 bits need entries of 4 or 8 bytes");
    return make.template operator()<Short, Short>();
}

template std::unique_ptr<NgramBuckets> make_ngram_buckets(std::span<const std::uint16_t>,
                                                          const NgramPacking&, const Documents&,
                                                          bool, PositionRange, BucketLayout);
template std::unique_ptr<NgramBuckets> make_ngram_buckets(std::span<const std::uint32_t>,
                                                          const NgramPacking&, const Documents&,
                                                          bool, PositionRange, BucketLayout);

}  // namespace ngramstat
