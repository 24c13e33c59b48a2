// all_to_all: each share goes straight from the rank that has it to the one that gets it, once over the link
// of each host.
//
// Host h hears from host h - d at step d, while host h + d hears from it: the "pairwise exchange" of Thakur,
// Rabenseifner and Gropp (2005); and the ranks of a host take turns.
#include <vector>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host/all_to_all.h"
#include "ring/collectives/link_turns.h"
#include "ring/collectives/transfers.h"

namespace ring {
namespace {

// Every other rank of the cell, then those of other cells in the order of steps: from this rank's cell on in
// `direction` (1 or -1), and in each cell from this rank's local rank on.
struct Partners {
    std::vector<int> near;
    std::vector<std::vector<int>> far;  // by cell
};

Partners partners_of(const Layout& layout, int direction) {
    Partners partners;
    for (const int rank : layout.my_cell())
        if (rank != layout.rank()) partners.near.push_back(rank);
    for (int step = 1; step < layout.cells(); ++step) {
        const auto& cell =
            layout.cell((layout.my_cell_index() + direction * step + layout.cells()) % layout.cells());
        const auto ranks = static_cast<int>(cell.size());
        auto& far = partners.far.emplace_back();
        for (int i = 0; i < ranks; ++i)
            far.push_back(cell[((layout.local_rank() + direction * i) % ranks + ranks) % ranks]);
    }
    return partners;
}

Task far_all_to_all(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const size_t element = context.element_bytes();
    const Partners to = partners_of(layout, 1);
    const Partners from = partners_of(layout, -1);
    const auto send = [&](int rank) {
        return context.send_message(rank, called.inputs[rank], called.input_counts[rank] * element);
    };
    const auto receive = [&](int rank) {
        return context.receive_message(rank, called.outputs[rank], called.output_counts[rank] * element);
    };
    auto part = LinkTurns::Part::kNone;
    for (const auto& cell : from.far)
        for (const int rank : cell)
            if (called.output_counts[rank] * element > kEagerBetweenHosts)
                part = LinkTurns::Part::kTakesTurns;

    co_await context.turn(Lane::kHostIn);
    co_await enter(context, &part, sizeof(part));
    LinkTurns turns(context.segment, context.operation, context.group.config.streams);
    context.pass(Lane::kHostIn);
    co_await context.turn(Lane::kRail);
    turns.begin(context.group.turns, from.far.size());
    if (!turns.needed()) context.pass(Lane::kRail);

    Transfers near;
    Transfers far;
    Transfers sends;
    for (const int rank : from.near) near.push_back(receive(rank));
    for (const int rank : to.near) sends.push_back(send(rank));
    for (const auto& cell : to.far)
        for (const int rank : cell) sends.push_back(send(rank));
    const int me = layout.rank();
    copy_share(called.outputs[me], called.inputs[me], called.input_counts[me] * element);
    for (size_t round = 0; round < from.far.size(); ++round) {
        if (turns.needed()) co_await until(turns.turn(round));
        for (const int rank : from.far[round]) {
            co_await make_room(far);
            far.push_back(receive(rank));
        }
        if (!turns.needed()) continue;
        co_await make_room(far);
        turns.pass(round);
    }
    if (turns.needed()) context.pass(Lane::kRail);
    co_await drain(far, 0);
    co_await drain(near, 0);
    co_await drain(sends, 0);
}

}  // namespace

Task all_to_all(Context& context) {
    const bool one_host = context.layout.cells() == 1 && context.segment != nullptr;
    return one_host ? host_all_to_all(context) : far_all_to_all(context);
}

}  // namespace ring
