// What the core throws, and the checks that throw it.
//
// std::invalid_argument, std::out_of_range, std::overflow_error and std::bad_alloc carry pybind11's
// own translation (ValueError, IndexError, OverflowError, MemoryError), so no second table exists.
#pragma once

#include <stdexcept>
#include <string>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// A failed call of the CUDA runtime, with the operation, file and line that failed.
class DeviceError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// The device, or the limit of what may be used of it, has too little memory.
class DeviceMemoryError : public DeviceError {
  public:
    DeviceMemoryError(std::size_t requested, std::size_t available, std::size_t limit)
        : DeviceError("not enough GPU memory for " + std::to_string(requested) +
                      " bytes: " + std::to_string(available) + " of the " + std::to_string(limit) +
                      " that may be used are free") {}
    using DeviceError::DeviceError;
};

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

// A token id that the vocabulary does not hold is an error everywhere: dropping it would shift
// every statistic without a trace.
[[noreturn]] inline void throw_token_out_of_range(std::uint64_t token, Index position,
                                                  Index vocab_size) {
    throw std::out_of_range("token " + std::to_string(token) + " at position " +
                            std::to_string(position) + " is not below vocab_size " +
                            std::to_string(vocab_size));
}

}  // namespace ngramstat
