// gather: shares through the carrier of each host, or straight from each rank (transfers.h).
#include <algorithm>

#include "ring/collectives/collectives.h"
#include "ring/collectives/host/offers.h"
#include "ring/collectives/transfers.h"
#include "ring/kernels/copy.h"

namespace ring {
namespace {

enum class Way {
    kEntry,   // to the carrier with the entry, and on from there
    kChunks,  // to the carrier chunk by chunk, from another cell than the root's; within that, straight
    kStraight
};

// In one host alone, small shares are host_one_shot()'s.
Way way_of(const Context& context) {
    const Layout& layout = context.layout;
    if (layout.cells() == 1 || layout.largest_cell() == 1) return Way::kStraight;
    if (context.bytes() <= kSmallBytes) return Way::kEntry;
    return context.group.tuning.carry_large() ? Way::kChunks : Way::kStraight;
}

// All send to one rank at once, and what comes unasked from many overflows the queue before its link
// ("incast"); so all together send unasked what one sender may.
constexpr size_t kAlwaysUnasked = 16 << 10;

bool is_asked(const Layout& layout, int root, size_t bytes) {
    const size_t senders = static_cast<size_t>(layout.size()) - layout.cell(layout.cell_of(root)).size();
    if (senders <= 1) return bytes > kEagerBetweenHosts;
    return bytes > std::clamp(kCreditBytes / senders, kAlwaysUnasked, kEagerBetweenHosts / 2);
}

// The messages by which the shares of another cell reach the root.
Task receive_cell(Context& context, const std::vector<int>& ranks, Way way, Transfers& far) {
    const Arguments& called = *context.arguments;
    const size_t bytes = context.bytes();
    if (way == Way::kChunks) {
        for (size_t k = 0; k < carried_chunks(bytes); ++k)
            for (const int rank : ranks) {
                co_await drain(far, kCarriedAhead - 1);
                const auto chunk = carried_chunk(static_cast<std::byte*>(called.outputs[rank]), bytes, k);
                far.push_back(context.receive_message(ranks.front(), chunk.data(), chunk.size()));
            }
        co_return;
    }
    const bool asked = is_asked(context.layout, context.signature().root, bytes);
    for (const int rank : ranks) {
        if (asked) co_await make_room(far);
        const int source = way == Way::kEntry ? ranks.front() : rank;
        far.push_back(context.receive_message(source, called.outputs[rank], bytes));
    }
}

// What the carrier does with small shares. What the others entered with may be read until this rank passes
// the lane.
Task hand_on(Context& context, size_t credit) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const size_t bytes = context.bytes();
    Transfers sends;
    for (int l = 0; l < layout.local_size(); ++l) {
        const int rank = layout.my_cell()[l];
        const void* const share =
            l == layout.local_rank() ? called.input : context.segment->payload(l, context.operation, bytes);
        if (layout.rank() == root) {
            copy_share(called.outputs[rank], share, bytes);
        } else {
            sends.push_back(context.send_message(root, share, bytes, credit));
        }
    }
    co_await drain(sends, 0);
}

std::byte* slot_of(const Context& context, int local, int flags, uint64_t phase) {
    return context.segment->out_slot(local, flags, phase, kCarriedChunk);
}

// What a rank does that is not the carrier: it puts its chunks into its slots.
Task put_chunks(Context& context, int flags, int carrier) {
    Segment& segment = *context.segment;
    const auto* const share = static_cast<const std::byte*>(context.arguments->input);
    const uint64_t base = context.group.phase[flags];
    for (size_t k = 0; k < carried_chunks(context.bytes()); ++k) {
        if (k >= kCarriedSlots)
            co_await until(PhaseReachedBy(segment, carrier, flags, base + k + 1 - kCarriedSlots));
        const auto chunk = carried_chunk(share, context.bytes(), k);
        copy_to_shared(slot_of(context, segment.local_rank(), flags, base + k), chunk.data(), chunk.size());
        segment.publish(flags, base + k + 1);
    }
}

// What the carrier does: it offers the chunks of its cell to the root.
Task offer_chunks(Context& context, int flags) {
    const Layout& layout = context.layout;
    Segment* const segment = context.segment;
    const auto* const share = static_cast<const std::byte*>(context.arguments->input);
    const uint64_t base = context.group.phase[flags];
    const size_t chunks = carried_chunks(context.bytes());
    const auto locals = static_cast<size_t>(layout.local_size());
    Transfers sends;
    for (size_t k = 0; k < chunks; ++k) {
        const auto own = carried_chunk(share, context.bytes(), k);
        for (int l = 0; l < layout.local_size(); ++l) {
            const bool mine = l == layout.local_rank();
            if (!mine) co_await until(PhaseReachedBy(*segment, l, flags, base + k + 1));
            sends.push_back(context.send_message(context.signature().root,
                                                 mine ? own.data() : slot_of(context, l, flags, base + k),
                                                 own.size(), 0));
        }
        if (k + 1 < kCarriedAhead) continue;
        co_await drain(sends, (kCarriedAhead - 1) * locals);
        if (segment != nullptr) segment->publish(flags, base + k + 2 - kCarriedAhead);
    }
    co_await drain(sends, 0);
    if (segment != nullptr) segment->publish(flags, base + chunks);
}

// Within another cell than the root's, in lane kHostIn.
//
// Nomenclature: each share is cut into K *chunks*. The ranks put chunk k into their slots and publish; the
// carrier offers chunk k of all of them to the root, which asks for one after the other, and publishes k when
// the root has it, so that its slots are free.
Task hand_on_chunks(Context& context, int carrier) {
    const int flags = host_lane(Lane::kHostIn);
    uint64_t& phase = context.group.phase[flags];
    if (context.segment != nullptr) co_await until(PhaseReached(*context.segment, flags, phase));
    if (context.layout.rank() == carrier) {
        co_await offer_chunks(context, flags);
    } else {
        co_await put_chunks(context, flags, context.layout.local_index(carrier));
    }
    phase += carried_chunks(context.bytes());
}

// In one host alone: the root reads all shares. Like read_offers().
Task read_shares(Context& context, bool& read) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    Extents offered;
    std::vector<Want> wants;
    if (layout.rank() != context.signature().root) {
        offered = {{static_cast<std::byte*>(const_cast<void*>(called.input)), context.bytes()}};
    } else {
        for (int l = 0; l < layout.local_size(); ++l)
            if (const int rank = layout.my_cell()[l]; rank != layout.rank())
                wants.push_back({l, 0, {{static_cast<std::byte*>(called.outputs[rank]), context.bytes()}}});
        copy_share(called.outputs[layout.rank()], called.input, context.bytes());
    }
    co_await read_offers(context, Lane::kHostIn, std::move(offered), std::move(wants), read);
}

}  // namespace

