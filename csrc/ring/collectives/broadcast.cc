// broadcast: the root shares with its host, each rail carries its slice from host to host, each host shares
// the slices.
#include "ring/collectives/collectives.h"
#include "ring/collectives/host/stages.h"
#include "ring/collectives/rail.h"

namespace ring {
Task broadcast(Context& context) {
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const int root_cell = layout.cell_of(root);
    const bool in_root_cell = layout.my_cell_index() == root_cell;
    const size_t element = context.element_bytes();
    const Slice piece =
        slice_of(context.signature().count, context.pieces, context.piece, kGrainBytes / element);
    std::byte* const data = static_cast<std::byte*>(context.arguments->output) + piece.begin * element;

    co_await context.turn(Lane::kHostIn);
    if (context.piece == 0) co_await enter(context);
    if (in_root_cell) {
        std::vector<Extents> from_root(layout.local_size());
        for (int l = 0; l < layout.local_size(); ++l)
            if (layout.my_cell()[l] == root) from_root[l] = {{data, piece.count * element}};
        co_await context.host().share(context, Lane::kHostIn, from_root);
    }
    context.pass(Lane::kHostIn);
    if (layout.cells() == 1) co_return;

    std::vector<Extents> slices;
    for (int j = 0; j < layout.rails(); ++j) {
        const Slice slice = slice_of(piece.count, layout.rails(), j, kGrainBytes / element);
        slices.push_back({{data + slice.begin * element, slice.count * element}});
    }
    if (layout.on_rail()) {
        co_await rail_broadcast(context, root_cell, slices[layout.local_rank()]);
    } else {
        co_await skip(context, Lane::kRail);
    }
    co_await context.turn(Lane::kHostOut);
    if (!in_root_cell) co_await context.host().share(context, Lane::kHostOut, slices);
    context.pass(Lane::kHostOut);
}

}  // namespace ring
