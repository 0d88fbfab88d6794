// The CUDA device of the calling thread.
#pragma once

#include <cuda_runtime_api.h>

#include <new>

#include "check.cuh"

namespace ngramstat::cuda {

// Makes a device the current one of this thread until the end of the scope.
class CurrentDevice {
  public:
    explicit CurrentDevice(int device) {
        NGRAMSTAT_CUDA_CHECK(cudaGetDevice(&before_));
        NGRAMSTAT_CUDA_CHECK(cudaSetDevice(device));
    }
    // For destructors and deallocation, where a failure cannot be reported.
    CurrentDevice(int device, std::nothrow_t) noexcept {
        (void)cudaGetDevice(&before_);
        (void)cudaSetDevice(device);
    }
    ~CurrentDevice() { (void)cudaSetDevice(before_); }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

  private:
    int before_ = 0;
};

}  // namespace ngramstat::cuda
