// See ring.h.
#include "ring/collectives/ring.h"

#include <array>

#include "ring/base/config.h"

namespace ring {
namespace {

// Receives posted ahead: one arrives while one is reduced, and two more keep the socket from running dry.
constexpr size_t kWindow = 4;

// The frames that carry an extent list: at least one, so that every step of every rank shows its header.
Extents frames_of(const Context& context, const Extents& part) {
    const size_t chunk = config().chunk_bytes / context.element_bytes() * context.element_bytes();
    Extents frames;
    for (const Extent& extent : part) {
        size_t at = 0;
        do {
            const size_t bytes = std::min(chunk, extent.bytes - at);
            frames.push_back({extent.data + at, bytes});
            at += bytes;
        } while (at < extent.bytes);
    }
    if (frames.empty()) frames.push_back({nullptr, 0});
    return frames;
}

int modulo(int value, int n) {
    return ((value % n) + n) % n;
}

void append_gather(const Context& context, const std::vector<Extents>& parts, RingSchedule& schedule) {
    const int n = context.layout.cells();
    const int me = context.layout.my_cell_index();
    for (int step = 0; step < n - 1; ++step)
        for (const Extent& frame : frames_of(context, parts[modulo(me - 1 - step, n)]))
            schedule.receives.push_back(
                {RingSchedule::Action::kStore, frame.bytes, frame.data, nullptr, 1, step < n - 2});
}

}  // namespace

Task run_ring(Context& context, RingSchedule schedule) {
    const auto& receives = schedule.receives;
    size_t largest = 0;
    for (const auto& one : receives)
        if (one.action == RingSchedule::Action::kReduce) largest = std::max(largest, one.bytes);
    std::byte* const arrivals = context.scratch.take(kWindow * largest);
    const ReduceFn reduce = largest > 0 ? context.reduce() : nullptr;

    uint64_t last_sent = 0;
    for (const Extent& frame : schedule.first) last_sent = context.send_next(frame.data, frame.bytes);
    size_t posted = 0;
    std::array<uint64_t, kWindow> tickets{};
    for (size_t i = 0; i < receives.size(); ++i) {
        for (; posted < receives.size() && posted < i + kWindow; ++posted) {
            const auto& one = receives[posted];
            const bool reduces = one.action == RingSchedule::Action::kReduce;
            tickets[posted % kWindow] =
                context.recv_prev(reduces ? arrivals + (posted % kWindow) * largest : one.to, one.bytes);
        }
        ReceivedUpTo arrived(*context.prev, tickets[i % kWindow]);
        co_await until(arrived);
        const auto& one = receives[i];
        if (one.action == RingSchedule::Action::kReduce && one.bytes > 0) {
            const void* const sources[] = {arrivals + (i % kWindow) * largest, one.local};
            reduce(one.to, sources, 2, one.bytes / context.element_bytes(), one.divisor);
        }
        if (one.forward) last_sent = context.send_next(one.to, one.bytes);
    }
    SentUpTo all_sent(*context.next, last_sent);
    co_await until(all_sent);
}

RingSchedule ring_reduce_scatter(const Context& context, const std::vector<Extents>& parts,
                                 const std::vector<Extents>& sums, const Extents& result, size_t divisor) {
    const int n = context.layout.cells();
    const int me = context.layout.my_cell_index();
    RingSchedule schedule{frames_of(context, parts[modulo(me - 1, n)]), {}};
    for (int step = 0; step < n - 1; ++step) {
        const int position = modulo(me - 2 - step, n);
        const bool last = step == n - 2;
        const Extents local = frames_of(context, parts[position]);
        const Extents to = frames_of(context, last ? result : sums[position]);
        for (size_t i = 0; i < local.size(); ++i)
            schedule.receives.push_back({RingSchedule::Action::kReduce, local[i].bytes, to[i].data,
                                         local[i].data, last ? divisor : 1, !last});
    }
    return schedule;
}

RingSchedule ring_all_gather(const Context& context, const std::vector<Extents>& parts) {
    RingSchedule schedule{frames_of(context, parts[context.layout.my_cell_index()]), {}};
    append_gather(context, parts, schedule);
    return schedule;
}

RingSchedule ring_all_reduce(const Context& context, const std::vector<Extents>& parts, size_t divisor) {
    RingSchedule schedule =
        ring_reduce_scatter(context, parts, parts, parts[context.layout.my_cell_index()], divisor);
    // The part that is complete here is the first that the all-gather sends.
    for (size_t i =
             schedule.receives.size() - frames_of(context, parts[context.layout.my_cell_index()]).size();
         i < schedule.receives.size(); ++i)
        schedule.receives[i].forward = true;
    append_gather(context, parts, schedule);
    return schedule;
}

RingSchedule ring_broadcast(const Context& context, int root, const Extents& data) {
    const int n = context.layout.cells();
    const int me = context.layout.my_cell_index();
    const Extent nothing{nullptr, 0};
    if (me == root)
        return {frames_of(context, data), {{RingSchedule::Action::kStore, 0, nullptr, nullptr, 1, false}}};
    // The rank before the root sends it an empty frame at once, so that the root too sees what its neighbour
    // called.
    const bool last = modulo(me + 1, n) == root;
    RingSchedule schedule{last ? Extents{nothing} : Extents{}, {}};
    for (const Extent& frame : frames_of(context, data))
        schedule.receives.push_back(
            {RingSchedule::Action::kStore, frame.bytes, frame.data, nullptr, 1, !last});
    return schedule;
}

}  // namespace ring
