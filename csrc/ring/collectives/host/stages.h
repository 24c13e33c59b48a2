// The stages of a collective that run inside a host, behind one interface: by shared memory for what lies in
// the processes' memory. What a collective does between hosts, and in which order, does not depend on it.
//
// Each is called by all ranks of a cell, in their turn in `lane` (kHostIn or kHostOut), with lists of the
// same lengths, after all have entered the operation; the caller passes the lane. An *owner* is a local rank
// that a part of the data belongs to. Without other ranks in the cell they have nothing to wait for.
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// Who wants what is shared: the same on all ranks.
enum class Wanted { kByAll, kBySome };

// Used by the thread that drives the group.
class HostStages {
  public:
    virtual ~HostStages() = default;

    // Reduces over the cell, in lane kHostIn. contributions[j] is what this rank adds to the part of owner j;
    // `result` is where this rank's own part goes (empty if it owns none; cut like contributions[own], and
    // with as many elements; the same memory where these are of the same size; with `shared` it may also be
    // null: the others get it, this rank does not want it). With `shared`, owner j's result goes into
    // shared[j] of every other rank too: reduce-scatter and all-gather in one pass, of a whole reduction.
    virtual Task reduce(Context& context, std::vector<Extents> contributions, Extents result,
                        ReduceStage stage, std::vector<Extents> shared = {}) const = 0;

    // Reduces `input` of all ranks of a group that is one cell into `output` of all, whole, in lane kHostIn.
    // They may be the same.
    virtual Task all_reduce(Context& context, Extent input, Extent output) const = 0;

    // Copies shared[j] of owner j into shared[j] of every other rank of the cell.
    virtual Task share(Context& context, Lane lane, std::vector<Extents> shared,
                       Wanted wanted = Wanted::kByAll) const = 0;
};

}  // namespace ring
