// The CUDA runtime, as far as tensors on a device need it: a table of its functions, filled when a device is
// first used. No header of CUDA is needed to build it; scripts/check_cuda compares it with theirs.
//
// Several copies of the runtime in one process are the normal case (torch's, NCCL's own): streams, events and
// memory are the driver's, and any copy takes them.
#pragma once

#include <cstddef>
#include <string>

#include "ring/device/library.h"

struct CUstream_st;
struct CUevent_st;

namespace ring::cuda {

using Stream = CUstream_st*;
using Event = CUevent_st*;
using Result = int;

// The values of CUDA's own enumerations.
constexpr Result kSuccess = 0;
constexpr Result kCudartUnloading = 4;
constexpr Result kInsufficientDriver = 35;
constexpr Result kNoDevice = 100;
constexpr Result kNotReady = 600;
enum class Copy : int { kHostToDevice = 1, kDeviceToHost = 2, kDeviceToDevice = 3 };
enum class Capture : int { kNone = 0, kActive = 1, kInvalidated = 2 };
enum class CaptureMode : int { kGlobal = 0, kThreadLocal = 1, kRelaxed = 2 };
constexpr unsigned kHostAllocPortable = 1;
constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventDisableTiming = 2;

// "13.0", of 13000.
std::string text_of(int version);

// Immutable, so thread-safe. Members are CUDA's functions without their prefix.
class Runtime {
  public:
    // Looks for the library, once; what has failed is tried again. Throws ConfigError that says where it was
    // looked for, and what was found.
    static const Runtime& get();
    // For get(), and for tests.
    explicit Runtime(const LibrarySearch& search);

    const std::string& path() const { return library_.path(); }
    int version() const;
    int driver_version() const;  // 0: there is no driver
    // How many devices this process sees. Throws ConfigError where there is no driver, or none that will do.
    int devices() const;

    // Throws Error with CUDA's own words: "cudaMemcpyAsync: invalid argument (cudaErrorInvalidValue, 1)".
    void check(Result result, const char* call) const;

    Result (*get_device_count)(int* count);
    Result (*get_device)(int* device);
    Result (*set_device)(int device);
    Result (*runtime_get_version)(int* version);
    Result (*driver_get_version)(int* version);
    const char* (*get_error_name)(Result result);
    const char* (*get_error_string)(Result result);
    Result (*get_last_error)();
    Result (*stream_create_with_priority)(Stream* stream, unsigned flags, int priority);
    Result (*device_get_stream_priority_range)(int* least, int* greatest);
    Result (*stream_destroy)(Stream stream);
    Result (*stream_wait_event)(Stream stream, Event event, unsigned flags);
    Result (*stream_is_capturing)(Stream stream, Capture* status);
    Result (*stream_synchronize)(Stream stream);
    Result (*event_create_with_flags)(Event* event, unsigned flags);
    Result (*event_destroy)(Event event);
    Result (*event_record)(Event event, Stream stream);
    Result (*event_query)(Event event);
    Result (*event_synchronize)(Event event);
    Result (*memcpy_async)(void* to, const void* from, size_t bytes, Copy kind, Stream stream);
    Result (*host_alloc)(void** memory, size_t bytes, unsigned flags);
    Result (*free_host)(void* memory);
    Result (*malloc)(void** memory, size_t bytes);
    Result (*free)(void* memory);
    Result (*thread_exchange_stream_capture_mode)(CaptureMode* mode);

  private:
    Library library_;
};

}  // namespace ring::cuda
