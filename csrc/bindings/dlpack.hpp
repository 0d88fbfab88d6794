// Tokens that already lie on a device, from any library that speaks DLPack (torch, CuPy, JAX).
#pragma once

#include <cstdint>
#include <string>

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

// A tensor that is read where it lies, and kept alive meanwhile.
class DeviceTokens {
  public:
    explicit DeviceTokens(const py::object& tensor) {
        if (!py::hasattr(tensor, "__dlpack__")) {
            throw py::type_error(
                "tokens: expected a NumPy array or a tensor on the GPU (with __dlpack__), got " +
                py::str(py::type::of(tensor).attr("__name__")).cast<std::string>());
        }
        const auto device = tensor.attr("__dlpack_device__")().cast<std::pair<int, int>>();
        // 1: the default stream, behind which the tensor is whole.
        const py::object capsule = device.first == dlpack::kCuda
                                       ? tensor.attr("__dlpack__")(py::arg("stream") = 1)
                                       : tensor.attr("__dlpack__")();
        auto* managed =
            static_cast<dlpack::Managed*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
        if (managed == nullptr) throw py::error_already_set();
        PyCapsule_SetName(capsule.ptr(), "used_dltensor");
        managed_.reset(managed, [](dlpack::Managed* m) {
            if (m->deleter != nullptr) m->deleter(m);
        });
        const dlpack::Tensor& given = managed->tensor;
        const auto [code, bits, lanes] = given.type;
        // Negative numbers of 32 bits read as ids that no vocabulary holds.
        const bool narrow = code == dlpack::kUInt && bits == 16;
        const bool wide = (code == dlpack::kUInt || code == dlpack::kInt) && bits == 32;
        if (lanes != 1 || !(narrow || wide)) {
            throw py::type_error("tokens: expected a tensor of uint16, uint32 or int32, got " +
                                 std::string(code == dlpack::kUInt  ? "uint"
                                             : code == dlpack::kInt ? "int"
                                                                    : "another kind, ") +
                                 std::to_string(bits) + "; convert it on the GPU");
        }
        if (given.n_dims != 1 ||
            (given.strides != nullptr && given.shape[0] > 1 && given.strides[0] != 1)) {
            throw py::type_error(
                "tokens: expected a contiguous one-dimensional tensor; use "
                "x.contiguous().reshape(-1)");
        }
        device_ = given.device;
        size_ = given.shape[0];
        bits_ = bits;
        data_ = static_cast<const std::byte*>(given.data) + given.byte_offset;
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
