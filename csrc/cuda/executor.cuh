// Runs GPU kernels on a CUDA device. See gpu/executor.hpp for what an executor is.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_run_length_encode.cuh>
#include <cub/device/device_scan.cuh>
#include <cub/device/device_select.cuh>
#include <utility>
#include <vector>

#include "check.cuh"
#include "current_device.cuh"
#include "ngramstat/gpu/executor.hpp"
// thrust's, as CUB's own iterators are gone from CUDA 13.
#include <thrust/iterator/counting_iterator.h>

namespace ngramstat::gpu {

namespace kernels {

struct Plus {
    NGRAMSTAT_HD std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const { return a + b; }
};

template <class Body>
__global__ void __launch_bounds__(256) each(Body body, Index n) {
    const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
    for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
        body(i);
    }
}

template <int kPhase, class Body>
__device__ void run_phase(const Body& body, const BlockThread& at) {
    body.template phase<kPhase>(at);
    __syncthreads();
}

template <class Body, int... kPhase>
__device__ void run_phases(const Body& body, const BlockThread& at,
                           std::integer_sequence<int, kPhase...>) {
    (run_phase<kPhase>(body, at), ...);
}

template <class Body>
__global__ void __launch_bounds__(1024) blocks(Body body, Index n) {
    extern __shared__ __align__(16) std::byte shared[];
    for (Index block = blockIdx.x; block < n; block += gridDim.x) {
        run_phases(
            body,
            BlockThread{block, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x), shared},
            std::make_integer_sequence<int, Body::kPhases>());
    }
}

}  // namespace kernels

