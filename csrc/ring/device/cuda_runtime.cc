// See cuda_runtime.h.
#include "ring/device/cuda_runtime.h"

#include <memory>
#include <mutex>

#include "ring/base/config.h"
#include "ring/base/error.h"

namespace ring::cuda {

std::string text_of(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

const Runtime& Runtime::get() {
    static std::mutex mutex;  // guards what follows
    static std::unique_ptr<const Runtime> found;
    const std::lock_guard lock(mutex);
    if (found == nullptr)
        found = std::make_unique<const Runtime>(
            LibrarySearch{.what = "the CUDA runtime",
                          .setting = "TORCH_RING_CUDART_LIB",
                          .file = config().cudart_lib,
                          .names = {"libcudart.so.13", "libcudart.so.12"},
                          .folders = library_folders(),
                          .remedy = "A torch that is built for CUDA brings it"});
    return *found;
}

Runtime::Runtime(const LibrarySearch& search) : library_(search) {
    library_.bind(get_device_count, "cudaGetDeviceCount");
    library_.bind(get_device, "cudaGetDevice");
    library_.bind(set_device, "cudaSetDevice");
    library_.bind(runtime_get_version, "cudaRuntimeGetVersion");
    library_.bind(driver_get_version, "cudaDriverGetVersion");
    library_.bind(get_error_name, "cudaGetErrorName");
    library_.bind(get_error_string, "cudaGetErrorString");
    library_.bind(get_last_error, "cudaGetLastError");
    library_.bind(stream_create_with_priority, "cudaStreamCreateWithPriority");
    library_.bind(device_get_stream_priority_range, "cudaDeviceGetStreamPriorityRange");
    library_.bind(stream_destroy, "cudaStreamDestroy");
    library_.bind(stream_wait_event, "cudaStreamWaitEvent");
    library_.bind(stream_is_capturing, "cudaStreamIsCapturing");
    library_.bind(stream_synchronize, "cudaStreamSynchronize");
    library_.bind(event_create_with_flags, "cudaEventCreateWithFlags");
    library_.bind(event_destroy, "cudaEventDestroy");
    library_.bind(event_record, "cudaEventRecord");
    library_.bind(event_query, "cudaEventQuery");
    library_.bind(event_synchronize, "cudaEventSynchronize");
    library_.bind(memcpy_async, "cudaMemcpyAsync");
    library_.bind(host_alloc, "cudaHostAlloc");
    library_.bind(free_host, "cudaFreeHost");
    library_.bind(malloc, "cudaMalloc");
    library_.bind(free, "cudaFree");
    library_.bind(thread_exchange_stream_capture_mode, "cudaThreadExchangeStreamCaptureMode");
}

int Runtime::version() const {
    int version = 0;
    check(runtime_get_version(&version), "cudaRuntimeGetVersion");
    return version;
}

int Runtime::driver_version() const {
    int version = 0;
    check(driver_get_version(&version), "cudaDriverGetVersion");
    return version;
}

int Runtime::devices() const {
    int count = 0;  // which CUDA leaves alone where it fails
    const Result result = get_device_count(&count);
    if (result == kInsufficientDriver || result == kNoDevice) {
        (void)get_last_error();  // it is the runtime's last word until somebody has asked
        const int driver = driver_version();
        throw ConfigError("the CUDA runtime " + text_of(version()) + ", " + path() + ", finds no GPU: " +
                          get_error_string(result) + " (" + get_error_name(result) + "). " +
                          (driver == 0 ? "No driver is loaded: there is no GPU here, or it is not given to "
                                         "this container"
                                       : "The driver is for CUDA " + text_of(driver)));
    }
    check(result, "cudaGetDeviceCount");
    return count;
}

void Runtime::check(Result result, const char* call) const {
    if (result == kSuccess) return;
    (void)get_last_error();  // as above
    throw Error(std::string(call) + ": " + get_error_string(result) + " (" + get_error_name(result) + ", " +
                std::to_string(result) + ")");
}

}  // namespace ring::cuda
