// The first half of a ring, where its partial sums would be larger than elements: between hosts of one rank
// each, every addend goes as it is straight to the rank that completes its sum. As many bytes as round the
// ring in the element's type, half of those of float32 partial sums or less, and one rounding; but a
// connection between any two hosts. Called by all_reduce and reduce_scatter.
#pragma once

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// Whether this operation goes that way: the same on all ranks.
bool is_direct(const Context& context);

// `result` becomes the sum of everyone's addends[own position], whose memory it may be; the others' are only
// read, and are no longer needed when it ends. Added up in order of position.
Task direct_reduce(Context& context, Extents addends, std::byte* result);

}  // namespace ring
