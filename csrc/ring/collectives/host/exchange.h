// An all_reduce of the two ranks of a cell. Used by SharedMemoryStages::all_reduce().
#pragma once

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// Reduces `input` of both into `output` of both, in lane kHostIn; they may be the same. Faster than by way of
// owners up to kExchangeBytes, where each rank's own reads and writes of memory begin to count.
Task host_exchange(Context& context, Extent input, Extent output);
constexpr size_t kExchangeBytes = 8 << 20;

}  // namespace ring
