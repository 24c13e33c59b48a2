// reduce: each host reduces its slices, each rail reduces its slice from host to host towards the root's,
// whose host hands the slices to the root.
//
// Over several hosts the tensor passes in pieces, which bounds the memory for partial sums.
#include <algorithm>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host/stages.h"
#include "ring/collectives/rail.h"

namespace ring {
namespace {

constexpr size_t kScratchBytes = 1 << 20;  // for one piece of one rail

}  // namespace

size_t reduce_pieces(const Context& context) {
    const Layout& layout = context.layout;
    if (layout.cells() == 1) return 1;
    const size_t bytes = context.signature().count * context.partial_bytes();
    const size_t of_all_rails = kScratchBytes * static_cast<size_t>(layout.rails());
    return std::max({size_t{1}, (bytes + of_all_rails - 1) / of_all_rails, pieces_of_plan(context)});
}

Task reduce(Context& context) {
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const int root_cell = layout.cell_of(root);
    const bool is_root = layout.rank() == root;
    const bool one_cell = layout.cells() == 1;
    const size_t element = context.element_bytes();
    const Slice piece =
        slice_of(context.signature().count, context.pieces, context.piece, kGrainBytes / element);
    // Inputs are only read; one type of extent serves both directions.
    auto* const input = static_cast<std::byte*>(const_cast<void*>(context.arguments->input));
    auto* const output = is_root ? static_cast<std::byte*>(context.arguments->output) : nullptr;

    const auto rails = static_cast<size_t>(layout.rails());
    std::vector<Extents> contributions;
    std::vector<Extents> results;  // on the root; elsewhere nobody wants them
    for (size_t j = 0; j < rails; ++j) {
        const Slice slice = slice_of(piece.count, rails, j, kGrainBytes / element);
        const size_t at = (piece.begin + slice.begin) * element;
        contributions.push_back({{input + at, slice.count * element}});
        results.push_back({{is_root ? output + at : nullptr, slice.count * element}});
    }
    const auto mine = static_cast<size_t>(layout.local_rank());

    co_await context.turn(Lane::kHostIn);
    if (context.piece == 0) co_await enter(context);
    if (one_cell) {
        co_await context.host().reduce(context, contributions, results[mine], ReduceStage::kWhole, results);
        context.pass(Lane::kHostIn);
        co_return;
    }
    const size_t partial_element = context.partial_bytes();
    const bool grows = partial_element != element;
    Extents sum;     // of this host, then of the rail so far
    Extents result;  // of all; where it belongs at once if this rank is the root
    if (layout.on_rail()) {
        const size_t count = results[mine][0].bytes / element;
        sum = {{context.scratch.take(count * partial_element), count * partial_element}};
        result = is_root ? results[mine] : sum;
        if (grows && !is_root) result = {{context.scratch.take(count * element), count * element}};
    }
    const bool as_it_is = layout.local_size() == 1 && !grows;
    if (!as_it_is) co_await context.host().reduce(context, contributions, sum, ReduceStage::kFirst);
    context.pass(Lane::kHostIn);
    if (layout.on_rail()) {
        co_await rail_reduce(context, root_cell, as_it_is ? contributions[mine] : sum, sum, result);
        if (!is_root) results[mine] = result;
    } else {
        co_await skip(context, Lane::kRail);
    }
    co_await context.turn(Lane::kHostOut);
    if (layout.my_cell_index() == root_cell)
        co_await context.host().share(context, Lane::kHostOut, results, Wanted::kBySome);
    context.pass(Lane::kHostOut);
}

}  // namespace ring
