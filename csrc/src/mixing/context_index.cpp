#include "ngramstat/mixing/context_index.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "ngramstat/base/parallel.hpp"
#include "ngramstat/base/prefetch.hpp"
#include "ngramstat/base/simd.hpp"

namespace ngramstat {

namespace {

// Targets sorted by the hashes of their contexts, stably: first into parts by the highest bits, so
// that one part fits the cache, then each part into buckets, then each bucket.
class TargetSort {
  public:
    TargetSort(std::vector<std::uint64_t> hashes, std::vector<std::uint32_t> targets,
               int bucket_bits)
        : hashes_(std::move(hashes)),
          targets_(std::move(targets)),
          part_bits_(std::min(bucket_bits, 10)),
          bucket_bits_(bucket_bits) {
        split_into_parts();
    }

    std::size_t n_parts() const { return part_begins_.size() - 1; }
    std::size_t part_begin(std::size_t part) const { return part_begins_[part]; }
    std::uint64_t hash(std::size_t k) const { return hashes_[k]; }
    std::uint32_t target(std::size_t k) const { return targets_[k]; }

    // Memory of one thread.
    struct Scratch {
        std::vector<std::uint64_t> hashes;
        std::vector<std::uint32_t> targets, begins;
    };

    // Sorts one part; returns its number of different hashes.
    std::size_t sort_part(std::size_t part, Scratch& scratch) {
        const std::size_t first = part_begins_[part], last = part_begins_[part + 1];
        const std::size_t n_buckets = std::size_t{1} << (bucket_bits_ - part_bits_);
        const auto bucket = [&](std::uint64_t hash) {
            return bucket_bits_ == 0 ? 0 : hash >> (64 - bucket_bits_) & (n_buckets - 1);
        };
        scratch.begins.assign(n_buckets + 1, 0);
        for (std::size_t k = first; k < last; ++k) ++scratch.begins[bucket(hashes_[k]) + 1];
        for (std::size_t b = 0; b < n_buckets; ++b) scratch.begins[b + 1] += scratch.begins[b];
        scratch.hashes.assign(hashes_.begin() + static_cast<std::ptrdiff_t>(first),
                              hashes_.begin() + static_cast<std::ptrdiff_t>(last));
        scratch.targets.assign(targets_.begin() + static_cast<std::ptrdiff_t>(first),
                               targets_.begin() + static_cast<std::ptrdiff_t>(last));
        for (std::size_t k = 0; k < last - first; ++k) {
            const std::size_t to = first + scratch.begins[bucket(scratch.hashes[k])]++;
            hashes_[to] = scratch.hashes[k];
            targets_[to] = scratch.targets[k];
        }
        std::size_t begin = first;
        for (std::size_t b = 0; b < n_buckets; ++b) {
            sort_bucket(begin, first + scratch.begins[b]);
            begin = first + scratch.begins[b];
        }
        std::size_t different = 0;
        for (std::size_t k = first; k < last; ++k) {
            different += k == first || hashes_[k] != hashes_[k - 1];
        }
        return different;
    }

  private:
    void split_into_parts() {
        const auto part = [&](std::uint64_t hash) {
            return part_bits_ == 0 ? 0 : hash >> (64 - part_bits_);
        };
        part_begins_.assign((std::size_t{1} << part_bits_) + 1, 0);
        for (const std::uint64_t hash : hashes_) ++part_begins_[part(hash) + 1];
        for (std::size_t p = 0; p + 1 < part_begins_.size(); ++p) {
            part_begins_[p + 1] += part_begins_[p];
        }
        std::vector<std::size_t> next(part_begins_.begin(), part_begins_.end() - 1);
        std::vector<std::uint64_t> hashes(hashes_.size());
        std::vector<std::uint32_t> targets(targets_.size());
        for (std::size_t k = 0; k < hashes_.size(); ++k) {
            const std::size_t to = next[part(hashes_[k])]++;
            hashes[to] = hashes_[k];
            targets[to] = targets_[k];
        }
        hashes_.swap(hashes);
        targets_.swap(targets);
    }

