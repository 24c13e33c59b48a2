// Something that an operation can wait for: a frame received, a flag in shared memory.
//
// Transports make them, collectives co_await them, the engine polls them.
#pragma once

#include <vector>

namespace ring {

class Waitable {
  public:
    virtual ~Waitable() = default;
    // Polled by the thread that drives the group. Cheap, never blocks; may throw what went wrong.
    virtual bool ready() = 0;
    // The ranks that it waits for now, for messages.
    virtual std::vector<int> awaited() const = 0;
};

}  // namespace ring
