// See stream.h.
#include "ring/device/stream.h"

#include <new>

#include "ring/base/error.h"

namespace ring::cuda {

UseDevice::UseDevice(const Runtime& cuda, int device) : cuda_(cuda), device_(device) {
    cuda.check(cuda.get_device(&before_), "cudaGetDevice");
    if (before_ != device) cuda.check(cuda.set_device(device), "cudaSetDevice");
}

UseDevice::~UseDevice() {
    // Not without need: since CUDA 12 that makes a context on a device which this process may not use at all.
    if (before_ != device_) (void)cuda_.set_device(before_);
}

OwnStream::OwnStream(const Runtime& cuda, bool urgent) : cuda_(cuda) {
    int least = 0, greatest = 0;
    cuda.check(cuda.device_get_stream_priority_range(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    cuda.check(cuda.stream_create_with_priority(&stream_, kStreamNonBlocking, urgent ? greatest : least),
               "cudaStreamCreateWithPriority");
}

// What these return at the end of a process, when the driver has gone before them, helps nobody.
OwnStream::~OwnStream() {
    (void)cuda_.stream_destroy(stream_);
}

OwnEvent::OwnEvent(const Runtime& cuda) : cuda_(cuda) {
    cuda.check(cuda.event_create_with_flags(&event_, kEventDisableTiming), "cudaEventCreateWithFlags");
}

OwnEvent::~OwnEvent() {
    (void)cuda_.event_destroy(event_);
}

void OwnEvent::record(Stream stream) {
    cuda_.check(cuda_.event_record(event_, stream), "cudaEventRecord");
    recorded_ = true;
}

bool OwnEvent::passed() const {
    const Result result = cuda_.event_query(event_);
    if (result == kNotReady) {
        (void)cuda_.get_last_error();  // torch would take it for an error of what it does next
        return false;
    }
    cuda_.check(result, "cudaEventQuery");
    return true;
}

void OwnEvent::hold(Stream stream) const {
    if (!recorded_) throw Error("a stream was to wait for an event that has not been recorded");
    cuda_.check(cuda_.stream_wait_event(stream, event_, 0), "cudaStreamWaitEvent");
}

std::byte* PinnedMemory::allocate(size_t bytes) {
    void* memory = nullptr;
    if (cuda_.host_alloc(&memory, bytes, kHostAllocPortable) != kSuccess) {
        (void)cuda_.get_last_error();
        throw std::bad_alloc();
    }
    return static_cast<std::byte*>(memory);
}

void PinnedMemory::release(std::byte* memory) noexcept {
    (void)cuda_.free_host(memory);
}

}  // namespace ring::cuda
