// One step of an algorithm between two positions of a rail: both send, and store or reduce what they get.
//
// Called by the algorithms of hypercube.h, in their turn in lane kRail.
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// What to do with the frames that come: to[i] = arrival, or to[i] = (local[i] op arrival) / divisor.
struct Arrivals {
    Extents to;
    Extents local{};  // empty: store
    size_t divisor = 1;
};
inline Arrivals store_into(Extents frames) {
    return {std::move(frames)};
}
inline Arrivals reduce_into(const Extents& to, const Extents& local, size_t divisor, size_t chunk) {
    return {frames_of(to, chunk), frames_of(local, chunk), divisor};
}

// Sends the frames `out` to `position` and receives `in` from it, at the same time. The peer's lists match.
// Ends when all has come and all that was sent may be overwritten.
Task exchange(Context& context, int position, Extents out, Arrivals in);

}  // namespace ring
