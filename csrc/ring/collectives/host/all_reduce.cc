// See stages.h: two ranks exchange what is not large, else each rank owns a part.
#include "ring/collectives/host/exchange.h"
#include "ring/collectives/host/shared_memory.h"

namespace ring {

Task SharedMemoryStages::all_reduce(Context& context, Extent input, Extent output) const {
    const Layout& layout = context.layout;
    if (layout.local_size() == 2 && input.bytes <= kExchangeBytes)
        return host_exchange(context, input, output);
    const size_t element = context.element_bytes();
    const size_t count = input.bytes / element;
    const auto owners = static_cast<size_t>(layout.local_size());
    std::vector<Extents> contributions;
    std::vector<Extents> slices;
    for (size_t j = 0; j < owners; ++j) {
        contributions.push_back({slice_extent(input.data, element, count, owners, j)});
        slices.push_back({slice_extent(output.data, element, count, owners, j)});
    }
    const Extents own = slices[static_cast<size_t>(layout.local_rank())];
    return reduce(context, std::move(contributions), own, ReduceStage::kWhole, std::move(slices));
}

}  // namespace ring
