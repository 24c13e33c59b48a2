// One rank of ring_perf: runs a collective at one size, times it, and checks what it did.
#pragma once

#include "csv.h"
#include "options.h"
#include "ring/engine/communicator.h"

namespace ring_perf {

// The row of this size, the same on all ranks, all of which must call it alike. Throws what the collective
// throws.
Row measure(ring::Communicator& group, const Options& options, size_t bytes);

}  // namespace ring_perf
