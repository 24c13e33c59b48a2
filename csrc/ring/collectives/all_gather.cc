// all_gather: each host gathers its own shares, each rail carries them round the hosts, each host hands out
// what came.
#include <cstring>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host/stages.h"
#include "ring/collectives/rail.h"

namespace ring {

Task all_gather(Context& context) {
    const Layout& layout = context.layout;
    const size_t element = context.element_bytes();
    const Arguments& called = *context.arguments;
    // This piece of a rank's share.
    const auto slice_of_share = [&](int rank) {
        const uint64_t count =
            called.signature.uneven != 0 ? called.output_counts[rank] : called.signature.count;
        return slice_of(count, context.pieces, context.piece, kGrainBytes / element);
    };
    const auto share_of = [&](int rank) {
        const Slice slice = slice_of_share(rank);
        return Extent{static_cast<std::byte*>(called.outputs[rank]) + slice.begin * element,
                      slice.count * element};
    };
    co_await context.turn(Lane::kHostIn);
    if (context.piece == 0) co_await enter(context);
    const auto* const input =
        static_cast<const std::byte*>(called.input) + slice_of_share(layout.rank()).begin * element;
    const Extent own = share_of(layout.rank());
    if (own.bytes > 0 && own.data != input) std::memcpy(own.data, input, own.bytes);
    std::vector<Extents> local;
    for (const int rank : layout.my_cell()) local.push_back({share_of(rank)});
    co_await context.host().share(context, Lane::kHostIn, local);
    context.pass(Lane::kHostIn);
    if (layout.cells() == 1) co_return;

    // Rail j carries the shares of the ranks whose local rank is j modulo the number of rails.
    const auto shares_on_rail = [&](int cell, int rail) {
        Extents shares;
        for (size_t l = rail; l < layout.cell(cell).size(); l += layout.rails())
            shares.push_back(share_of(layout.cell(cell)[l]));
        return shares;
    };
    if (layout.on_rail()) {
        std::vector<Extents> parts;
        for (int cell = 0; cell < layout.cells(); ++cell)
            parts.push_back(shares_on_rail(cell, layout.local_rank()));
        co_await rail_all_gather(context, parts);
    } else {
        co_await skip(context, Lane::kRail);
    }
    std::vector<Extents> remote(layout.rails());
    for (int j = 0; j < layout.rails(); ++j)
        for (int cell = 0; cell < layout.cells(); ++cell)
            if (cell != layout.my_cell_index())
                for (const Extent& share : shares_on_rail(cell, j)) remote[j].push_back(share);
    co_await context.turn(Lane::kHostOut);
    co_await context.host().share(context, Lane::kHostOut, remote);
    context.pass(Lane::kHostOut);
}

}  // namespace ring
