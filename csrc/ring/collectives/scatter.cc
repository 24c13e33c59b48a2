// scatter: small shares through the carrier of each host, large ones straight to each rank (transfers.h).
#include <vector>

#include "ring/collectives/collectives.h"
#include "ring/collectives/transfers.h"
#include "ring/kernels/copy.h"

namespace ring {
namespace {

// Where the carrier puts the share of a local rank, for that rank to take.
std::byte* place_of(const Context& context, int local, int flags) {
    return context.segment->out_slot(local, flags, context.group.phase[flags], kCarriedBytes);
}

// What a carrier does: it puts the shares of its cell in place, its own in its output.
Task put_in_place(Context& context, int flags) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    Transfers receives;
    for (int l = 0; l < layout.local_size(); ++l) {
        const int rank = layout.my_cell()[l];
        const bool own = rank == layout.rank();
        void* const to = own ? called.output : place_of(context, l, flags);
        if (layout.rank() != root) {
            receives.push_back(context.receive_message(root, to, context.bytes()));
        } else if (own) {
            copy_share(to, called.inputs[rank], context.bytes());
        } else {
            copy_to_shared(to, called.inputs[rank], context.bytes());
        }
    }
    co_await drain(receives, 0);
}

// Within a cell, in its turn in `lane`.
Task hand_out(Context& context, Lane lane, int carrier) {
    const Layout& layout = context.layout;
    const int flags = host_lane(lane);
    if (context.segment == nullptr) {
        co_await put_in_place(context, flags);
        co_return;
    }
    Segment& segment = *context.segment;
    const uint64_t begun = context.group.phase[flags];
    if (layout.rank() == carrier) {
        co_await until(PhaseReached(segment, flags, begun));  // the places are free
        co_await put_in_place(context, flags);
    } else {
        co_await until(PhaseReachedBy(segment, layout.local_index(carrier), flags, begun + 1));
        copy(context.arguments->output, place_of(context, layout.local_rank(), flags), context.bytes());
    }
    context.group.phase[flags] = begun + 1;
    segment.publish(flags, begun + 1);
}

// The shares of other cells: to all cells at once, to the ranks of each one after the other.
Task send_far(Context& context, bool carried) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const size_t bytes = context.bytes();
    std::vector<Transfers> far(static_cast<size_t>(layout.cells()));
    for (size_t i = 0; i < static_cast<size_t>(layout.largest_cell()); ++i)
        for (int step = 1; step < layout.cells(); ++step) {
            const auto& cell = layout.cell(context.position(step));
            if (i >= cell.size()) continue;
            Transfers& sends = far[static_cast<size_t>(step)];
            if (bytes > kEagerBetweenHosts) co_await make_room(sends);
            sends.push_back(
                context.send_message(carried ? cell.front() : cell[i], called.inputs[cell[i]], bytes));
        }
    for (Transfers& sends : far) co_await drain(sends, 0);
}

}  // namespace

Task scatter(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const bool is_root = layout.rank() == root;
    const bool in_root_cell = layout.cell_of(root) == layout.my_cell_index();
    const int carrier = carrier_of(layout, layout.my_cell_index(), root);
    const bool carried = is_carried(context);
    const size_t bytes = context.bytes();

    co_await context.turn(Lane::kHostIn);
    auto entered = enter(context);
    // What the root has is ready as soon as it has entered; the others wait for all, to see what they called.
    if (!is_root) co_await entered;
    if (carried && in_root_cell) co_await hand_out(context, Lane::kHostIn, carrier);
    if (is_root) co_await entered;
    context.pass(Lane::kHostIn);
    co_await context.turn(Lane::kRail);
    // Messages find their receivers by the number of the operation, so the next one may go on at once.
    context.pass(Lane::kRail);

    Transfers near;
    if (!carried && !is_root) near.push_back(context.receive_message(root, called.output, bytes));
    if (!carried && is_root) {
        for (const int rank : layout.my_cell())
            if (rank != root) near.push_back(context.send_message(rank, called.inputs[rank], bytes));
        copy_share(called.output, called.inputs[root], bytes);
    }
    if (is_root) co_await send_far(context, carried);
    co_await drain(near, 0);
    co_await context.turn(Lane::kHostOut);
    if (carried && !in_root_cell) co_await hand_out(context, Lane::kHostOut, carrier);
    context.pass(Lane::kHostOut);
}

}  // namespace ring