    // Most buckets hold a few contexts with a target each, some a context with many.
    void sort_bucket(std::size_t first, std::size_t last) {
        constexpr std::size_t kSmall = 32;
        if (last - first > kSmall) return sort_large_bucket(first, last);
        for (std::size_t k = first + 1; k < last; ++k) {
            const std::uint64_t hash = hashes_[k];
            const std::uint32_t target = targets_[k];
            std::size_t to = k;
            for (; to > first && hashes_[to - 1] > hash; --to) {
                hashes_[to] = hashes_[to - 1];
                targets_[to] = targets_[to - 1];
            }
            hashes_[to] = hash;
            targets_[to] = target;
        }
    }
    void sort_large_bucket(std::size_t first, std::size_t last) {
        if (std::all_of(hashes_.begin() + static_cast<std::ptrdiff_t>(first),
                        hashes_.begin() + static_cast<std::ptrdiff_t>(last),
                        [&](std::uint64_t hash) { return hash == hashes_[first]; })) {
            return;
        }
        std::vector<std::pair<std::uint64_t, std::uint32_t>> pairs;
        pairs.reserve(last - first);
        for (std::size_t k = first; k < last; ++k) pairs.emplace_back(hashes_[k], targets_[k]);
        std::sort(pairs.begin(), pairs.end());
        for (std::size_t k = first; k < last; ++k) {
            std::tie(hashes_[k], targets_[k]) = pairs[k - first];
        }
    }

    std::vector<std::uint64_t> hashes_;
    std::vector<std::uint32_t> targets_;
    int part_bits_, bucket_bits_;
    std::vector<std::size_t> part_begins_;
};

#if defined(__GNUC__) || defined(__clang__)
// A vector with the elements of v in the order given.
#ifdef __clang__
#define NGRAMSTAT_REORDER(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)
#else
#define NGRAMSTAT_REORDER(v, ...) __builtin_shuffle(v, Vector{__VA_ARGS__})
#endif

// As many values as a vector of 32 bytes holds.
//   kBits       bit k in value k
//   combine()   the values combined by a bitwise or
template <class Rest>
struct WindowOf;
template <>
struct WindowOf<std::uint32_t> {
    using Vector = std::uint32_t __attribute__((vector_size(32)));
    NGRAMSTAT_UNALIGNED_VECTOR(Unaligned, std::uint32_t, 32);
    static constexpr Vector kBits{1, 2, 4, 8, 16, 32, 64, 128};

    static std::uint32_t combine(const Vector& bits) {
        Vector v = bits;
        v |= NGRAMSTAT_REORDER(v, 4, 5, 6, 7, 0, 1, 2, 3);
        v |= NGRAMSTAT_REORDER(v, 2, 3, 0, 1, 6, 7, 4, 5);
        v |= NGRAMSTAT_REORDER(v, 1, 0, 3, 2, 5, 4, 7, 6);
        return v[0];
    }
};
template <>
struct WindowOf<std::uint64_t> {
    using Vector = std::uint64_t __attribute__((vector_size(32)));
    NGRAMSTAT_UNALIGNED_VECTOR(Unaligned, std::uint64_t, 32);
    static constexpr Vector kBits{1, 2, 4, 8};

    static std::uint32_t combine(const Vector& bits) {
        Vector v = bits;
        v |= NGRAMSTAT_REORDER(v, 2, 3, 0, 1);
        v |= NGRAMSTAT_REORDER(v, 1, 0, 3, 2);
        return static_cast<std::uint32_t>(v[0]);
    }
};
#undef NGRAMSTAT_REORDER
#endif

}  // namespace

// In groups, so that the loads of many lookups overlap: the places of all buckets of a group are
// asked for, then all their contexts, and then compared.
template <class Rest>
struct ContextIndex::FindLoop {
    static constexpr std::size_t kGroup = 128;
    // Contexts of a bucket that are compared at once, whatever their number.
    static constexpr std::uint32_t kWindow = kWindowBytes / sizeof(Rest);