// All work is submitted to one CUDA stream in order; only copies ahead have a stream of their own.
// Host memory that is not pinned passes through pinned memory a piece at a time.
class CudaExecutor : public Memory {
  public:
    CudaExecutor(int device, std::size_t limit) : Memory(limit), device_(device) {
        const Active active(*this);
        NGRAMSTAT_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
        NGRAMSTAT_CUDA_CHECK(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking));
        for (auto* events : {&copied_, &released_, &staged_}) {
            for (auto& event : *events) {
                NGRAMSTAT_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
            }
        }
        for (auto& piece : staging_) NGRAMSTAT_CUDA_CHECK(cudaMallocHost(&piece, kStagingBytes));
        int shared = 0;
        NGRAMSTAT_CUDA_CHECK(
            cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
        shared_bytes_ = static_cast<std::size_t>(shared);
        NGRAMSTAT_CUDA_CHECK(
            cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device));
        // A pool of our own keeps freed memory, so that allocations cost little.
        cudaMemPoolProps properties{};
        properties.allocType = cudaMemAllocationTypePinned;
        properties.location.type = cudaMemLocationTypeDevice;
        properties.location.id = device;
        NGRAMSTAT_CUDA_CHECK(cudaMemPoolCreate(&pool_, &properties));
        std::uint64_t keep = ~std::uint64_t{0};
        NGRAMSTAT_CUDA_CHECK(
            cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep));
    }
    ~CudaExecutor() override {
        const cuda::CurrentDevice current(device_, std::nothrow);
        (void)cudaStreamSynchronize(copies_);
        (void)cudaStreamSynchronize(stream_);
        (void)cudaMemPoolDestroy(pool_);
        for (auto* piece : staging_) (void)cudaFreeHost(piece);
        for (auto* events : {&copied_, &released_, &staged_}) {
            for (auto& event : *events) (void)cudaEventDestroy(event);
        }
        (void)cudaStreamDestroy(copies_);
        (void)cudaStreamDestroy(stream_);
    }

    // The device's lock, and the device as the current one while it is held.
    class Active {
      public:
        explicit Active(const CudaExecutor& on) : lock_(on.mutex()), current_(on.device_) {}

      private:
        std::unique_lock<std::recursive_mutex> lock_;
        cuda::CurrentDevice current_;
    };

    std::size_t max_shared_bytes() const { return shared_bytes_; }
    int multiprocessors() const { return multiprocessors_; }
    Active activate() const { return Active(*this); }
    // Waits for all work on the device, including that of other libraries.
    void wait_for_others() const { NGRAMSTAT_CUDA_CHECK(cudaDeviceSynchronize()); }
    void synchronize() const { NGRAMSTAT_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

    template <class T>
    void upload(T* to, const T* from, Index n) const {
        copy_staged(to, from, static_cast<std::size_t>(n) * sizeof(T), stream_);
    }
    template <class T>
    void download(T* to, const T* from, Index n) const {
        if (n == 0) return;
        const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
        if (bytes < kStagingBytes / 8) {
            NGRAMSTAT_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
            return synchronize();
        }
        // One piece arrives while the one before is copied to its destination.
        auto* host = reinterpret_cast<std::byte*>(to);
        const auto* device = reinterpret_cast<const std::byte*>(from);
        std::array<std::size_t, 2> begin{}, size{};
        // Copies of the other stream may still be reading the pieces.
        for (const auto& event : staged_) NGRAMSTAT_CUDA_CHECK(cudaEventSynchronize(event));
        for (std::size_t at = 0, turn = 0; at < bytes || turn < 2 || size[turn % 2] > 0;) {
            const std::size_t slot = turn++ % 2;
            if (size[slot] > 0) {
                NGRAMSTAT_CUDA_CHECK(cudaEventSynchronize(staged_[slot]));
                std::memcpy(host + begin[slot], staging_[slot], size[slot]);
                size[slot] = 0;
            }
            if (at < bytes) {
                begin[slot] = at;
                size[slot] = std::min(kStagingBytes, bytes - at);
                NGRAMSTAT_CUDA_CHECK(cudaMemcpyAsync(staging_[slot], device + at, size[slot],
                                                     cudaMemcpyDeviceToHost, stream_));
                NGRAMSTAT_CUDA_CHECK(cudaEventRecord(staged_[slot], stream_));
                at += size[slot];
            }
        }
    }
    template <class T>
    void copy(T* to, const T* from, Index n) const {
        if (n == 0) return;
        NGRAMSTAT_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(n) * sizeof(T),
                                             cudaMemcpyDeviceToDevice, stream_));
    }
    template <class T>
    void clear(T* at, Index n) const {
        if (n == 0) return;
        NGRAMSTAT_CUDA_CHECK(
            cudaMemsetAsync(at, 0, static_cast<std::size_t>(n) * sizeof(T), stream_));
    }

    template <class T>
    void copy_ahead(T* to, const T* from, Index n, int slot) const {
        const auto at = static_cast<std::size_t>(slot);
        NGRAMSTAT_CUDA_CHECK(cudaStreamWaitEvent(copies_, released_[at], 0));
        copy_staged(to, from, static_cast<std::size_t>(n) * sizeof(T), copies_);
        NGRAMSTAT_CUDA_CHECK(cudaEventRecord(copied_[at], copies_));
    }
    void wait_for_copy(int slot) const {
        NGRAMSTAT_CUDA_CHECK(
            cudaStreamWaitEvent(stream_, copied_[static_cast<std::size_t>(slot)], 0));
    }
    void release_slot(int slot) const {
        NGRAMSTAT_CUDA_CHECK(cudaEventRecord(released_[static_cast<std::size_t>(slot)], stream_));
    }
    void drop_copies() const {
        NGRAMSTAT_CUDA_CHECK(cudaStreamSynchronize(copies_));
        synchronize();
    }

    template <class Body>
    void for_each(Index n, const Body& body) const {
        if (n == 0) return;
        constexpr int kThreads = 256;
        const Index blocks = (n + kThreads - 1) / kThreads;
        const Index max_blocks = static_cast<Index>(multiprocessors_) * 64;
        kernels::
            each<<<static_cast<unsigned>(std::min(blocks, max_blocks)), kThreads, 0, stream_>>>(
                body, n);
        NGRAMSTAT_CUDA_CHECK(cudaGetLastError());
    }

    template <class Body>
    void for_blocks(Index blocks, int threads, std::size_t shared_bytes, const Body& body) const {
        if (blocks == 0) return;
        if (shared_bytes > kSharedByDefault) {
            NGRAMSTAT_CUDA_CHECK(cudaFuncSetAttribute(kernels::blocks<Body>,
                                                      cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                      static_cast<int>(shared_bytes)));
        }
        constexpr Index kMaxBlocks = 0x7fffffff;
        kernels::blocks<<<static_cast<unsigned>(std::min(blocks, kMaxBlocks)),
                          static_cast<unsigned>(threads), shared_bytes, stream_>>>(body, blocks);
        NGRAMSTAT_CUDA_CHECK(cudaGetLastError());
    }

    template <class Key, class Value>
    void sort_pairs(Buffer<Key>& keys, Buffer<Key>& other_keys, Buffer<Value>& values,
                    Buffer<Value>& other_values, Index n, int bits) {
        if (n == 0) return;
        cub::DoubleBuffer<Key> k(keys.data(), other_keys.data());
        cub::DoubleBuffer<Value> v(values.data(), other_values.data());
        with_scratch([&](void* scratch, std::size_t& bytes) {
            return cub::DeviceRadixSort::SortPairs(scratch, bytes, k, v, n, 0, bits, stream_);
        });
        if (k.selector != 0) keys.swap(other_keys);
        if (v.selector != 0) values.swap(other_values);
    }
    template <class Key>
    void sort_keys(Buffer<Key>& keys, Buffer<Key>& other, Index n, int bits) {
        if (n == 0) return;
        cub::DoubleBuffer<Key> k(keys.data(), other.data());
        with_scratch([&](void* scratch, std::size_t& bytes) {
            return cub::DeviceRadixSort::SortKeys(scratch, bytes, k, n, 0, bits, stream_);
        });
        if (k.selector != 0) keys.swap(other);
    }
    template <class T>
    void exclusive_sum(T* values, Index n) {
        if (n == 0) return;
        check_items(n);
        with_scratch([&](void* scratch, std::size_t& bytes) {
            return cub::DeviceScan::ExclusiveSum(scratch, bytes, values, values, n, stream_);
        });
    }
    template <class T>
    void inclusive_sum(T* values, Index n) {
        if (n == 0) return;
        check_items(n);
        with_scratch([&](void* scratch, std::size_t& bytes) {
            return cub::DeviceScan::InclusiveSum(scratch, bytes, values, values, n, stream_);
        });
    }
    Index run_lengths(const std::uint64_t* keys, Index n, std::uint64_t* unique,
                      std::uint32_t* lengths) {
        return numbered(n, [&](void* scratch, std::size_t& bytes, std::uint64_t* n_selected) {
            return cub::DeviceRunLengthEncode::Encode(scratch, bytes, keys, unique, lengths,
                                                      n_selected, n, stream_);
        });
    }
    Index sum_by_key(const std::uint64_t* keys, const std::uint64_t* values, Index n,
                     std::uint64_t* unique, std::uint64_t* sums) {
        check_items(n);
        return numbered(n, [&](void* scratch, std::size_t& bytes, std::uint64_t* n_selected) {
            return cub::DeviceReduce::ReduceByKey(scratch, bytes, keys, unique, values, sums,
                                                  n_selected, kernels::Plus{}, n, stream_);
        });
    }
    template <class Predicate>
    Index select(std::uint32_t first, Index n, const Predicate& is_selected, std::uint32_t* out) {
        return numbered(n, [&](void* scratch, std::size_t& bytes, std::uint64_t* n_selected) {
            return cub::DeviceSelect::If(scratch, bytes,
                                         thrust::counting_iterator<std::uint32_t>(first), out,
                                         n_selected, n, is_selected, stream_);
        });
    }

  protected:
    void* allocate_device(std::size_t bytes) override {
        void* memory = nullptr;
        const cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, pool_, stream_);
        if (status == cudaErrorMemoryAllocation) {
            (void)cudaGetLastError();
            return nullptr;
        }
        NGRAMSTAT_CUDA_CHECK(status);
        return memory;
    }
    void free_device(void* memory) noexcept override {
        const cuda::CurrentDevice current(device_, std::nothrow);
        (void)cudaFreeAsync(memory, stream_);
    }

  private:
    static constexpr std::size_t kStagingBytes = std::size_t{32} << 20;
    static constexpr std::size_t kSharedByDefault = 48 << 10;

    // Older CUBs count the items of a scan in 32 bits.
    static void check_items([[maybe_unused]] Index n) {
#if CUDART_VERSION < 12060
        if (n > 0x7fffffff) throw DeviceError("more than 2^31 items for the CUB of this CUDA");
#endif
    }

    // Calls one of CUB's functions for the size of its scratch, then with it.
    template <class Call>
    void with_scratch(Call&& call) {
        std::size_t bytes = 0;
        NGRAMSTAT_CUDA_CHECK(call(nullptr, bytes));
        const Buffer<std::byte> scratch(*this, static_cast<Index>(std::max<std::size_t>(bytes, 1)));
        NGRAMSTAT_CUDA_CHECK(call(scratch.data(), bytes));
    }
    template <class Call>
    Index numbered(Index n, Call&& call) {
        if (n == 0) return 0;
        const Buffer<std::uint64_t> n_selected(*this, 1);
        with_scratch([&](void* scratch, std::size_t& bytes) {
            return call(scratch, bytes, n_selected.data());
        });
        std::uint64_t number = 0;
        download(&number, n_selected.data(), 1);
        return static_cast<Index>(number);
    }

    // From host memory. Returns when `from` may change.
    void copy_staged(void* to, const void* from, std::size_t bytes, cudaStream_t stream) const {
        auto* device = static_cast<std::byte*>(to);
        const auto* host = static_cast<const std::byte*>(from);
        for (std::size_t at = 0, turn = 0; at < bytes; ++turn) {
            const std::size_t slot = turn % 2, size = std::min(kStagingBytes, bytes - at);
            // The last copy from this piece, on either stream, must be done.
            NGRAMSTAT_CUDA_CHECK(cudaEventSynchronize(staged_[slot]));
            std::memcpy(staging_[slot], host + at, size);
            NGRAMSTAT_CUDA_CHECK(
                cudaMemcpyAsync(device + at, staging_[slot], size, cudaMemcpyHostToDevice, stream));
            NGRAMSTAT_CUDA_CHECK(cudaEventRecord(staged_[slot], stream));
            at += size;
        }
    }

    int device_;
    cudaStream_t stream_ = nullptr, copies_ = nullptr;
    std::array<cudaEvent_t, 2> copied_{}, released_{}, staged_{};
    std::array<void*, 2> staging_{};
    std::size_t shared_bytes_ = 0;
    int multiprocessors_ = 1;
    cudaMemPool_t pool_ = nullptr;
};

}  // namespace ngramstat::gpu
