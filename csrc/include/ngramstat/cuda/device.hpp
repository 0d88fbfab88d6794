// CUDA devices of this machine. No CUDA types here, so that any source may include it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ngramstat/gpu/gpu.hpp"

namespace ngramstat::cuda {

struct Device {
    std::string name;
    std::size_t memory_bytes;
    int major;
    int minor;
};

// The devices that this process sees; empty without a driver or a device. Throws DeviceError where
// the runtime fails for another reason.
std::vector<Device> devices();

// Bytes of a device's memory that are free now.
std::size_t free_bytes(int device);

// The device with that number, of whose memory at most `memory_limit` bytes are used. Throws
// DeviceError where there is no such device.
std::unique_ptr<gpu::Gpu> open(int device, std::size_t memory_limit);

}  // namespace ngramstat::cuda
