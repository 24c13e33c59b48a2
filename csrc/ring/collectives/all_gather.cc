// all_gather: each host gathers its own shares, each rail carries them round the hosts, each host hands out
// what came.
#include <cstring>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host.h"
#include "ring/collectives/ring.h"

namespace ring {

Task all_gather(Context& context) {
    const Layout& layout = context.layout;
    const size_t bytes = context.bytes();
    const auto share_of = [&](int rank) {
        return Extent{static_cast<std::byte*>(context.arguments->outputs[rank]), bytes};
    };
    co_await enter(context);

    void* const own = context.arguments->outputs[layout.rank()];
    if (bytes > 0 && own != context.arguments->input) std::memcpy(own, context.arguments->input, bytes);
    std::vector<Extents> local;
    for (const int rank : layout.my_cell()) local.push_back({share_of(rank)});
    co_await host_share(context, local);
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
        co_await run_ring(context, ring_all_gather(context, parts));
    }
    std::vector<Extents> remote(layout.rails());
    for (int j = 0; j < layout.rails(); ++j)
        for (int cell = 0; cell < layout.cells(); ++cell)
            if (cell != layout.my_cell_index())
                for (const Extent& share : shares_on_rail(cell, j)) remote[j].push_back(share);
    co_await host_share(context, remote);
}

}  // namespace ring
