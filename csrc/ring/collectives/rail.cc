// See rail.h.
#include "ring/collectives/rail.h"

#include "ring/collectives/hypercube.h"
#include "ring/collectives/ring.h"

namespace ring {
namespace {

// What the group is told, if anything, instead of the plan's; a multiple of every element's size, as those
// are.
size_t chunk_of(const Context& context) {
    constexpr size_t kLargestElement = 16;
    const size_t fixed = context.group.config.chunk_bytes / kLargestElement * kLargestElement;
    return fixed != 0 ? fixed : context.plan->chunk_bytes;
}

}  // namespace

Task rail_all_reduce(Context& context, Extent data) {
    const size_t chunk = chunk_of(context);
    if (context.plan->algorithm == RailAlgorithm::kDoubling)
        return doubling_all_reduce(context, data.data, data.bytes, context.divisor());
    if (context.plan->algorithm == RailAlgorithm::kHalvingDoubling)
        return halving_all_reduce(context, data.data, data.bytes, context.divisor(), chunk);
    std::vector<Extents> parts;
    const size_t element = context.element_bytes();
    for (int position = 0; position < context.layout.cells(); ++position) {
        const Slice slice = slice_of(data.bytes / element, static_cast<size_t>(context.layout.cells()),
                                     static_cast<size_t>(position), kGrainBytes / element);
        parts.push_back({{data.data + slice.begin * element, slice.count * element}});
    }
    return run_ring(context, ring_all_reduce(context, parts, context.divisor(), chunk));
}

Task rail_reduce(Context& context, int root, Extents local, Extents sum, Extents result) {
    return run_ring(context,
                    ring_reduce(context, root, local, sum, result, context.divisor(), chunk_of(context)));
}

Task rail_broadcast(Context& context, int root, Extents data) {
    const size_t chunk = chunk_of(context);
    if (context.plan->algorithm == RailAlgorithm::kTree)
        return tree_broadcast(context, root, std::move(data), chunk);
    return run_ring(context, ring_broadcast(context, root, data, chunk));
}

Task rail_all_gather(Context& context, std::vector<Extents> parts) {
    const size_t chunk = chunk_of(context);
    if (context.plan->algorithm == RailAlgorithm::kDoubling)
        return doubling_all_gather(context, std::move(parts), chunk);
    return run_ring(context, ring_all_gather(context, parts, chunk));
}

Task rail_reduce_scatter(Context& context, std::vector<Extents> parts, std::vector<Extents> sums,
                         Extents result) {
    const size_t chunk = chunk_of(context);
    if (context.plan->algorithm == RailAlgorithm::kHalvingDoubling)
        return halving_reduce_scatter(context, std::move(parts), std::move(sums), std::move(result),
                                      context.divisor(), chunk);
    return run_ring(context, ring_reduce_scatter(context, parts, sums, result, context.divisor(), chunk));
}

}  // namespace ring
