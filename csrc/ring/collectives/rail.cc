// See rail.h.
#include "ring/collectives/rail.h"

#include "ring/collectives/hypercube.h"
#include "ring/collectives/ring.h"

namespace ring {
namespace {

// Chunks of whole elements.
size_t chunk_of(const Context& context, const RailPlan& plan) {
    return plan.chunk_bytes / context.element_bytes() * context.element_bytes();
}

}  // namespace

Task rail_all_reduce(Context& context, Extent data) {
    const RailPlan plan = context.group.tuning.plan(Collective::kAllReduce, data.bytes);
    const size_t chunk = chunk_of(context, plan);
    if (plan.algorithm == RailAlgorithm::kDoubling)
        return doubling_all_reduce(context, data.data, data.bytes, context.divisor());
    if (plan.algorithm == RailAlgorithm::kHalvingDoubling)
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

Task rail_broadcast(Context& context, int root, Extents data) {
    const RailPlan plan = context.group.tuning.plan(Collective::kBroadcast, total_bytes(data));
    const size_t chunk = chunk_of(context, plan);
    if (plan.algorithm == RailAlgorithm::kTree) return tree_broadcast(context, root, std::move(data), chunk);
    return run_ring(context, ring_broadcast(context, root, data, chunk));
}

Task rail_all_gather(Context& context, std::vector<Extents> parts) {
    const RailPlan plan = context.group.tuning.plan(Collective::kAllGather, total_bytes(parts[0]));
    const size_t chunk = chunk_of(context, plan);
    if (plan.algorithm == RailAlgorithm::kDoubling)
        return doubling_all_gather(context, std::move(parts), chunk);
    return run_ring(context, ring_all_gather(context, parts, chunk));
}

Task rail_reduce_scatter(Context& context, std::vector<Extents> parts, std::vector<Extents> sums,
                         Extents result) {
    const RailPlan plan = context.group.tuning.plan(Collective::kReduceScatter, total_bytes(parts[0]));
    const size_t chunk = chunk_of(context, plan);
    if (plan.algorithm == RailAlgorithm::kHalvingDoubling)
        return halving_reduce_scatter(context, std::move(parts), std::move(sums), std::move(result),
                                      context.divisor(), chunk);
    return run_ring(context, ring_reduce_scatter(context, parts, sums, result, context.divisor(), chunk));
}

}  // namespace ring
