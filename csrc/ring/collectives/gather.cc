// gather: small shares through the carrier of each host, large ones straight from each rank (transfers.h).
#include <algorithm>

#include "ring/collectives/collectives.h"
#include "ring/collectives/transfers.h"

namespace ring {
namespace {

// In one host alone, small shares are host_one_shot()'s.
bool is_carried(const Context& context) {
    const Layout& layout = context.layout;
    return layout.cells() > 1 && layout.largest_cell() > 1 && context.bytes() <= kSmallBytes;
}

// All send to one rank at once, and what comes unasked from many overflows the queue before its link
// ("incast"); so all together send unasked what one sender may.
constexpr size_t kAlwaysUnasked = 16 << 10;

bool is_asked(const Layout& layout, int root, size_t bytes) {
    const size_t senders = static_cast<size_t>(layout.size()) - layout.cell(layout.cell_of(root)).size();
    if (senders <= 1) return bytes > kEagerBetweenHosts;
    return bytes > std::clamp(kCreditBytes / senders, kAlwaysUnasked, kEagerBetweenHosts / 2);
}

// The messages by which the shares of another cell reach the root: from each rank, or all from its carrier.
Task receive_cell(Context& context, const std::vector<int>& ranks, bool carried, Transfers& far) {
    const Arguments& called = *context.arguments;
    const bool asked = is_asked(context.layout, context.signature().root, context.bytes());
    for (const int rank : ranks) {
        if (asked) co_await make_room(far);
        const int source = carried ? ranks.front() : rank;
        far.push_back(context.receive_message(source, called.outputs[rank], context.bytes()));
    }
}

}  // namespace

Task gather(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const int carrier = carrier_of(layout, layout.my_cell_index(), root);
    const bool is_root = layout.rank() == root;
    const bool carried = is_carried(context);
    const size_t bytes = context.bytes();
    const size_t credit = is_asked(layout, root, bytes) ? 0 : kCreditAhead;

    co_await context.turn(Lane::kHostIn);
    co_await enter(context, called.input, carried ? bytes : 0);
    if (carried && layout.rank() == carrier) {
        // What the others entered with may be read until this rank passes the lane.
        Transfers sends;
        for (int l = 0; l < layout.local_size(); ++l) {
            const int rank = layout.my_cell()[l];
            const void* const share =
                rank == carrier ? called.input : context.segment->payload(l, context.operation, bytes);
            if (is_root) {
                copy_share(called.outputs[rank], share, bytes);
            } else {
                sends.push_back(context.send_message(root, share, bytes, credit));
            }
        }
        co_await drain(sends, 0);
    }
    context.pass(Lane::kHostIn);
    co_await context.turn(Lane::kRail);
    // Messages find their receivers by the number of the operation, so the next one may go on at once.
    context.pass(Lane::kRail);
    if (!is_root) {
        if (carried) co_return;
        co_await until(TransferDone(context.send_message(root, called.input, bytes, credit)));
        co_return;
    }
    Transfers near;
    Transfers far;
    if (!carried) {
        for (const int rank : layout.my_cell())
            if (rank != root) near.push_back(context.receive_message(rank, called.outputs[rank], bytes));
        copy_share(called.outputs[root], called.input, bytes);
    }
    for (int step = 1; step < layout.cells(); ++step)
        co_await receive_cell(context, layout.cell(context.position(step)), carried, far);
    co_await drain(far, 0);
    co_await drain(near, 0);
}

}  // namespace ring