    static const Rest* rests(const ContextIndex& index) {
        if constexpr (sizeof(Rest) == 8) return index.wide_rests_.data();
        if constexpr (sizeof(Rest) == 4) return index.rests_.data();
    }

    // Bit k: the value is the k-th of a window.
    static std::uint32_t matches(const Rest* window, Rest value) {
#if defined(__GNUC__) || defined(__clang__)
        using Window = WindowOf<Rest>;
        using Vector = typename Window::Vector;
        const Vector values = *reinterpret_cast<const typename Window::Unaligned*>(window);
        return Window::combine(reinterpret_cast<Vector>(values == value) & Window::kBits);
#else
        std::uint32_t bits = 0;
        for (std::uint32_t k = 0; k < kWindow; ++k) bits |= std::uint32_t{window[k] == value} << k;
        return bits;
#endif
    }

    // Without a branch: it could not be predicted.
    static std::uint32_t context_or_absent(std::uint32_t context, bool is_there) {
        return context | (std::uint32_t{is_there} - 1);
    }

    // The number of a value among n, or n or more.
    static std::uint32_t place_of(const Rest* values, std::uint32_t n, Rest value) {
        const std::uint32_t found = matches(values, value);
        std::uint32_t place = static_cast<std::uint32_t>(std::countr_zero(found | 1u << kWindow));
        if (n > kWindow && place == kWindow) {  // rare
            while (place < n && values[place] != value) ++place;
        }
        return place;
    }

