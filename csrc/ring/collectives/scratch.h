// Temporary memory for the pieces of collectives. Each piece has a Scratch; all of a group take theirs from
// where its session says.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "ring/base/memory.h"

namespace ring {

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
