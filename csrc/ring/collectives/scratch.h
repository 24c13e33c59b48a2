// Temporary memory for the pieces of collectives. Each piece has a Scratch; all of a group take theirs from
// where its session says: what lies in a device is copied through memory of another kind.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

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

// Kept from one operation to the next. Used by one thread.
class Scratch {
  public:
    using Mark = size_t;

    // `memory` must outlive it.
    explicit Scratch(Memory& memory) : memory_(&memory) {}

    // Aligned to a cache line; valid until a mark that was made before is released.
    std::byte* take(size_t bytes);
    Mark mark() const { return next_; }
    void release(Mark mark) { next_ = mark; }
    // Gives all back.
    void clear();

  private:
    struct Release {
        Memory* memory;
        void operator()(std::byte* one) const noexcept { memory->release(one); }
    };
    struct Block {
        std::unique_ptr<std::byte, Release> memory;
        size_t bytes = 0;
    };

    Memory* memory_;
    std::vector<Block> blocks_;
    size_t next_ = 0;
};

}  // namespace ring
