// What an algorithm sees of its group while one operation runs, and what the caller asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ring/collectives/task.h"
#include "ring/kernels/reduce.h"
#include "ring/topology/layout.h"
#include "ring/transport/link.h"
#include "ring/transport/shm/segment.h"

namespace ring {

// The arguments of one collective, in elements of signature.dtype. The memory stays the caller's.
//   all_reduce      input[count] -> output[count], which may be the same
//   broadcast       output[count], read on the root and written elsewhere
//   all_gather      input[count] -> outputs[rank][count]; input may be outputs[own rank]
//   reduce_scatter  inputs[rank][count] -> output[count]; output may be inputs[own rank]
struct Arguments {
    Signature signature;
    const void* input = nullptr;
    void* output = nullptr;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
};

// Temporary memory of the operations of one group, kept from one to the next.
class Scratch {
  public:
    using Mark = size_t;

    // Aligned to a cache line; valid until a mark that was made before is released.
    std::byte* take(size_t bytes);
    Mark mark() const { return next_; }
    void release(Mark mark) { next_ = mark; }

  private:
    struct Free {
        void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
    };
    struct Block {
        std::unique_ptr<std::byte[], Free> memory;
        size_t bytes = 0;
    };
    std::vector<Block> blocks_;
    size_t next_ = 0;
};

// One per group; `arguments`, `operation` and the frame counters change with each operation.
struct Context {
    const Layout& layout;
    Segment* segment = nullptr;  // shared with the other ranks of this cell; null where there are none
    Link* next = nullptr;        // along this rank's rail; null with one cell, or off the rails
    Link* prev = nullptr;
    uint64_t group = 0;

    uint64_t operation = 0;
    const Arguments* arguments = nullptr;
    uint64_t phase =
        0;  // of this rank in the segment, at the end of the last stage; the same on all local ranks
    uint64_t frames_sent = 0;
    uint64_t frames_received = 0;
    Scratch scratch{};

    const Signature& signature() const { return arguments->signature; }
    size_t element_bytes() const { return size_of(signature().dtype); }
    size_t bytes() const { return signature().count * element_bytes(); }
    // Of the call that completes a sum: the number of ranks for AVG, else 1.
    size_t divisor() const {
        return signature().op == ReduceOp::kAvg ? static_cast<size_t>(layout.size()) : 1;
    }
    ReduceFn reduce() const { return reduce_function(signature().dtype, signature().op); }

    // Post the next frame of this operation on the rail.
    uint64_t send_next(const std::byte* data, size_t bytes);
    uint64_t recv_prev(std::byte* data, size_t bytes);
};

// Announces the operation to the other ranks of the host, waits until all have entered it, and compares what
// they called. Uses one phase. Throws MismatchError. Nothing to do for a rank that is alone in its cell.
Task enter(Context& context);
// The comparison alone, once all have announced.
void check_announcements(const Context& context);

}  // namespace ring
