// Tokens that are already on a device, from any library that supports DLPack (torch, CuPy, JAX).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "arrays.hpp"
#include "ngramstat/gpu/gpu.hpp"

namespace ngramstat::bindings {

// The structures of DLPack 0.x, which are its interface: github.com/dmlc/dlpack, dlpack.h.
namespace dlpack {
struct Device {
    std::int32_t type, id;
};
struct DataType {
    std::uint8_t code, bits;
    std::uint16_t lanes;
};
struct Tensor {
    void* data;
    Device device;
    std::int32_t n_dims;
    DataType type;
    std::int64_t *shape, *strides;
    std::uint64_t byte_offset;
};
struct Managed {
    Tensor tensor;
    void* context;
    void (*deleter)(Managed*);
};
inline constexpr std::int32_t kCpu = 1, kCuda = 2;
inline constexpr std::uint8_t kInt = 0, kUInt = 1;
}  // namespace dlpack

namespace dlpack {

// The tensor's capsule, taken over: the exporter no longer frees it.
inline std::shared_ptr<Managed> take_over(const py::object& tensor) {
    if (!py::hasattr(tensor, "__dlpack__")) {
        throw py::type_error(
            "tokens: expected a NumPy array or a tensor on the GPU (with __dlpack__), got " +
            py::str(py::type::of(tensor).attr("__name__")).cast<std::string>());
    }
    const auto device = tensor.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    // stream = 1 is CUDA's default stream: the exporter makes it wait until the tensor is complete.
    const py::object capsule = device.first == kCuda
                                   ? tensor.attr("__dlpack__")(py::arg("stream") = 1)
                                   : tensor.attr("__dlpack__")();
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    if (managed == nullptr) throw py::error_already_set();
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    return std::shared_ptr<Managed>(managed, [](Managed* m) {
        if (m->deleter != nullptr) m->deleter(m);
    });
}

// int32 counts as uint32: negative numbers read as ids that no vocabulary holds.
inline void require_token_type(const DataType& type) {
    const bool is_narrow = type.code == kUInt && type.bits == 16;
    const bool is_wide = (type.code == kUInt || type.code == kInt) && type.bits == 32;
    if (type.lanes == 1 && (is_narrow || is_wide)) return;
    const char* kind = type.code == kUInt ? "uint" : type.code == kInt ? "int" : "another kind, ";
    throw py::type_error("tokens: expected a tensor of uint16, uint32 or int32, got " +
                         std::string(kind) + std::to_string(type.bits) + "; convert it on the GPU");
}

inline void require_contiguous(const Tensor& tensor) {
    if (tensor.n_dims == 1 &&
        (tensor.strides == nullptr || tensor.shape[0] <= 1 || tensor.strides[0] == 1)) {
        return;
    }
    throw py::type_error(
        "tokens: expected a contiguous one-dimensional tensor; use x.contiguous().reshape(-1)");
}

}  // namespace dlpack

// A tensor of tokens that is read without a copy, and kept alive meanwhile.
class DeviceTokens {
  public:
    explicit DeviceTokens(const py::object& tensor) : managed_(dlpack::take_over(tensor)) {
        const dlpack::Tensor& described = managed_->tensor;
        dlpack::require_token_type(described.type);
        dlpack::require_contiguous(described);
        device_ = described.device;
        size_ = described.shape[0];
        bits_ = described.type.bits;
        data_ = static_cast<const std::byte*>(described.data) + described.byte_offset;
    }

    Index size() const { return size_; }
    bool on_cuda() const { return device_.type == dlpack::kCuda; }
    int device() const { return device_.id; }
    gpu::AnyStream stream() const {
        if (bits_ == 16) {
            return gpu::Stream<std::uint16_t>{reinterpret_cast<const std::uint16_t*>(data_), size_,
                                              true};
        }
        return gpu::Stream<std::uint32_t>{reinterpret_cast<const std::uint32_t*>(data_), size_,
                                          true};
    }

  private:
    std::shared_ptr<dlpack::Managed> managed_;
    dlpack::Device device_{};
    Index size_ = 0;
    int bits_ = 0;
    const std::byte* data_ = nullptr;
};

}  // namespace ngramstat::bindings