Task gather(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const int carrier = carrier_of(layout, layout.my_cell_index(), root);
    const bool is_root = layout.rank() == root;
    const bool in_root_cell = layout.cell_of(root) == layout.my_cell_index();
    const Way way = way_of(context);
    const bool straight = way == Way::kStraight || (way == Way::kChunks && in_root_cell);
    const size_t bytes = context.bytes();
    const size_t credit = is_asked(layout, root, bytes) ? 0 : kCreditAhead;

    co_await context.turn(Lane::kHostIn);
    co_await enter(context, called.input, way == Way::kEntry ? bytes : 0);
    const auto others = static_cast<size_t>(layout.size() - 1);
    if (layout.cells() == 1 &&
        goes_by_offers(context, Lane::kHostIn, {.bytes = others * bytes, .extents = others})) {
        bool read = false;
        co_await read_shares(context, read);
        if (read) co_return context.pass(Lane::kHostIn);
    }
    if (way == Way::kEntry && layout.rank() == carrier) co_await hand_on(context, credit);
    if (way == Way::kChunks && !in_root_cell) co_await hand_on_chunks(context, carrier);
    context.pass(Lane::kHostIn);
    co_await context.turn(Lane::kRail);
    // Messages find their receivers by the number of the operation, so the next one may go on at once.
    context.pass(Lane::kRail);
    if (!is_root) {
        if (straight) co_await until(TransferDone(context.send_message(root, called.input, bytes, credit)));
        co_return;
    }
    Transfers near;
    Transfers far;
    if (straight) {
        for (const int rank : layout.my_cell())
            if (rank != root) near.push_back(context.receive_message(rank, called.outputs[rank], bytes));
        copy_share(called.outputs[root], called.input, bytes);
    }
    for (int step = 1; step < layout.cells(); ++step)
        co_await receive_cell(context, layout.cell(context.position(step)), way, far);
    co_await drain(far, 0);
    co_await drain(near, 0);
}

}  // namespace ring
