// The stage of a collective between hosts: what each rank on a rail does, by the algorithm that the group's
// tuning chooses. The collectives call these; each takes its turn in lane kRail, and passes it.
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// Everyone ends with the sum over the rail of `data`, divided by the operation's divisor.
Task rail_all_reduce(Context& context, Extent data);
// `result` of position `root` becomes the sum over the rail of `local`, divided by the operation's divisor;
// `sum` takes partial sums and may be `local` itself.
Task rail_reduce(Context& context, int root, Extents local, Extents sum, Extents result);
// `data` of position `root` goes to all.
Task rail_broadcast(Context& context, int root, Extents data);
// parts[p] of position p goes to all.
Task rail_all_gather(Context& context, std::vector<Extents> parts);
// `result` (cut like parts[own position]) becomes the sum of everyone's parts[own position], divided by the
// operation's divisor. `sums` has the shape of parts and takes partial sums on the way.
Task rail_reduce_scatter(Context& context, std::vector<Extents> parts, std::vector<Extents> sums,
                         Extents result);

}  // namespace ring
