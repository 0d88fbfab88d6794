#include "check.cuh"
#include "ngramstat/cuda/device.hpp"

namespace ngramstat::cuda {

std::vector<Device> devices() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
        (void)cudaGetLastError();
        return {};
    }
    NGRAMSTAT_CUDA_CHECK(status);
    std::vector<Device> found;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties;
        NGRAMSTAT_CUDA_CHECK(cudaGetDeviceProperties(&properties, i));
        found.push_back(
            {properties.name, properties.totalGlobalMem, properties.major, properties.minor});
    }
    return found;
}

std::size_t free_bytes(int device) {
    std::size_t free = 0, total = 0;
    int before = 0;
    NGRAMSTAT_CUDA_CHECK(cudaGetDevice(&before));
    NGRAMSTAT_CUDA_CHECK(cudaSetDevice(device));
    const cudaError_t status = cudaMemGetInfo(&free, &total);
    NGRAMSTAT_CUDA_CHECK(cudaSetDevice(before));
    NGRAMSTAT_CUDA_CHECK(status);
    return free;
}

}  // namespace ngramstat::cuda
