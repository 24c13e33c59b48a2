// all_reduce: reduce-scatter in the host, one rail per local rank between hosts, all-gather in the host.
#include <cstring>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host.h"
#include "ring/collectives/rail.h"

namespace ring {
namespace {

Extent slice_extent(std::byte* data, size_t element, size_t count, size_t parts, size_t index) {
    const Slice slice = slice_of(count, parts, index, kGrainBytes / element);
    return {data + slice.begin * element, slice.count * element};
}

}  // namespace

Task all_reduce(Context& context) {
    const Layout& layout = context.layout;
    const bool one_cell = layout.cells() == 1;
    const size_t element = context.element_bytes();
    const Slice piece =
        slice_of(context.signature().count, context.pieces, context.piece, kGrainBytes / element);
    // Inputs are only read; one type of extent serves both directions.
    auto* const input = static_cast<std::byte*>(const_cast<void*>(context.arguments->input));
    std::byte* const from = input + piece.begin * element;
    std::byte* const to = static_cast<std::byte*>(context.arguments->output) + piece.begin * element;
    const Extent whole{from, piece.count * element};
    const Extent sum{to, piece.count * element};
    if (one_cell && layout.local_size() == 2 && whole.bytes <= kExchangeBytes) {
        co_await context.turn(Lane::kHostIn);
        if (context.piece == 0) co_await enter(context);
        co_await host_exchange(context, whole, sum, context.divisor());
        context.pass(Lane::kHostIn);
        co_return;
    }

    const auto rails = static_cast<size_t>(layout.rails());

    std::vector<Extents> contributions;
    std::vector<Extents> slices;
    for (size_t j = 0; j < rails; ++j) {
        contributions.push_back({slice_extent(from, element, piece.count, rails, j)});
        slices.push_back({slice_extent(to, element, piece.count, rails, j)});
    }
    const Extents own = layout.on_rail() ? slices[layout.local_rank()] : Extents{};

    co_await context.turn(Lane::kHostIn);
    if (context.piece == 0) co_await enter(context);
    if (one_cell) {
        co_await host_reduce(context, contributions, own, context.divisor(), slices);
        context.pass(Lane::kHostIn);
        co_return;
    }
    co_await host_reduce(context, contributions, own, 1);
    context.pass(Lane::kHostIn);
    if (layout.on_rail()) {
        co_await rail_all_reduce(context, own[0]);
    } else {
        co_await skip(context, Lane::kRail);
    }
    co_await context.turn(Lane::kHostOut);
    co_await host_share(context, Lane::kHostOut, slices);
    context.pass(Lane::kHostOut);
}

}  // namespace ring
