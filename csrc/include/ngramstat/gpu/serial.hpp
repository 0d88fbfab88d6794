// Runs GPU kernels on the CPU, one thread after the other: an emulated device for tests, with as
// little memory as a test needs.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "ngramstat/gpu/executor.hpp"

namespace ngramstat::gpu {

class SerialExecutor : public Memory {
  public:
    // `shared_bytes`: memory that the threads of a block may share.
    SerialExecutor(std::size_t limit, std::size_t shared_bytes)
        : Memory(limit), shared_bytes_(shared_bytes) {}

    std::size_t max_shared_bytes() const { return shared_bytes_; }
    int multiprocessors() const { return 2; }
    std::unique_lock<std::recursive_mutex> activate() const {
        return std::unique_lock<std::recursive_mutex>(mutex());
    }
    void synchronize() const {}
    void wait_for_others() const {}

    template <class T>
    void upload(T* to, const T* from, Index n) const {
        if (n > 0) std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    }
    template <class T>
    void download(T* to, const T* from, Index n) const {
        if (n > 0) std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    }
    template <class T>
    void copy(T* to, const T* from, Index n) const {
        if (n > 0) std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    }
    template <class T>
    void clear(T* at, Index n) const {
        if (n > 0) std::memset(at, 0, static_cast<std::size_t>(n) * sizeof(T));
    }

    // An asynchronous copy into one of two slots: work submitted after wait_for_copy sees it
    // completed, and the next copy into the slot waits for the work submitted before release_slot.
    // The emulation copies as late as it may, when it is waited for, and refuses to overwrite a
    // slot before its release: code that relies on anything earlier fails its tests.
    template <class T>
    void copy_ahead(T* to, const T* from, Index n, int slot) {
        Copy& copy = copies_[static_cast<std::size_t>(slot)];
        require(!copy.in_use, "a slot is filled while it is in use");
        const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
        if (bytes > 0) std::memset(to, 0xa5, bytes);
        copy = {to, from, bytes, true};
    }
    void wait_for_copy(int slot) {
        Copy& copy = copies_[static_cast<std::size_t>(slot)];
        if (copy.bytes > 0) std::memcpy(copy.to, copy.from, copy.bytes);
        copy.bytes = 0;
    }
    void release_slot(int slot) { copies_[static_cast<std::size_t>(slot)].in_use = false; }
    // Discards the contents of the slots.
    void drop_copies() { copies_ = {}; }

    template <class Body>
    void for_each(Index n, const Body& body) const {
        for (Index i = 0; i < n; ++i) body(i);
    }

    template <class Body>
    void for_blocks(Index blocks, int threads, std::size_t shared_bytes, const Body& body) const {
        require(shared_bytes <= shared_bytes_, "a block asks for more memory than it can share");
        // Shared memory is not cleared between blocks on a GPU either.
        std::vector<std::max_align_t> shared(shared_bytes / sizeof(std::max_align_t) + 1);
        std::memset(shared.data(), 0xa5, shared.size() * sizeof(std::max_align_t));
        for (Index block = 0; block < blocks; ++block) {
            run_phases(body,
                       BlockThread{block, 0, threads, reinterpret_cast<std::byte*>(shared.data())},
                       std::make_integer_sequence<int, Body::kPhases>());
        }
    }

    // Sorts by the lowest `bits` of the keys, equal ones in order. The buffers with the suffix
    // `other` are scratch; the sorted values are in the first ones at the end.
    template <class Key, class Value>
    void sort_pairs(Buffer<Key>& keys, Buffer<Key>&, Buffer<Value>& values, Buffer<Value>&, Index n,
                    int bits) const {
        const Key mask = mask_of<Key>(bits);
        std::vector<std::pair<Key, Value>> pairs;
        for (Index i = 0; i < n; ++i) pairs.emplace_back(keys.data()[i], values.data()[i]);
        std::stable_sort(pairs.begin(), pairs.end(), [mask](const auto& a, const auto& b) {
            return (a.first & mask) < (b.first & mask);
        });
        for (Index i = 0; i < n; ++i) {
            keys.data()[i] = pairs[static_cast<std::size_t>(i)].first;
            values.data()[i] = pairs[static_cast<std::size_t>(i)].second;
        }
    }
    template <class Key>
    void sort_keys(Buffer<Key>& keys, Buffer<Key>&, Index n, int bits) const {
        const Key mask = mask_of<Key>(bits);
        std::stable_sort(keys.data(), keys.data() + n,
                         [mask](Key a, Key b) { return (a & mask) < (b & mask); });
    }
    // In place: each value becomes the sum of those before it, or with itself.
    template <class T>
    void exclusive_sum(T* values, Index n) const {
        std::exclusive_scan(values, values + n, values, T{0});
    }
    template <class T>
    void inclusive_sum(T* values, Index n) const {
        std::inclusive_scan(values, values + n, values);
    }
    // Runs of equal keys: the key and the length of each. Returns their number.
    Index run_lengths(const std::uint64_t* keys, Index n, std::uint64_t* unique,
                      std::uint32_t* lengths) const {
        Index runs = 0;
        for (Index i = 0; i < n; ++i) {
            if (i == 0 || keys[i] != keys[i - 1]) {
                unique[runs] = keys[i];
                lengths[runs++] = 0;
            }
            ++lengths[runs - 1];
        }
        return runs;
    }
    // Sums of the values of equal neighbours. Returns their number.
    Index sum_by_key(const std::uint64_t* keys, const std::uint64_t* values, Index n,
                     std::uint64_t* unique, std::uint64_t* sums) const {
        Index runs = 0;
        for (Index i = 0; i < n; ++i) {
            if (i == 0 || keys[i] != keys[i - 1]) {
                unique[runs] = keys[i];
                sums[runs++] = 0;
            }
            sums[runs - 1] += values[i];
        }
        return runs;
    }
    // Numbers of [first, first + n) for which `is_selected` is true, ascending. Returns how many.
    template <class Predicate>
    Index select(std::uint32_t first, Index n, const Predicate& is_selected,
                 std::uint32_t* out) const {
        Index n_selected = 0;
        for (Index i = 0; i < n; ++i) {
            const std::uint32_t number = first + static_cast<std::uint32_t>(i);
            if (is_selected(number)) out[n_selected++] = number;
        }
        return n_selected;
    }

  protected:
    void* allocate_device(std::size_t bytes) override {
        void* memory = std::malloc(bytes);
        // Device memory is not cleared: code that relies on zeros must fail here, too.
        if (memory != nullptr) std::memset(memory, 0xa5, bytes);
        return memory;
    }
    void free_device(void* memory) noexcept override { std::free(memory); }

  private:
    template <class Key>
    static Key mask_of(int bits) {
        return bits >= std::numeric_limits<Key>::digits ? static_cast<Key>(~Key{0})
                                                        : static_cast<Key>((Key{1} << bits) - 1);
    }
    template <class Body, int... kPhase>
    static void run_phases(const Body& body, BlockThread at,
                           std::integer_sequence<int, kPhase...>) {
        (run_phase<kPhase>(body, at), ...);
    }
    template <int kPhase, class Body>
    static void run_phase(const Body& body, BlockThread at) {
        for (at.thread = 0; at.thread < at.threads; ++at.thread) body.template phase<kPhase>(at);
    }

    struct Copy {
        void* to = nullptr;
        const void* from = nullptr;
        std::size_t bytes = 0;
        bool in_use = false;
    };

    std::size_t shared_bytes_;
    std::array<Copy, 2> copies_;
};

}  // namespace ngramstat::gpu
