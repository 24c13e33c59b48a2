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

Task rail_all_reduce(Context& context, Extent partial, std::byte* result) {
    const size_t chunk = chunk_of(context);
    const size_t element = context.element_bytes();
    const size_t partial_element = context.partial_bytes();
    const size_t count = partial.bytes / partial_element;
    if (context.plan->algorithm == RailAlgorithm::kDoubling)
        return doubling_all_reduce(context, partial.data, result, count);
    if (context.plan->algorithm == RailAlgorithm::kHalvingDoubling)
        return halving_all_reduce(context, partial, result, chunk);
    std::vector<Extents> parts;
    std::vector<Extents> results;
    for (int position = 0; position < context.layout.cells(); ++position) {
        const Slice slice = slice_of(count, static_cast<size_t>(context.layout.cells()),
                                     static_cast<size_t>(position), kGrainBytes / element);
        parts.push_back({{partial.data + slice.begin * partial_element, slice.count * partial_element}});
        results.push_back({{result + slice.begin * element, slice.count * element}});
    }
    return run_ring(context, ring_all_reduce(context, parts, results, chunk));
}

Task rail_reduce(Context& context, int root, Extents local, Extents sum, Extents result) {
    return run_ring(context, ring_reduce(context, root, local, sum, result, chunk_of(context)));
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
        return halving_reduce_scatter(context, std::move(parts), std::move(sums), std::move(result), chunk);
    return run_ring(context, ring_reduce_scatter(context, parts, sums, result, chunk));
}

}  // namespace ring
