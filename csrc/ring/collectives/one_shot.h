// Small all_reduces, and barriers: everyone's data is written where everyone reads it, and one
// synchronisation does.
#pragma once

#include "ring/collectives/context.h"

namespace ring {

// Whether an all_reduce of this size goes this way. The same answer on all ranks.
bool is_one_shot(const Context& context);

// Whether it goes this way inside one host: a rank that has entered it has done all that the others need.
bool is_one_shot_in_host(const Layout& layout, const Config& config, const Signature& called);

// Inside a host each rank reduces everyone's data itself. Between hosts the local leaders add up the sums of
// their hosts by recursive doubling, and hand the result to their ranks. Reduces arguments.input to
// arguments.output in an order that is the same on all ranks; a barrier is the same with nothing to reduce.
Task one_shot(Context& context);

}  // namespace ring
