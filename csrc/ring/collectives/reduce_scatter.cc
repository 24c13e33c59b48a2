// reduce_scatter: each host reduces its ranks' shards to the rail that carries them, each rail reduces them
// round the hosts, and where a host has more ranks than there are rails, the rail's rank hands the shards on.
//
// Over several hosts the shards pass in pieces, which bounds the temporary memory.
#include "ring/collectives/collectives.h"
#include "ring/collectives/direct.h"
#include "ring/collectives/host/stages.h"
#include "ring/collectives/rail.h"

namespace ring {
namespace {

constexpr size_t kScratchBytes = 1 << 20;  // for one piece of all shards of a rail

// A part of every shard, in bytes.
struct Piece {
    size_t offset;
    size_t bytes;
};

std::byte* shard(const Context& context, int rank, const Piece& piece) {
    // Inputs are only read; one type of extent serves both directions.
    return static_cast<std::byte*>(const_cast<void*>(context.arguments->inputs[rank])) + piece.offset;
}

// The shards on the fullest rail, the first.
size_t shards_on_rail(const Layout& layout) {
    const auto rails = static_cast<size_t>(layout.rails());
    size_t shards = 0;
    for (int cell = 0; cell < layout.cells(); ++cell)
        shards += (layout.cell(cell).size() + rails - 1) / rails;
    return shards;
}

// Between hosts of one rank each.
Task straight(Context& context, Piece piece) {
    Extents addends;
    for (int position = 0; position < context.layout.cells(); ++position)
        addends.push_back({shard(context, context.layout.rail_rank(position), piece), piece.bytes});
    co_await context.turn(Lane::kHostIn);
    co_await direct_reduce(context, addends,
                           static_cast<std::byte*>(context.arguments->output) + piece.offset);
    context.pass(Lane::kHostIn);
}

Task over_hosts(Context& context, Piece piece) {
    const Layout& layout = context.layout;
    const int rails = layout.rails();
    const int rail = layout.local_rank();  // this rank's, if it is on one
    const size_t element = context.element_bytes();
    const bool grows = context.partial_bytes() != element;
    const size_t partial_bytes = piece.bytes / element * context.partial_bytes();
    std::byte* const scratch = context.scratch.take(shards_on_rail(layout) * partial_bytes);

    const bool as_it_is = layout.local_size() == 1 && !grows;

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
            std::byte* const sum = scratch + host_sums.size() * partial_bytes;
            host_sums.push_back({sum, partial_bytes});
            sums[cell].push_back({sum, partial_bytes});
            local[cell].push_back({as_it_is ? input : sum, partial_bytes});
        }
    co_await context.turn(Lane::kHostIn);
    if (context.piece == 0) co_await enter(context);
    if (!as_it_is) co_await context.host().reduce(context, contributions, host_sums, ReduceStage::kFirst);
    context.pass(Lane::kHostIn);

    auto* const output = static_cast<std::byte*>(context.arguments->output) + piece.offset;
    const int me = layout.my_cell_index();
    Extents result;  // of this rank, and of those that it hands theirs on to
    if (layout.on_rail()) {
        result = sums[me];
        if (grows)
            result = cut_alike(context.scratch.take(result.size() * piece.bytes), result, element,
                               context.partial_bytes());
        result[0].data = output;
        co_await rail_reduce_scatter(context, local, sums, result);
    } else {
        co_await skip(context, Lane::kRail);
    }
    co_await context.turn(Lane::kHostOut);
    if (layout.local_size() > rails) {
        // Rail j's rank holds the shards of local ranks j + rails, j + 2 rails, ...; each takes only its own.
        std::vector<Extents> handed(rails);
        for (int l = rails; l < layout.local_size(); ++l) {
            const int j = l % rails;
            std::byte* to = l == layout.local_rank() ? output : nullptr;
            if (j == rail) to = result[l / rails].data;
            handed[j].push_back({to, piece.bytes});
        }
        co_await context.host().share(context, Lane::kHostOut, handed, Wanted::kBySome);
    }
    context.pass(Lane::kHostOut);
}

}  // namespace

size_t reduce_scatter_pieces(const Context& context) {
    const Layout& layout = context.layout;
    if (layout.cells() == 1) return 1;
    const size_t bytes =
        context.signature().count * (is_direct(context) ? context.element_bytes() : context.partial_bytes());
    const size_t bounded = (bytes * shards_on_rail(layout) + kScratchBytes - 1) / kScratchBytes;
    return std::max({size_t{1}, bounded, pieces_of_plan(context)});
}

Task reduce_scatter(Context& context) {
    const Layout& layout = context.layout;
    const size_t element = context.element_bytes();
    const Slice slice =
        slice_of(context.signature().count, context.pieces, context.piece, kGrainBytes / element);
    const Piece piece{slice.begin * element, slice.count * element};
    if (is_direct(context)) {
        co_await straight(context, piece);
        co_return;
    }
    if (layout.cells() > 1) {
        co_await over_hosts(context, piece);
        co_return;
    }
    std::vector<Extents> contributions;
    for (const int rank : layout.my_cell())
        contributions.push_back({{shard(context, rank, piece), piece.bytes}});
    Extents result{{static_cast<std::byte*>(context.arguments->output), piece.bytes}};
    co_await context.turn(Lane::kHostIn);
    co_await enter(context);
    co_await context.host().reduce(context, contributions, result, ReduceStage::kWhole);
    context.pass(Lane::kHostIn);
}

}  // namespace ring