    template <int>
    static void run(const FindArguments& arguments) {
        const ContextIndex& index = arguments.index;
        const Rest* rests_of_index = rests(index);
        const std::uint32_t* begins = index.begins_.data();
        std::array<Rest, kGroup> sought;
        std::array<std::uint32_t, kGroup> first, last;
        for (std::size_t start = 0; start < arguments.places.size(); start += kGroup) {
            const std::size_t n = std::min(kGroup, arguments.places.size() - start);
            for (std::size_t k = 0; k < n; ++k) {
                const std::uint64_t hash = arguments.hashes[arguments.places[start + k]];
                sought[k] = index.rest_of<Rest>(hash);
                first[k] = static_cast<std::uint32_t>(index.bucket_of(hash));
                prefetch(begins + first[k]);
            }
            if (index.direct_) {
                for (std::size_t k = 0; k < n; ++k) {
                    const std::uint32_t context = begins[first[k]];
                    arguments.contexts[start + k] =
                        context_or_absent(context, begins[first[k] + 1] > context);
                }
                continue;
            }
            for (std::size_t k = 0; k < n; ++k) {
                last[k] = begins[first[k] + 1];
                first[k] = begins[first[k]];
                prefetch(rests_of_index + first[k]);
            }
            for (std::size_t k = 0; k < n; ++k) {
                const std::uint32_t size = last[k] - first[k];
                const std::uint32_t place = place_of(rests_of_index + first[k], size, sought[k]);
                arguments.contexts[start + k] = context_or_absent(first[k] + place, place < size);
            }
        }
    }
};

ContextIndex::ContextIndex(std::vector<std::uint64_t> hashes, std::vector<std::uint32_t> targets,
                           int hash_bits, int threads) {
    const int log_size = bit_width(hashes.size());
    // With few bits each context has a bucket of its own.
    direct_ = hash_bits <= std::max(log_size, 16);
    bucket_bits_ = direct_ ? hash_bits : std::clamp(log_size - 2, 0, 30);
    wide_ = hash_bits - bucket_bits_ > 32;
    find_ = wide_ ? built_for_level<FindLoop<std::uint64_t>>(SimdLevel::avx2)
                  : built_for_level<FindLoop<std::uint32_t>>(SimdLevel::avx2);
    const std::size_t n_targets = hashes.size();
    TargetSort sort(std::move(hashes), std::move(targets), bucket_bits_);
    const std::size_t n_parts = sort.n_parts();
    std::vector<std::size_t> first_context(n_parts + 1, 0);
    parallel_with(
        static_cast<Index>(n_parts), threads, [] { return TargetSort::Scratch(); },
        [&](Index part, TargetSort::Scratch& scratch) {
            const std::size_t p = static_cast<std::size_t>(part);
            first_context[p + 1] = sort.sort_part(p, scratch);
        });
    for (std::size_t p = 0; p < n_parts; ++p) first_context[p + 1] += first_context[p];
    size_ = first_context.back();
    begins_.resize((std::size_t{1} << bucket_bits_) + 1);
    (wide_ ? wide_rests_.resize(size_ + kWindowBytes) : rests_.resize(size_ + kWindowBytes));
    targets_.resize(n_targets);
    target_begins_.resize(size_ + 1);
    begins_.back() = static_cast<std::uint32_t>(size_);
    target_begins_.back() = static_cast<Index>(n_targets);
    parallel_for(static_cast<Index>(n_parts), threads, [&](Index part) {
        const std::size_t p = static_cast<std::size_t>(part);
        std::size_t context = first_context[p];
        std::size_t bucket = p << (bucket_bits_ - std::min(bucket_bits_, 10));
        const std::size_t last_bucket = (p + 1) << (bucket_bits_ - std::min(bucket_bits_, 10));
        for (std::size_t k = sort.part_begin(p); k < sort.part_begin(p + 1); ++k) {
            targets_[k] = static_cast<Index>(sort.target(k));
            const std::uint64_t hash = sort.hash(k);
            if (k > sort.part_begin(p) && hash == sort.hash(k - 1)) continue;
            while (bucket <= bucket_of(hash)) {
                begins_[bucket++] = static_cast<std::uint32_t>(context);
            }
            target_begins_[context] = static_cast<Index>(k);
            if (wide_) wide_rests_[context] = rest_of<std::uint64_t>(hash);
            if (!wide_) rests_[context] = rest_of<std::uint32_t>(hash);
            ++context;
        }
        while (bucket < last_bucket) begins_[bucket++] = static_cast<std::uint32_t>(context);
    });
}

std::uint64_t ContextIndex::hash(std::size_t context) const {
    const auto after =
        std::upper_bound(begins_.begin(), begins_.end(), context,
                         [](std::size_t c, std::uint32_t begin) { return c < begin; });
    return hash_in(static_cast<std::uint64_t>(after - begins_.begin()) - 1, context);
}

std::vector<std::uint64_t> ContextIndex::hashes() const {
    std::vector<std::uint64_t> hashes;
    hashes.reserve(size_);
    for (std::size_t bucket = 0; bucket + 1 < begins_.size(); ++bucket) {
        for (std::size_t context = begins_[bucket]; context < begins_[bucket + 1]; ++context) {
            hashes.push_back(hash_in(bucket, context));
        }
    }
    return hashes;
}

std::uint64_t ContextIndex::hash_in(std::uint64_t bucket, std::size_t context) const {
    const std::uint64_t rest = wide_ ? wide_rests_[context] : std::uint64_t{rests_[context]} << 32;
    return bucket_bits_ == 0 ? rest : bucket << (64 - bucket_bits_) | rest >> bucket_bits_;
}

void ContextIndex::find(const std::uint64_t* hashes, std::span<const std::uint32_t> places,
                        std::uint32_t* contexts) const {
    if (size_ == 0) {
        std::fill_n(contexts, places.size(), kAbsent);
        return;
    }
    find_({*this, hashes, places, contexts});
}

}  // namespace ngramstat
