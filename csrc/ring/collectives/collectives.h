// The collectives: one file each, composed of the stages inside the host (host.h) and the ring between hosts
// (ring.h).
//
// One host, one rank per host and hosts of unequal size are the same code: a stage with nobody to work with
// does nothing. Called by the engine, one at a time per group.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

Task all_reduce(Context& context);
Task broadcast(Context& context);
Task all_gather(Context& context);
Task reduce_scatter(Context& context);
Task barrier(Context& context);

// The one that context.signature().kind names.
Task run_collective(Context& context);

// Throws ConfigError, before anything is sent, where arguments make no sense: a reduce op on a dtype it is
// not defined for, a root outside the group.
void check_arguments(const Arguments& arguments, int group_size);

}  // namespace ring
