#include "ngramstat/gpu/device.hpp"
#include "ngramstat/gpu/serial.hpp"

namespace ngramstat::gpu {

std::unique_ptr<Gpu> open_emulated(std::size_t memory_limit, std::size_t shared_bytes) {
    return std::make_unique<GpuOn<SerialExecutor>>("emulated", memory_limit, shared_bytes);
}

}  // namespace ngramstat::gpu
