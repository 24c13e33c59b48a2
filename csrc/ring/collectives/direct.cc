// gather, scatter and all_to_all: each share goes straight from the rank that has it to the one that gets it,
// once over the link of each host, by messages.
//
// Nobody is flooded: large messages go when they are received, and a rank receives from one rank of other
// hosts at a time, and from the next one while the last frame is on its way (kWindow). Streams that compete
// for a link lose packets, and with them a tenth of its rate. In an all_to_all host h hears from host h - d
// at step d, while host h + d hears from it: the "pairwise exchange" of Thakur, Rabenseifner and Gropp
// (2005); and its ranks take turns.
#include <cstring>
#include <deque>

#include "ring/collectives/collectives.h"
#include "ring/collectives/link_turns.h"

namespace ring {
namespace {

constexpr size_t kWindow = 2;  // messages from or to another host: one while the next one is granted

using Transfers = std::deque<TransferPtr>;

// Waits until at most `keep` of the oldest are under way.
Task drain(Transfers& transfers, size_t keep) {
    while (transfers.size() > keep) {
        co_await until(TransferDone(transfers.front()));
        transfers.pop_front();
    }
}

// Waits until another may begin beside those that are under way.
Task make_room(Transfers& transfers) {
    co_await drain(transfers, kWindow - 1);
    if (!transfers.empty()) co_await until(TransferEnding(transfers.back()));
}

// Every other rank of the cell, then those of other cells in the order of steps: from this rank's cell on in
// `direction`, and in each cell from this rank's local rank on.
struct Partners {
    std::vector<int> near;
    std::vector<std::vector<int>> far;  // by cell

    std::vector<int> all_far() const {
        std::vector<int> ranks;
        for (const auto& cell : far) ranks.insert(ranks.end(), cell.begin(), cell.end());
        return ranks;
    }
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

std::byte* share(const std::vector<void*>& shares, int rank) {
    return static_cast<std::byte*>(shares[rank]);
}

void copy_own(void* to, const void* from, size_t bytes) {
    if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
}

// What gather and scatter begin with: the ranks of a host compare what they called.
Task begin(Context& context) {
    co_await context.turn(Lane::kHostIn);
    co_await enter(context);
    context.pass(Lane::kHostIn);
    co_await context.turn(Lane::kRail);
    // Messages find their receivers by the number of the operation, so the next one may go on at once.
    context.pass(Lane::kRail);
}

}  // namespace

Task gather(Context& context) {
    co_await begin(context);
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const size_t bytes = context.bytes();
    if (layout.rank() != root) {
        co_await until(TransferDone(context.send_message(root, called.input, bytes)));
        co_return;
    }
    const Partners from = partners_of(layout, 1);
    Transfers near;
    Transfers far;
    for (const int rank : from.near)
        near.push_back(context.receive_message(rank, share(called.outputs, rank), bytes));
    copy_own(share(called.outputs, root), called.input, bytes);
    for (const int rank : from.all_far()) {
        co_await make_room(far);
        far.push_back(context.receive_message(rank, share(called.outputs, rank), bytes));
    }
    co_await drain(far, 0);
    co_await drain(near, 0);
}

Task scatter(Context& context) {
    co_await begin(context);
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    const int root = context.signature().root;
    const size_t bytes = context.bytes();
    if (layout.rank() != root) {
        co_await until(TransferDone(context.receive_message(root, called.output, bytes)));
        co_return;
    }
    const Partners to = partners_of(layout, 1);
    Transfers sends;
    for (const int rank : to.near) sends.push_back(context.send_message(rank, called.inputs[rank], bytes));
    copy_own(called.output, called.inputs[root], bytes);
    // To all cells at once, to the ranks of each one after the other.
    std::vector<Transfers> far(to.far.size());
    for (size_t i = 0; i < static_cast<size_t>(layout.largest_cell()); ++i)
        for (size_t cell = 0; cell < far.size(); ++cell) {
            if (i >= to.far[cell].size()) continue;
            co_await make_room(far[cell]);
            const int rank = to.far[cell][i];
            far[cell].push_back(context.send_message(rank, called.inputs[rank], bytes));
        }
    for (Transfers& cell : far) co_await drain(cell, 0);
    co_await drain(sends, 0);
}

Task all_to_all(Context& context) {
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
    for (const int rank : to.all_far()) sends.push_back(send(rank));
    const int me = layout.rank();
    copy_own(called.outputs[me], called.inputs[me], called.input_counts[me] * element);
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

}  // namespace ring
