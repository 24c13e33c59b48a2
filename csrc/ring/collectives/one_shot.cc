// See one_shot.h.
//
// The buffers are double-buffered by operation. That suffices: a rank that is in operation k+2 has seen
// everyone in k+1, so everyone has ended k and reads its buffers no more.
#include "ring/collectives/one_shot.h"

#include <cstring>

#include "ring/collectives/ring.h"

namespace ring {
namespace {

// Sums `sources` in order, or, where there is nothing to sum (a barrier), does nothing.
void combine(const Context& context, void* to, const std::vector<const void*>& sources, size_t divisor) {
    if (context.bytes() == 0) return;
    context.reduce()(to, sources.data(), sources.size(), context.signature().count, divisor);
}

// The sums of all hosts, in order of hosts, by a ring all-gather; `sum` is this host's.
Task gather_sums(Context& context, const std::byte* sum, std::byte* all) {
    const size_t bytes = context.bytes();
    if (bytes > 0) std::memcpy(all + context.layout.my_cell_index() * bytes, sum, bytes);
    std::vector<Extents> parts;
    for (int position = 0; position < context.layout.cells(); ++position)
        parts.push_back({{all + position * bytes, bytes}});
    co_await run_ring(context, ring_all_gather(context, parts));
}

}  // namespace

Task one_shot(Context& context) {
    const size_t bytes = context.bytes();
    const auto* const input = static_cast<const std::byte*>(context.arguments->input);
    void* const output = context.arguments->output;
    const int cells = context.layout.cells();
    Segment* const segment = context.segment;

    const std::byte* host_sum = input;
    if (segment != nullptr) {
        const uint64_t base = context.phase;
        context.phase = base + (cells == 1 ? 1 : 2);
        const int me = segment->local_rank();
        if (bytes > 0) std::memcpy(segment->small(me, context.operation), input, bytes);
        segment->announce(context.operation, context.signature());
        segment->publish(base + 1);
        if (cells > 1 && me != 0) {
            PhaseReached result_there(*segment, base + 2, 0);
            co_await until(result_there);
            if (bytes > 0) std::memcpy(output, segment->result(0, context.operation), bytes);
            co_return;
        }
        PhaseReached all_there(*segment, base + 1);
        co_await until(all_there);
        check_announcements(context);
        std::vector<const void*> sources;
        for (int l = 0; l < segment->local_size(); ++l)
            sources.push_back(segment->small(l, context.operation));
        if (cells == 1) {
            combine(context, output, sources, context.divisor());
            co_return;
        }
        std::byte* const sum = context.scratch.take(bytes);
        combine(context, sum, sources, 1);
        host_sum = sum;
    }
    std::vector<const void*> sums{host_sum};
    if (cells > 1) {
        std::byte* const all = context.scratch.take(bytes * static_cast<size_t>(cells));
        co_await gather_sums(context, host_sum, all);
        sums.clear();
        for (int position = 0; position < cells; ++position) sums.push_back(all + position * bytes);
    }
    combine(context, output, sums, context.divisor());
    if (segment != nullptr) {
        if (bytes > 0) std::memcpy(segment->result(0, context.operation), output, bytes);
        segment->publish(context.phase);
    }
}

}  // namespace ring
