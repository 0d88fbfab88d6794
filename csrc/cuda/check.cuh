// Turns a failed runtime call into a DeviceError that says which call, where.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "ngramstat/base/error.hpp"

#ifdef __FILE_NAME__
#define NGRAMSTAT_FILE __FILE_NAME__
#else  // GCC before 12
#define NGRAMSTAT_FILE __FILE__
#endif

#define NGRAMSTAT_CUDA_CHECK(call)                                                                 \
    do {                                                                                           \
        const cudaError_t status_ = (call);                                                        \
        if (status_ != cudaSuccess) {                                                              \
            throw ::ngramstat::DeviceError(std::string(#call) +                                    \
                                           " failed: " + cudaGetErrorString(status_) + " (" +      \
                                           NGRAMSTAT_FILE + ":" + std::to_string(__LINE__) + ")"); \
        }                                                                                          \
    } while (false)
