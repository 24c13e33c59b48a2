// The collectives: one file each, composed of the stages inside the host (host/stages.h) and on the rail
// between hosts (rail.h).
//
// One host, one rank per host and hosts of unequal size are the same code: a stage with nobody to work with
// does nothing. Called by the engine.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

// Each runs one piece of an operation: context.piece of context.pieces.
Task all_reduce(Context& context);
Task broadcast(Context& context);
Task all_gather(Context& context);
Task reduce_scatter(Context& context);
Task reduce(Context& context);
Task gather(Context& context);
Task scatter(Context& context);
Task all_to_all(Context& context);
Task barrier(Context& context);

// The one that context.signature().kind names; passes the lanes that it did not.
Task run_collective(Context& context);
// Into how many pieces it cuts the operation. The same on all ranks.
size_t count_pieces(const Context& context);

// For count_pieces(): as the plan says; one where only one lane has work.
size_t pieces_of_plan(const Context& context);
// Pieces whose sums take a bounded amount of temporary memory.
size_t all_reduce_pieces(const Context& context);
size_t reduce_scatter_pieces(const Context& context);
size_t reduce_pieces(const Context& context);

// Throws ConfigError, before anything is sent, where arguments make no sense: a reduce op on a dtype it is
// not defined for, a root outside the group, a list that is not as long as the group.
void check_arguments(const Arguments& arguments, int rank, int group_size);

}  // namespace ring
