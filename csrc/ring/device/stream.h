// Streams, events and pinned memory of a CUDA device, owned. Of a runtime that outlives them.
#pragma once

#include <utility>

#include "ring/base/memory.h"
#include "ring/device/cuda_runtime.h"

namespace ring::cuda {

// Makes a device the current one of this thread, and the one before again at its end.
class UseDevice {
  public:
    UseDevice(const Runtime& cuda, int device);
    ~UseDevice();
    UseDevice(const UseDevice&) = delete;
    UseDevice& operator=(const UseDevice&) = delete;

  private:
    const Runtime& cuda_;
    const int device_;
    int before_ = 0;
};

// A stream of the current device, which waits for no other stream, not even the default one.
class OwnStream {
  public:
    // `urgent`: before others, where the device has work of both.
    explicit OwnStream(const Runtime& cuda, bool urgent = false);
    ~OwnStream();
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;

    Stream get() const { return stream_; }

  private:
    const Runtime& cuda_;
    Stream stream_ = nullptr;
};

// A moment in a stream. Recorded by one thread; others may look at it then.
class OwnEvent {
  public:
    explicit OwnEvent(const Runtime& cuda);
    ~OwnEvent();
    OwnEvent(const OwnEvent&) = delete;
    OwnEvent& operator=(const OwnEvent&) = delete;

    Event get() const { return event_; }
    // The moment when the stream has done what it was told so far.
    void record(Stream stream);
    // Whether it has passed. Throws Error where something has gone wrong on the device.
    bool passed() const;
    // Lets a stream wait until then. Throws Error where it was never recorded, since CUDA would not wait.
    void hold(Stream stream) const;

  private:
    const Runtime& cuda_;
    Event event_ = nullptr;
    bool recorded_ = false;
};

// Memory of the host that a device copies to and from by itself.
class PinnedMemory final : public Memory {
  public:
    explicit PinnedMemory(const Runtime& cuda) : cuda_(cuda) {}
    std::byte* allocate(size_t bytes) override;
    void release(std::byte* memory) noexcept override;

  private:
    const Runtime& cuda_;
};

}  // namespace ring::cuda
