// The stage of a collective between hosts: what each rank on a rail does, by the algorithm that the group's
// tuning chooses. The collectives call these; each takes its turn in lane kRail, and passes it.
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// Sums on the way are partial results, whose elements may be larger than those of the operation, see
// ReduceStage; AVG divides when they are complete.

// Everyone ends with the sum over the rail of `partial` in `result`, which has as many elements and may be
// the same memory if these are of the same size.
Task rail_all_reduce(Context& context, Extent partial, std::byte* result);
// `result` of position `root` becomes the sum over the rail of `local`; `sum` takes partial sums and may be
// `local` itself. `result` may be, too, if its elements are of the same size.
Task rail_reduce(Context& context, int root, Extents local, Extents sum, Extents result);
// `data` of position `root` goes to all.
Task rail_broadcast(Context& context, int root, Extents data);
// parts[p] of position p goes to all.
Task rail_all_gather(Context& context, std::vector<Extents> parts);
// `result` (cut like parts[own position]) becomes the sum of everyone's parts[own position]. `sums` has the
// shape of parts and takes partial sums on the way; it may be parts itself.
Task rail_reduce_scatter(Context& context, std::vector<Extents> parts, std::vector<Extents> sums,
                         Extents result);

}  // namespace ring
