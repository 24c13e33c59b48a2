// The ring between hosts: every ring collective is a list of what to send first and what to do with each
// frame received.
//
// Ring reduce-scatter and all-gather after Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for
// clusters of workstations" (2009), as Baidu's baidu-allreduce (2017) made them known; here cut into chunks
// that are forwarded as soon as they are reduced, so that the steps overlap.
#pragma once

#include <vector>

#include "ring/collectives/context.h"
#include "ring/collectives/extent.h"

namespace ring {

struct RingSchedule {
    enum class Action {
        kStore,
        kReduce,    // to a partial sum
        kComplete,  // the last addends have come
    };
    struct Receive {
        Action action;
        size_t bytes;
        std::byte* to;           // where the frame, or the sum, goes
        const std::byte* local;  // this rank's contribution, unless it is stored; may be `to`, see ReduceFn
        bool forward;            // send `to` on to the next rank of the rail
    };
    Extents first;                  // frames to send before anything is received
    std::vector<Receive> receives;  // in the order in which the previous rank sends them
};

// Runs a schedule on this rank's rail, in its turn in lane kRail, which it passes. Every rank of the rail
// must run the schedule that matches.
Task run_ring(Context& context, RingSchedule schedule);

// What each cell of the rail owns: parts[position], the same lengths on every rank. `chunk`: bytes per frame.
//
// After reduce_scatter, `result` (cut like parts[own position]) holds the sum of everyone's parts[own
// position]; `sums` has the shape of parts and holds partial sums on the way (it may be parts itself).
RingSchedule ring_reduce_scatter(const Context& context, const std::vector<Extents>& parts,
                                 const std::vector<Extents>& sums, const Extents& result, size_t chunk);
// After all_gather, every rank holds parts[p] of position p, for all p.
RingSchedule ring_all_gather(const Context& context, const std::vector<Extents>& parts, size_t chunk);
// The one after the other, without a gap between them: `results` are cut like `parts`.
RingSchedule ring_all_reduce(const Context& context, const std::vector<Extents>& parts,
                             const std::vector<Extents>& results, size_t chunk);
// `result` of position `root` becomes the sum of everyone's `local`; `sum` takes partial sums and may be
// `local` itself. All of them are cut alike.
RingSchedule ring_reduce(const Context& context, int root, const Extents& local, const Extents& sum,
                         const Extents& result, size_t chunk);
// `data` of position `root` goes to all.
RingSchedule ring_broadcast(const Context& context, int root, const Extents& data, size_t chunk);

}  // namespace ring
