// CUDA devices of this machine. No CUDA types here, so that any source may include it.
#pragma once

#include <string>
#include <vector>

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

}  // namespace ngramstat::cuda
