// Small all_reduces over hosts, and barriers: the ranks of a host add up what they entered with, the local
// leaders what the hosts have.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

// Whether an all_reduce over several hosts goes this way. The same answer on all ranks.
bool is_one_shot(const Context& context);

// The local leaders add up the sums of their hosts by recursive doubling, and hand the result to their ranks.
// Reduces arguments.input to arguments.output in an order that is the same on all ranks; a barrier is the
// same with nothing to reduce.
Task one_shot(Context& context);

}  // namespace ring
