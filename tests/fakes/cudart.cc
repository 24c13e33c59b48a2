// A CUDA runtime without a GPU: devices' memory is the process's own, each stream is a thread that does one
// thing after the other. So what is ordered too little goes wrong, and ThreadSanitizer sees it. Loaded
// through the table of csrc/ring/device/cuda_runtime.h; cudart.h has what tests can ask of it.
//
// As CUDA does: an event that was never recorded is complete, and to wait for it waits for nothing; a wait is
// for what was recorded last when it was called.
#include "cudart.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "ring/device/cuda_runtime.h"

using ring::cuda::Capture;
using ring::cuda::CaptureMode;
using ring::cuda::Copy;
using ring::cuda::Event;
using ring::cuda::Result;
using ring::cuda::Stream;

namespace {

constexpr Result kInvalidValue = 1;
constexpr int kVersion = 13000;

std::atomic<int> devices{1};
std::atomic<int> most_us{0};
std::atomic<int64_t> alive{0};
thread_local int current_device = 0;
thread_local Result last_error = ring::cuda::kSuccess;

std::mutex failures_mutex;  // guards what follows
std::map<std::string, Result>& failures() {
    static std::map<std::string, Result> all;
    return all;
}

Result remember(Result result) {
    if (result != ring::cuda::kSuccess) last_error = result;
    return result;
}

// What a test wants it to return instead of doing anything.
Result planted(const char* function) {
    const std::lock_guard lock(failures_mutex);
    const auto at = failures().find(function);
    if (at == failures().end()) return ring::cuda::kSuccess;
    const Result result = at->second;
    failures().erase(at);
    return remember(result);
}

// One moment in a stream.
class Mark {
  public:
    void reach() {
        const std::lock_guard lock(mutex_);
        reached_ = true;
        changed_.notify_all();
    }
    bool reached() {
        const std::lock_guard lock(mutex_);
        return reached_;
    }
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return reached_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool reached_ = false;
};

}  // namespace

struct CUevent_st {
    std::mutex mutex;
    std::shared_ptr<Mark> last;  // null: never recorded

    std::shared_ptr<Mark> recorded() {
        const std::lock_guard lock(mutex);
        return last;
    }
};

struct CUstream_st {
    CUstream_st() : thread([this] { run(); }) {}
    // Like CUDA's, it does first what it has been told.
    ~CUstream_st() {
        enqueue({});
        thread.join();
    }

    void enqueue(std::function<void()> what) {
        const std::lock_guard lock(mutex);
        work.push_back(std::move(what));
        added.notify_one();
    }

    std::shared_ptr<Mark> mark() {
        auto mark = std::make_shared<Mark>();
        enqueue([mark] { mark->reach(); });
        return mark;
    }

  private:
    void run() {
        std::mt19937 random(std::random_device{}());
        while (true) {
            std::function<void()> next;
            {
                std::unique_lock lock(mutex);
                added.wait(lock, [this] { return !work.empty(); });
                next = std::move(work.front());
                work.pop_front();
            }
            if (!next) return;
            if (const int most = most_us.load())
                std::this_thread::sleep_for(std::chrono::microseconds(random() % (most + 1)));
            next();
        }
    }

    std::mutex mutex;  // guards what follows
    std::condition_variable added;
    std::deque<std::function<void()>> work;
    std::thread thread;
};

namespace {

CUstream_st& stream_of(Stream stream) {
    static CUstream_st standard;
    return stream == nullptr ? standard : *stream;
}

// The same for all: a planted failure first.
template <typename Body>
Result call(const char* function, Body body) {
    if (const Result result = planted(function); result != ring::cuda::kSuccess) return result;
    return remember(body());
}

}  // namespace

