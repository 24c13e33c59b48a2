// See ring.h.
#include "ring/collectives/ring.h"

#include <algorithm>
#include <array>

namespace ring {
namespace {

// Receives posted ahead of a reduction: one arrives while one is reduced, and two more keep the socket from
// running dry. Those that need no room of ours are all posted at once.
constexpr size_t kWindow = 4;

void append_gather(const Context& context, const std::vector<Extents>& parts, size_t chunk,
                   RingSchedule& schedule) {
    const int n = context.layout.cells();
    for (int step = 0; step < n - 1; ++step)
        for (const Extent& frame : frames_of(parts[context.position(-1 - step)], chunk))
            schedule.receives.push_back(
                {RingSchedule::Action::kStore, frame.bytes, frame.data, nullptr, step < n - 2});
}

// How the results of partial sums are cut, so that each frame of these has one of theirs.
size_t result_chunk(const Context& context, size_t chunk) {
    return chunk / context.partial_bytes() * context.element_bytes();
}

}  // namespace

Task run_ring(Context& context, RingSchedule schedule) {
    const auto& receives = schedule.receives;
    size_t largest = 0;
    size_t forwards_end = 0;  // one past the last receive that is forwarded
    for (size_t i = 0; i < receives.size(); ++i) {
        if (receives[i].action != RingSchedule::Action::kStore)
            largest = std::max(largest, receives[i].bytes);
        if (receives[i].forward) forwards_end = i + 1;
    }
    std::byte* const arrivals = context.scratch.take(kWindow * largest);
    const Reduction next_stage = context.reduction(ReduceStage::kNext);
    const Reduction last_stage = context.reduction(ReduceStage::kLast);
    const int next = context.position(1);
    const int prev = context.position(-1);

    co_await context.turn(Lane::kRail);
    uint64_t last_sent = 0;
    for (const Extent& frame : schedule.first) last_sent = context.send(next, frame.data, frame.bytes);
    size_t posted = 0;
    uint64_t first_ticket = 0;
    for (size_t i = 0; i < receives.size(); ++i) {
        for (; posted < receives.size(); ++posted) {
            const auto& one = receives[posted];
            const bool reduces = one.action != RingSchedule::Action::kStore;
            if (reduces && posted >= i + kWindow) break;
            const uint64_t ticket =
                context.receive(prev, reduces ? arrivals + (posted % kWindow) * largest : one.to, one.bytes);
            if (posted == 0) first_ticket = ticket;
        }
        if (posted == receives.size() && i >= forwards_end && context.lanes_passed == 1)
            context.pass(Lane::kRail);
        co_await until(ReceivedUpTo(context.link(prev), first_ticket + i));
        const auto& one = receives[i];
        size_t bytes = one.bytes;
        if (one.action != RingSchedule::Action::kStore) {
            const Reduction& add = one.action == RingSchedule::Action::kReduce ? next_stage : last_stage;
            const void* const sources[] = {arrivals + (i % kWindow) * largest, one.local};
            if (one.bytes > 0) add(one.to, sources, 2, one.bytes / add.in);
            bytes = one.bytes / add.in * add.out;
        }
        if (one.forward) last_sent = context.send(next, one.to, bytes);
    }
    if (context.lanes_passed == 1) context.pass(Lane::kRail);
    co_await until(SentUpTo(context.link(next), last_sent));
}

RingSchedule ring_reduce_scatter(const Context& context, const std::vector<Extents>& parts,
                                 const std::vector<Extents>& sums, const Extents& result, size_t chunk) {
    const int n = context.layout.cells();
    RingSchedule schedule{frames_of(parts[context.position(-1)], chunk), {}};
    for (int step = 0; step < n - 1; ++step) {
        const int position = context.position(-2 - step);
        const bool last = step == n - 2;
        const Extents local = frames_of(parts[position], chunk);
        const Extents to =
            last ? frames_of(result, result_chunk(context, chunk)) : frames_of(sums[position], chunk);
        for (size_t i = 0; i < local.size(); ++i)
            schedule.receives.push_back(
                {last ? RingSchedule::Action::kComplete : RingSchedule::Action::kReduce, local[i].bytes,
                 to[i].data, local[i].data, !last});
    }
    return schedule;
}

RingSchedule ring_all_gather(const Context& context, const std::vector<Extents>& parts, size_t chunk) {
    RingSchedule schedule{frames_of(parts[context.position()], chunk), {}};
    append_gather(context, parts, chunk, schedule);
    return schedule;
}

RingSchedule ring_all_reduce(const Context& context, const std::vector<Extents>& parts,
                             const std::vector<Extents>& results, size_t chunk) {
    RingSchedule schedule = ring_reduce_scatter(context, parts, parts, results[context.position()], chunk);
    // The part that is complete here is the first that the all-gather sends.
    for (auto& receive : schedule.receives) receive.forward = true;
    append_gather(context, results, result_chunk(context, chunk), schedule);
    return schedule;
}

RingSchedule ring_reduce(const Context& context, int root, const Extents& local, const Extents& sum,
                         const Extents& result, size_t chunk) {
    const Extent nothing{nullptr, 0};
    // The rank after the root begins. It gets an empty frame of the root, so that it too sees what its
    // neighbour called.
    if (context.position(-1) == root)
        return {frames_of(local, chunk), {{RingSchedule::Action::kStore, 0, nullptr, nullptr, false}}};
    const bool last = context.position() == root;
    RingSchedule schedule{last ? Extents{nothing} : Extents{}, {}};
    const Extents own = frames_of(local, chunk);
    const Extents to = last ? frames_of(result, result_chunk(context, chunk)) : frames_of(sum, chunk);
    for (size_t i = 0; i < own.size(); ++i)
        schedule.receives.push_back({last ? RingSchedule::Action::kComplete : RingSchedule::Action::kReduce,
                                     own[i].bytes, to[i].data, own[i].data, !last});
    return schedule;
}

RingSchedule ring_broadcast(const Context& context, int root, const Extents& data, size_t chunk) {
    const Extent nothing{nullptr, 0};
    if (context.position() == root)
        return {frames_of(data, chunk), {{RingSchedule::Action::kStore, 0, nullptr, nullptr, false}}};
    // The rank before the root sends it an empty frame at once, so that the root too sees what its neighbour
    // called.
    const bool last = context.position(1) == root;
    RingSchedule schedule{last ? Extents{nothing} : Extents{}, {}};
    for (const Extent& frame : frames_of(data, chunk))
        schedule.receives.push_back({RingSchedule::Action::kStore, frame.bytes, frame.data, nullptr, !last});
    return schedule;
}

}  // namespace ring
