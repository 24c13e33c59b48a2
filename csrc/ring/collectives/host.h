// The stages of a collective that run inside a host, through the group's segment.
//
// Each is called by all ranks of a cell, in their turn in `lane` (kHostIn or kHostOut), with lists of the
// same lengths, and waits at its start until all have ended the stage before in that lane, so that its
// staging buffers are free. An *owner* is a local rank that a part of the data belongs to. Without other
// ranks in the cell they have nothing to wait for.
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// Reduces over the cell, in lane kHostIn. contributions[j] is what this rank adds to the part of owner j;
// `result` is where this rank's own part goes (empty if it owns none; cut like contributions[own], and with
// as many elements; the same memory where these are of the same size; with `shared` it may also be null: the
// others get it, this rank does not want it). With `shared`, owner j's result goes into shared[j] of every
// other rank too: reduce-scatter and all-gather in one pass, of a whole reduction.
Task host_reduce(Context& context, std::vector<Extents> contributions, Extents result, ReduceStage stage,
                 std::vector<Extents> shared = {});

// Reduces `input` of the two ranks of a cell into the `output` of both, in lane kHostIn; they may be the
// same. Faster than host_reduce() up to kExchangeBytes, where each rank's own
// reads and writes of memory begin to count.
Task host_exchange(Context& context, Extent input, Extent output);
constexpr size_t kExchangeBytes = 8 << 20;

// Copies shared[j] of owner j into shared[j] of every other rank of the cell.
Task host_share(Context& context, Lane lane, std::vector<Extents> shared);

}  // namespace ring
