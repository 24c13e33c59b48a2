// Where temporary memory comes from: the process's own, or, for what lies in a device, memory of another kind
// (device/stream.h).
#pragma once

#include <cstddef>

namespace ring {

// Thread-safe where several groups share one.
class Memory {
  public:
    virtual ~Memory() = default;
    // Aligned to a cache line. Throws std::bad_alloc.
    virtual std::byte* allocate(size_t bytes) = 0;
    virtual void release(std::byte* memory) noexcept = 0;
};

// The process's own.
class HeapMemory final : public Memory {
  public:
    std::byte* allocate(size_t bytes) override;
    void release(std::byte* memory) noexcept override;
};

}  // namespace ring
