// One rank of ring_perf: runs a collective at one size and times it.
#pragma once

#include "options.h"
#include "ring/engine/communicator.h"

namespace ring_perf {

struct Result {
    size_t count = 0;    // elements, as nccl-tests counts them: of the larger of input and output
    double seconds = 0;  // median of this rank's calls
    size_t wrong = 0;    // elements
};

// All ranks must call it alike.
Result measure(ring::Communicator& group, const Options& options, size_t bytes);

// busbw = algbw * this, by nccl-tests' conventions.
double bus_factor(ring::Collective collective, int ranks);

}  // namespace ring_perf
