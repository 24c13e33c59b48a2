// See direct.h. The order is that of all_to_all: position p hears from p - d at step d, while p + d hears
// from it.
#include "ring/collectives/direct.h"

#include "ring/collectives/transfers.h"

namespace ring {

bool is_direct(const Context& context) {
    return context.layout.cells() > 1 && context.layout.largest_cell() == 1 &&
           context.partial_bytes() > context.element_bytes() &&
           context.plan->algorithm == RailAlgorithm::kRing;
}

Task direct_reduce(Context& context, Extents addends, std::byte* result) {
    const int n = context.layout.cells();
    const int me = context.position();
    const size_t bytes = addends[static_cast<size_t>(me)].bytes;
    const auto rank = [&](int distance) { return context.layout.rail_rank(context.position(distance)); };
    Transfers sends;
    for (int step = 1; step < n; ++step) {
        const Extent& addend = addends[static_cast<size_t>(context.position(step))];
        sends.push_back(context.send_message(rank(step), addend.data, addend.bytes));
    }
    std::byte* arrival = context.scratch.take(bytes * static_cast<size_t>(n - 1));
    std::vector<const void*> sources(static_cast<size_t>(n));
    sources[static_cast<size_t>(me)] = addends[static_cast<size_t>(me)].data;
    Transfers arrivals;
    for (int step = 1; step < n; ++step) {
        co_await make_room(arrivals);
        sources[static_cast<size_t>(context.position(-step))] = arrival;
        arrivals.push_back(context.receive_message(rank(-step), arrival, bytes));
        arrival += bytes;
    }
    co_await drain(arrivals, 0);
    const Reduction add = context.reduction(ReduceStage::kWhole);
    if (bytes > 0) add(result, sources.data(), sources.size(), bytes / add.out);
    co_await drain(sends, 0);
}

}  // namespace ring
