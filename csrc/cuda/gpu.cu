#include "executor.cuh"
#include "ngramstat/cuda/device.hpp"
#include "ngramstat/gpu/device.hpp"

namespace ngramstat::cuda {

std::unique_ptr<gpu::Gpu> open(int device, std::size_t memory_limit) {
    const auto all = devices();
    if (device < 0 || device >= static_cast<int>(all.size())) {
        throw DeviceError("no CUDA device " + std::to_string(device) + ": this process sees " +
                          std::to_string(all.size()));
    }
    return std::make_unique<gpu::GpuOn<gpu::CudaExecutor>>(
        all[static_cast<std::size_t>(device)].name, device, memory_limit);
}

}  // namespace ngramstat::cuda
