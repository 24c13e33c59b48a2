// scatter: shares through the carrier of each host, or straight to each rank (transfers.h).
#include <algorithm>
#include <cstddef>
#include <vector>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host/offers.h"
#include "ring/collectives/transfers.h"
#include "ring/kernels/copy.h"

namespace ring {
namespace {

// Whether the shares of a cell go through its carrier. Up to here the slots of a rank hold all of a share, so
// no chunk waits for another one to be taken; in the root's own cell, where nothing is slower than a copy,
// larger shares always go faster straight.
bool is_carried(const Context& context, int cell) {
    const Layout& layout = context.layout;
    const bool near = cell == layout.cell_of(context.signature().root);
    return layout.largest_cell() > 1 &&
           (context.bytes() <= kStagingBytes || (!near && context.group.tuning.carry_large()));
}

std::byte* slot_of(const Context& context, int local, int flags, uint64_t phase) {
    // Small shares have small slots, near one another, which stay in cache.
    constexpr size_t kSmallSlot = 16 << 10;
    return context.segment->out_slot(local, flags, phase,
                                     context.bytes() <= kSmallSlot ? kSmallSlot : kCarriedChunk);
}

// What the root does in its own cell: it puts each chunk into the slots of the local ranks, its own into its
// output.
void put(Context& context, int flags) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const uint64_t base = context.group.phase[flags];
    const size_t bytes = context.bytes();
    copy_share(called.output, called.inputs[layout.rank()], bytes);
    if (context.segment == nullptr) return;
    for (size_t k = 0; k < carried_chunks(bytes); ++k) {
        for (int l = 0; l < layout.local_size(); ++l) {
            const int rank = layout.my_cell()[l];
            if (rank == layout.rank()) continue;
            const auto chunk = carried_chunk(static_cast<const std::byte*>(called.inputs[rank]), bytes, k);
            copy_to_shared(slot_of(context, l, flags, base + k), chunk.data(), chunk.size());
        }
        context.segment->publish(flags, base + k + 1);
    }
}

// What the carrier of another cell does: it receives each chunk of its cell where it belongs, as soon as the
// slots are free again.
Task receive_chunks(Context& context, int flags) {
    const Layout& layout = context.layout;
    const uint64_t base = context.group.phase[flags];
    const size_t chunks = carried_chunks(context.bytes());
    const auto locals = static_cast<size_t>(layout.local_size());
    Transfers receives;
    for (size_t posted = 0, k = 0; k < chunks; ++k) {
        for (; posted < std::min(chunks, std::max(kCarriedSlots, k + kCarriedAhead)); ++posted) {
            if (posted >= kCarriedSlots && context.segment != nullptr)
                co_await until(PhaseReached(*context.segment, flags, base + posted + 1 - kCarriedSlots));
            for (int l = 0; l < layout.local_size(); ++l) {
                const auto own = carried_chunk(static_cast<std::byte*>(context.arguments->output),
                                               context.bytes(), posted);
                std::byte* const to =
                    l == layout.local_rank() ? own.data() : slot_of(context, l, flags, base + posted);
                receives.push_back(context.receive_message(context.signature().root, to, own.size()));
            }
        }
        co_await drain(receives, receives.size() - locals);
        if (context.segment != nullptr) context.segment->publish(flags, base + k + 1);
    }
}

// Within a cell, in its turn in `lane`.
//
// Nomenclature: each share is cut into K *chunks*. The carrier puts, or receives, chunk k of all local ranks
// into their slots and publishes, while these copy chunk k-1 out of them.
Task hand_out(Context& context, Lane lane, int carrier) {
    const Layout& layout = context.layout;
    const int flags = host_lane(lane);
    Segment* const segment = context.segment;
    const uint64_t base = context.group.phase[flags];
    const size_t chunks = carried_chunks(context.bytes());
    if (layout.rank() == carrier) {
        if (segment != nullptr) co_await until(PhaseReached(*segment, flags, base));  // the slots are free
        if (layout.rank() == context.signature().root) {
            put(context, flags);
        } else {
            co_await receive_chunks(context, flags);
        }
    } else {
        // Published chunk by chunk, so that slots come free.
        for (size_t k = 0; k < chunks; ++k) {
            co_await until(PhaseReachedBy(*segment, layout.local_index(carrier), flags, base + k + 1));
            const auto chunk =
                carried_chunk(static_cast<std::byte*>(context.arguments->output), context.bytes(), k);
            ring::copy(chunk.data(), slot_of(context, layout.local_rank(), flags, base + k), chunk.size());
            segment->publish(flags, base + k + 1);
        }
    }
    context.group.phase[flags] = base + chunks;
}

// The shares of other cells: to all cells at once, to the ranks of each one after the other, or chunk by
// chunk to its carrier.
Task send_far(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const size_t bytes = context.bytes();
    const bool carried = is_carried(context, context.position(1));  // one other cell is like another
    std::vector<Transfers> far(static_cast<size_t>(layout.cells()));
    for (size_t k = 0; k < (carried ? carried_chunks(bytes) : 1); ++k)
        for (size_t i = 0; i < static_cast<size_t>(layout.largest_cell()); ++i)
            for (int step = 1; step < layout.cells(); ++step) {
                const auto& cell = layout.cell(context.position(step));
                if (i >= cell.size()) continue;
                Transfers& sends = far[static_cast<size_t>(step)];
                const auto* const share = static_cast<const std::byte*>(called.inputs[cell[i]]);
                if (carried) {
                    // No more than its carrier has slots for: of a large share there are thousands.
                    const size_t most = kCarriedSlots * cell.size();
                    if (sends.size() >= most) co_await drain(sends, most - 1);
                    const auto chunk = carried_chunk(share, bytes, k);
                    sends.push_back(
                        context.send_message(cell.front(), chunk.data(), chunk.size(), kCreditAhead));
                    continue;
                }
                if (bytes > kEagerBetweenHosts) co_await make_room(sends);
                sends.push_back(context.send_message(cell[i], share, bytes));
            }
    for (Transfers& sends : far) co_await drain(sends, 0);
}

// In one host alone: each rank reads its share of the root's. Like read_offers().
Task read_share(Context& context, bool& read) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    Extents offered;
    std::vector<Want> wants;
    if (layout.rank() == root) {
        for (const void* share : called.inputs)
            offered.push_back({static_cast<std::byte*>(const_cast<void*>(share)), context.bytes()});
        copy_share(called.output, called.inputs[root], context.bytes());
    } else {
        wants.push_back({layout.local_index(root),
                         static_cast<size_t>(layout.rank()),
                         {{static_cast<std::byte*>(called.output), context.bytes()}}});
    }
    co_await read_offers(context, Lane::kHostIn, std::move(offered), std::move(wants), read);
}

}  // namespace

Task scatter(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const bool is_root = layout.rank() == root;
    const bool in_root_cell = layout.cell_of(root) == layout.my_cell_index();
    const int carrier = carrier_of(layout, layout.my_cell_index(), root);
    const bool carried = is_carried(context, layout.my_cell_index());
    const size_t bytes = context.bytes();

    co_await context.turn(Lane::kHostIn);
    auto entered = enter(context);
    // What the root has is ready as soon as it has entered; the others wait for all, to see what they called.
    if (!is_root) co_await entered;
    const auto others = static_cast<size_t>(layout.size() - 1);
    if (layout.cells() == 1 &&
        goes_by_offers(context, Lane::kHostIn, {.bytes = others * bytes, .extents = others + 1})) {
        if (is_root) co_await entered;
        bool read = false;
        co_await read_share(context, read);
        if (read) co_return context.pass(Lane::kHostIn);
    }
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
    if (is_root) co_await send_far(context);
    co_await drain(near, 0);
    co_await context.turn(Lane::kHostOut);
    if (carried && !in_root_cell) co_await hand_out(context, Lane::kHostOut, carrier);
    context.pass(Lane::kHostOut);
}

}  // namespace ring