extern "C" {

void fake_cuda_set_devices(int count) {
    devices = count;
}

void fake_cuda_fail_next(const char* function, int result) {
    const std::lock_guard lock(failures_mutex);
    failures()[function] = result;
}

void fake_cuda_reset() {
    {
        const std::lock_guard lock(failures_mutex);
        failures().clear();
    }
    devices = 1;
    most_us = 0;
}

void fake_cuda_set_delays(int us) {
    most_us = us;
}

void fake_cuda_enqueue(void* stream, void (*function)(void*), void* argument) {
    stream_of(static_cast<Stream>(stream)).enqueue([=] { function(argument); });
}

int64_t fake_cuda_alive() {
    return alive;
}

Result cudaGetDeviceCount(int* count) {
    return call("cudaGetDeviceCount", [&] {
        if (devices == 0) return ring::cuda::kInsufficientDriver;
        *count = devices;
        return ring::cuda::kSuccess;
    });
}

Result cudaGetDevice(int* device) {
    return call("cudaGetDevice", [&] {
        *device = current_device;
        return ring::cuda::kSuccess;
    });
}

Result cudaSetDevice(int device) {
    return call("cudaSetDevice", [&] {
        if (device < 0 || device >= devices) return kInvalidValue;
        current_device = device;
        return ring::cuda::kSuccess;
    });
}

Result cudaRuntimeGetVersion(int* version) {
    *version = kVersion;
    return ring::cuda::kSuccess;
}

Result cudaDriverGetVersion(int* version) {
    *version = devices == 0 ? 0 : kVersion;
    return ring::cuda::kSuccess;
}

const char* cudaGetErrorName(Result result) {
    switch (result) {
        case ring::cuda::kSuccess:
            return "cudaSuccess";
        case kInvalidValue:
            return "cudaErrorInvalidValue";
        case ring::cuda::kInsufficientDriver:
            return "cudaErrorInsufficientDriver";
        case ring::cuda::kNotReady:
            return "cudaErrorNotReady";
        default:
            return "cudaErrorUnknown";
    }
}

const char* cudaGetErrorString(Result result) {
    switch (result) {
        case kInvalidValue:
            return "invalid argument";
        case ring::cuda::kInsufficientDriver:
            return "CUDA driver version is insufficient for CUDA runtime version";
        default:
            return "unknown error";
    }
}

Result cudaGetLastError() {
    return std::exchange(last_error, ring::cuda::kSuccess);
}

Result cudaStreamCreateWithPriority(Stream* stream, unsigned, int) {
    return call("cudaStreamCreateWithPriority", [&] {
        *stream = std::make_unique<CUstream_st>().release();
        ++alive;
        return ring::cuda::kSuccess;
    });
}

Result cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0;
    *greatest = -5;
    return ring::cuda::kSuccess;
}

Result cudaStreamDestroy(Stream stream) {
    return call("cudaStreamDestroy", [&] {
        const std::unique_ptr<CUstream_st> owned(stream);
        --alive;
        return ring::cuda::kSuccess;
    });
}

Result cudaStreamWaitEvent(Stream stream, Event event, unsigned) {
    return call("cudaStreamWaitEvent", [&] {
        if (auto mark = event->recorded()) stream_of(stream).enqueue([mark] { mark->wait(); });
        return ring::cuda::kSuccess;
    });
}

Result cudaStreamIsCapturing(Stream, Capture* status) {
    *status = Capture::kNone;
    return ring::cuda::kSuccess;
}

Result cudaStreamSynchronize(Stream stream) {
    return call("cudaStreamSynchronize", [&] {
        stream_of(stream).mark()->wait();
        return ring::cuda::kSuccess;
    });
}

Result cudaEventCreateWithFlags(Event* event, unsigned) {
    return call("cudaEventCreateWithFlags", [&] {
        *event = std::make_unique<CUevent_st>().release();
        ++alive;
        return ring::cuda::kSuccess;
    });
}

Result cudaEventDestroy(Event event) {
    return call("cudaEventDestroy", [&] {
        const std::unique_ptr<CUevent_st> owned(event);
        --alive;
        return ring::cuda::kSuccess;
    });
}

Result cudaEventRecord(Event event, Stream stream) {
    return call("cudaEventRecord", [&] {
        auto mark = stream_of(stream).mark();
        const std::lock_guard lock(event->mutex);
        event->last = std::move(mark);
        return ring::cuda::kSuccess;
    });
}

Result cudaEventQuery(Event event) {
    return call("cudaEventQuery", [&] {
        const auto mark = event->recorded();
        return mark == nullptr || mark->reached() ? ring::cuda::kSuccess : ring::cuda::kNotReady;
    });
}

Result cudaEventSynchronize(Event event) {
    return call("cudaEventSynchronize", [&] {
        if (const auto mark = event->recorded()) mark->wait();
        return ring::cuda::kSuccess;
    });
}

Result cudaMemcpyAsync(void* to, const void* from, size_t bytes, Copy, Stream stream) {
    return call("cudaMemcpyAsync", [&] {
        if (bytes > 0 && (to == nullptr || from == nullptr)) return kInvalidValue;
        stream_of(stream).enqueue([=] { std::memcpy(to, from, bytes); });
        return ring::cuda::kSuccess;
    });
}

Result cudaHostAlloc(void** memory, size_t bytes, unsigned) {
    return call("cudaHostAlloc", [&] {
        constexpr size_t kPage = 4096;
        *memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
        ++alive;
        return ring::cuda::kSuccess;
    });
}

Result cudaFreeHost(void* memory) {
    return call("cudaFreeHost", [&] {
        std::free(memory);
        --alive;
        return ring::cuda::kSuccess;
    });
}

Result cudaMalloc(void** memory, size_t bytes) {
    return cudaHostAlloc(memory, bytes, 0);
}

Result cudaFree(void* memory) {
    return cudaFreeHost(memory);
}

Result cudaThreadExchangeStreamCaptureMode(CaptureMode* mode) {
    thread_local CaptureMode current = CaptureMode::kGlobal;
    std::swap(*mode, current);
    return ring::cuda::kSuccess;
}

}  // extern "C"
