#include "bind.hpp"

#ifdef NGRAMSTAT_WITH_CUDA
#include "ngramstat/cuda/device.hpp"
#endif

namespace ngramstat::bindings {

void bind_cuda(py::module_& m) {
    m.def(
        "cuda_devices",
        [] {
            py::list found;
#ifdef NGRAMSTAT_WITH_CUDA
            for (const auto& device : cuda::devices()) {
                py::dict entry;
                entry["name"] = device.name;
                entry["memory_bytes"] = device.memory_bytes;
                entry["compute_capability"] = py::make_tuple(device.major, device.minor);
                found.append(entry);
            }
#endif
            return found;
        },
        "CUDA devices this process sees; empty in a build without CUDA.");
}

}  // namespace ngramstat::bindings
