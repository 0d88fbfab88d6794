#include "check.cuh"
#include "current_device.cuh"
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
    std::vector<Device> devices;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties;
        NGRAMSTAT_CUDA_CHECK(cudaGetDeviceProperties(&properties, i));
        devices.push_back(
            {properties.name, properties.totalGlobalMem, properties.major, properties.minor});
    }
    return devices;
}

std::size_t free_bytes(int device) {
    const CurrentDevice current(device);
    std::size_t free = 0, total = 0;
    NGRAMSTAT_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return free;
}

}  // namespace ngramstat::cuda
