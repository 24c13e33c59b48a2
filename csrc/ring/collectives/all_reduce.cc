// all_reduce: reduce-scatter in the host, one ring per local rank between hosts, all-gather in the host.
#include <cstring>

#include "ring/base/config.h"
#include "ring/collectives/collectives.h"
#include "ring/collectives/host.h"
#include "ring/collectives/one_shot.h"
#include "ring/collectives/ring.h"

namespace ring {
namespace {

Extent slice_extent(const Context& context, std::byte* data, size_t count, size_t parts, size_t index) {
    const size_t element = context.element_bytes();
    const Slice slice = slice_of(count, parts, index, kGrainBytes / element);
    return {data + slice.begin * element, slice.count * element};
}

}  // namespace

Task all_reduce(Context& context) {
    const Layout& layout = context.layout;
    const bool one_cell = layout.cells() == 1;
    if (context.bytes() <= (one_cell ? config().host_small_bytes : config().ring_small_bytes)) {
        co_await one_shot(context);
        co_return;
    }
    co_await enter(context);
    // Inputs are only read; one type of extent serves both directions.
    auto* const input = static_cast<std::byte*>(const_cast<void*>(context.arguments->input));
    auto* const output = static_cast<std::byte*>(context.arguments->output);
    const size_t count = context.signature().count;
    const auto rails = static_cast<size_t>(layout.rails());

    std::vector<Extents> contributions;
    std::vector<Extents> slices;
    for (size_t j = 0; j < rails; ++j) {
        contributions.push_back({slice_extent(context, input, count, rails, j)});
        slices.push_back({slice_extent(context, output, count, rails, j)});
    }
    const Extents own = layout.on_rail() ? slices[layout.local_rank()] : Extents{};
    if (one_cell) {
        co_await host_reduce(context, contributions, own, context.divisor(), slices);
        co_return;
    }
    co_await host_reduce(context, contributions, own, 1);
    if (layout.on_rail()) {
        std::vector<Extents> parts;
        for (int position = 0; position < layout.cells(); ++position)
            parts.push_back(
                {slice_extent(context, own[0].data, own[0].bytes / context.element_bytes(),
                              static_cast<size_t>(layout.cells()), static_cast<size_t>(position))});
        co_await run_ring(context, ring_all_reduce(context, parts, context.divisor()));
    }
    co_await host_share(context, slices);
}

}  // namespace ring
