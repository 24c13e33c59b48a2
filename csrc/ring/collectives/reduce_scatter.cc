// reduce_scatter: each host reduces its ranks' shards to the rail that carries them, each rail reduces them
// round the hosts, and where a host has more ranks than there are rails, the rail's rank hands the shards on.
//
// Over several hosts the shards pass in pieces, which bounds the temporary memory.
#include "ring/collectives/collectives.h"
#include "ring/collectives/host.h"
#include "ring/collectives/ring.h"

namespace ring {
namespace {

constexpr size_t kScratchBytes = 1 << 20;  // for one piece of all shards of a rail
// A piece, [offset, offset + bytes) of every shard.
struct Piece {
    size_t offset;
    size_t bytes;
};

std::byte* shard(const Context& context, int rank, const Piece& piece) {
    // Inputs are only read; one type of extent serves both directions.
    return static_cast<std::byte*>(const_cast<void*>(context.arguments->inputs[rank])) + piece.offset;
}

Task reduce_piece(Context& context, Piece piece, std::byte* scratch) {
    const Layout& layout = context.layout;
    const int rails = layout.rails();
    const int rail = layout.local_rank();  // this rank's, if it is on one

    // What this rank contributes to rail j, and where rail j's rank puts the sums of this host.
    std::vector<Extents> contributions(rails);
    Extents host_sums;
    std::vector<Extents> local(layout.cells());
    std::vector<Extents> sums(layout.cells());
    for (int cell = 0; cell < layout.cells(); ++cell)
        for (size_t l = 0; l < layout.cell(cell).size(); ++l) {
            std::byte* const input = shard(context, layout.cell(cell)[l], piece);
            const int j = static_cast<int>(l) % rails;
            contributions[j].push_back({input, piece.bytes});
            if (j != rail) continue;
            std::byte* const sum = scratch + host_sums.size() * piece.bytes;
            host_sums.push_back({sum, piece.bytes});
            sums[cell].push_back({sum, piece.bytes});
            local[cell].push_back({layout.local_size() > 1 ? sum : input, piece.bytes});
        }
    if (layout.local_size() > 1) co_await host_reduce(context, contributions, host_sums, 1);

    auto* const output = static_cast<std::byte*>(context.arguments->output) + piece.offset;
    const int me = layout.my_cell_index();
    if (layout.on_rail()) {
        Extents result = sums[me];
        result[0].data = output;
        co_await run_ring(context, ring_reduce_scatter(context, local, sums, result, context.divisor()));
    }
    if (layout.local_size() > rails) {
        // Rail j's rank holds the shards of local ranks j + rails, j + 2 rails, ...; each takes only its own.
        std::vector<Extents> handed(rails);
        for (int l = rails; l < layout.local_size(); ++l) {
            const int j = l % rails;
            std::byte* to = l == layout.local_rank() ? output : nullptr;
            if (j == rail) to = sums[me][l / rails].data;
            handed[j].push_back({to, piece.bytes});
        }
        co_await host_share(context, handed);
    }
}

}  // namespace

Task reduce_scatter(Context& context) {
    const Layout& layout = context.layout;
    const size_t bytes = context.bytes();
    co_await enter(context);
    if (layout.cells() == 1) {
        std::vector<Extents> contributions;
        for (const int rank : layout.my_cell())
            contributions.push_back({{shard(context, rank, {0, bytes}), bytes}});
        Extents result{{static_cast<std::byte*>(context.arguments->output), bytes}};
        co_await host_reduce(context, contributions, result, context.divisor());
        co_return;
    }
    size_t shards = 0;  // on the fullest rail, the first
    for (int cell = 0; cell < layout.cells(); ++cell)
        shards += (layout.cell(cell).size() + layout.rails() - 1) / layout.rails();
    const size_t piece = std::max(kGrainBytes, kScratchBytes / shards / kGrainBytes * kGrainBytes);
    std::byte* const sums = context.scratch.take(shards * std::min(piece, bytes));
    size_t offset = 0;
    do {
        // The scratch of one piece's ring is free again with its end.
        const Scratch::Mark mark = context.scratch.mark();
        co_await reduce_piece(context, {offset, std::min(piece, bytes - offset)}, sums);
        context.scratch.release(mark);
        offset += piece;
    } while (offset < bytes);
}

}  // namespace ring
