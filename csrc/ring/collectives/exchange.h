// One step of an algorithm between two positions of a rail: both send, and store or reduce what they get.
//
// Called by the algorithms of hypercube.h, in their turn in lane kRail.
#pragma once

#include <utility>
#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

// What to do with the frames that come: to[i] = arrival, or to[i] = local[i] op arrival.
// (Not an aggregate: g++ 12 destroys a temporary of one twice in a co_await expression, GCC bug 104031.)
struct Arrivals {
    Arrivals() = default;
    Arrivals(Extents frames, Extents own, ReduceStage reduces)
        : to(std::move(frames)), local(std::move(own)), stage(reduces) {}

    Extents to{};
    Extents local{};  // empty: store
    ReduceStage stage = ReduceStage::kNext;
};
inline Arrivals store_into(Extents frames) {
    return {std::move(frames), {}, ReduceStage::kNext};
}
inline Arrivals reduce_into(const Extents& to, const Extents& local, size_t chunk) {
    return {frames_of(to, chunk), frames_of(local, chunk), ReduceStage::kNext};
}
// The last addends come: to[i] is a result.
inline Arrivals complete_into(const Context& context, const Extents& to, const Extents& local, size_t chunk) {
    const size_t result_chunk = chunk / context.partial_bytes() * context.element_bytes();
    return {frames_of(to, result_chunk), frames_of(local, chunk), ReduceStage::kLast};
}

// Sends the frames `out` to `position` and receives `in` from it, at the same time. The peer's lists match.
// Ends when all has come and all that was sent may be overwritten.
Task exchange(Context& context, int position, Extents out, Arrivals in);
// One direction of it.
inline Task send_frames(Context& context, int position, Extents out) {
    return exchange(context, position, std::move(out), Arrivals());
}
inline Task receive_frames(Context& context, int position, Arrivals in) {
    return exchange(context, position, Extents(), std::move(in));
}

}  // namespace ring
