// How GPU kernels are written, so that the same code also runs without a GPU.
//
// A kernel is a body: a small struct of plain values and device pointers with a const call per
// item (`for_each`), or with phases per thread of a block (`for_blocks`: all threads of a block end
// a phase before any begins the next, and share memory). An executor runs bodies and owns the few
// primitives that libraries do better (sorting, scanning, selecting):
//
//   cuda/executor.cuh      launches them on a CUDA device, primitives from CUB
//   gpu/serial.hpp         runs them one after the other on the CPU, for tests
//
// All other GPU code is written once, as templates over the executor: tests on a machine without a
// GPU check the index arithmetic that runs on the GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <utility>

#include "ngramstat/base/error.hpp"
#include "ngramstat/base/types.hpp"

#ifdef __CUDACC__
#define NGRAMSTAT_HD __host__ __device__
#else
#define NGRAMSTAT_HD
#endif

namespace ngramstat::gpu {

// One thread in one phase of a block.
struct BlockThread {
    Index block;
    int thread;
    int threads;
    std::byte* shared;  // of the block, aligned to 16 bytes, not cleared

    template <class T>
    NGRAMSTAT_HD T* shared_as() const {
        return reinterpret_cast<T*>(shared);
    }
};

// Atomic additions. Integers only, as their order is not fixed.
NGRAMSTAT_HD inline void add(std::uint32_t* to, std::uint32_t value) {
#ifdef __CUDA_ARCH__
    atomicAdd(to, value);
#else
    *to += value;
#endif
}

NGRAMSTAT_HD inline void add(std::uint64_t* to, std::uint64_t value) {
#ifdef __CUDA_ARCH__
    atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
#else
    *to += value;
#endif
}

// Returns the value before the addition.
NGRAMSTAT_HD inline std::uint64_t fetch_add(std::uint64_t* to, std::uint64_t value) {
#ifdef __CUDA_ARCH__
    return atomicAdd(reinterpret_cast<unsigned long long*>(to),
                     static_cast<unsigned long long>(value));
#else
    const std::uint64_t before = *to;
    *to += value;
    return before;
#endif
}

// Atomic minimum.
NGRAMSTAT_HD inline void lower_to(std::uint64_t* to, std::uint64_t value) {
#ifdef __CUDA_ARCH__
    atomicMin(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
#else
    if (value < *to) *to = value;
#endif
}

// First of n ascending values that is greater than `value`; n if none is.
template <class T, class V>
NGRAMSTAT_HD Index first_above(const T* values, Index n, V value) {
    Index low = 0, high = n;
    while (low < high) {
        const Index middle = low + (high - low) / 2;
        if (value < static_cast<V>(values[middle])) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

// First of n ascending values that is not below `value`; n if all are.
template <class T, class V>
NGRAMSTAT_HD Index first_not_below(const T* values, Index n, V value) {
    Index low = 0, high = n;
    while (low < high) {
        const Index middle = low + (high - low) / 2;
        if (static_cast<V>(values[middle]) < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// Device memory within a limit.
class Memory {
  public:
    explicit Memory(std::size_t limit) : limit_(limit) {}
    virtual ~Memory() = default;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    std::size_t limit() const { return limit_; }
    std::size_t used() const { return used_; }
    std::size_t peak() const { return peak_; }
    std::size_t available() const { return limit_ - used_; }

    // Held while work is submitted to the device and while memory is allocated or freed: results
    // may be freed on other threads at any time.
    std::recursive_mutex& mutex() const { return mutex_; }

    // Throws DeviceMemoryError where the limit or the device does not allow it.
    void* allocate(std::size_t bytes) {
        const std::lock_guard<std::recursive_mutex> lock(mutex_);
        if (bytes > available()) throw DeviceMemoryError(bytes, available(), limit_);
        void* memory = allocate_device(bytes);
        if (memory == nullptr) throw DeviceMemoryError(bytes, available(), limit_);
        used_ += bytes;
        if (used_ > peak_) peak_ = used_;
        return memory;
    }
    void release(void* memory, std::size_t bytes) noexcept {
        const std::lock_guard<std::recursive_mutex> lock(mutex_);
        free_device(memory);
        used_ -= bytes;
    }

  protected:
    virtual void* allocate_device(std::size_t bytes) = 0;  // null where there is none
    virtual void free_device(void* memory) noexcept = 0;

  private:
    std::size_t limit_;
    std::size_t used_ = 0;
    std::size_t peak_ = 0;
    mutable std::recursive_mutex mutex_;
};

// Device memory of n values, not cleared.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    Buffer(Memory& memory, Index n) : memory_(&memory), size_(n) {
        if (n > 0) data_ = static_cast<T*>(memory.allocate(bytes()));
    }
    ~Buffer() { reset(); }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        reset();
        swap(other);
        return *this;
    }

    T* data() const { return data_; }
    Index size() const { return size_; }
    std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }
    void reset() {
        if (data_ != nullptr) memory_->release(data_, bytes());
        data_ = nullptr;
        size_ = 0;
    }
    void swap(Buffer& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

  private:
    Memory* memory_ = nullptr;
    T* data_ = nullptr;
    Index size_ = 0;
};

// A copy of values in device memory.
template <class Executor, class T>
Buffer<T> to_device(Executor& on, std::span<const T> values) {
    Buffer<T> buffer(on, static_cast<Index>(values.size()));
    on.upload(buffer.data(), values.data(), buffer.size());
    return buffer;
}

// Where each row's entries begin among entries sorted by row; first_row is that of starts[0], and
// `offset` the number of the first entry.
template <class Row, class Start>
struct RowStarts {
    const Row* rows;  // of the entries
    Index n;
    Index first_row, offset;
    Start* starts;

    NGRAMSTAT_HD void operator()(Index row) const {
        starts[row] = static_cast<Start>(
            first_not_below(rows, n, static_cast<std::uint64_t>(first_row + row)) - offset);
    }
};

// Where each run of equal neighbours begins, from the number of runs that begin before each of n
// items; and the end. For n + 1 items.
struct StartsOfRuns {
    const std::uint32_t* begun;
    Index n;
    std::uint32_t* starts;

    NGRAMSTAT_HD void operator()(Index k) const {
        if (k == n || begun[k + 1] != begun[k]) starts[begun[k]] = static_cast<std::uint32_t>(k);
    }
};

// Bits that hold every value below n.
inline int bits_below(std::uint64_t n) {
    int bits = 1;
    while (bits < 64 && (n - 1) >> bits != 0) ++bits;
    return bits;
}

}  // namespace ngramstat::gpu
