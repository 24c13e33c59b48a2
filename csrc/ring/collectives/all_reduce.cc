// all_reduce: reduce-scatter in the host, one rail per local rank between hosts, all-gather in the host. A
// small one goes through one rank of each host (one_shot.h).
//
// Where partial sums are larger than elements, the tensor passes in pieces, which bounds the memory for them,
// or for the addends that are added up instead (direct.h).
#include <algorithm>

#include "ring/collectives/collectives.h"
#include "ring/collectives/direct.h"
#include "ring/collectives/host/stages.h"
#include "ring/collectives/one_shot.h"
#include "ring/collectives/rail.h"

namespace ring {
namespace {

// For the partial sums of one piece on one rail, where these need memory of their own; or for addends.
constexpr size_t kScratchBytes = 4 << 20;

// Between hosts of one rank each: position p adds up part p, and then has it for the others.
Task straight(Context& context, std::byte* from, std::byte* to, size_t count) {
    const auto parts = static_cast<size_t>(context.layout.cells());
    Extents addends;
    std::vector<Extents> sums;
    for (size_t p = 0; p < parts; ++p) {
        addends.push_back(slice_extent(from, context.element_bytes(), count, parts, p));
        sums.push_back({slice_extent(to, context.element_bytes(), count, parts, p)});
    }
    co_await context.turn(Lane::kHostIn);
    co_await direct_reduce(context, addends, sums[static_cast<size_t>(context.position())][0].data);
    context.pass(Lane::kHostIn);
    co_await rail_all_gather(context, sums);
}

Task in_stages(Context& context) {
    const Layout& layout = context.layout;
    const size_t element = context.element_bytes();
    const Slice piece =
        slice_of(context.signature().count, context.pieces, context.piece, kGrainBytes / element);
    // Inputs are only read; one type of extent serves both directions.
    auto* const input = static_cast<std::byte*>(const_cast<void*>(context.arguments->input));
    std::byte* const from = input + piece.begin * element;
    std::byte* const to = static_cast<std::byte*>(context.arguments->output) + piece.begin * element;
    if (layout.cells() == 1) {
        co_await context.turn(Lane::kHostIn);
        if (context.piece == 0) co_await enter(context);
        co_await context.host().all_reduce(context, {from, piece.count * element},
                                           {to, piece.count * element});
        context.pass(Lane::kHostIn);
        co_return;
    }
    if (is_direct(context)) {
        co_await straight(context, from, to, piece.count);
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
    Extents partial = own;
    const size_t partial_element = context.partial_bytes();
    if (partial_element != element && layout.on_rail()) {
        const size_t count = own[0].bytes / element;
        partial = {{context.scratch.take(count * partial_element), count * partial_element}};
    }
    co_await context.host().reduce(context, contributions, partial, ReduceStage::kFirst);
    context.pass(Lane::kHostIn);
    if (layout.on_rail()) {
        co_await rail_all_reduce(context, partial[0], own[0].data);
    } else {
        co_await skip(context, Lane::kRail);
    }
    co_await context.turn(Lane::kHostOut);
    co_await context.host().share(context, Lane::kHostOut, slices);
    context.pass(Lane::kHostOut);
}

}  // namespace

size_t all_reduce_pieces(const Context& context) {
    if (is_one_shot(context)) return 1;
    const size_t pieces = pieces_of_plan(context);
    if (context.layout.cells() == 1 || context.partial_bytes() == context.element_bytes()) return pieces;
    const size_t of_all_rails = kScratchBytes * static_cast<size_t>(context.layout.rails());
    const size_t bytes =
        context.signature().count * (is_direct(context) ? context.element_bytes() : context.partial_bytes());
    return std::max(pieces, (bytes + of_all_rails - 1) / of_all_rails);
}

Task all_reduce(Context& context) {
    return is_one_shot(context) ? one_shot(context) : in_stages(context);
}

}  // namespace ring
