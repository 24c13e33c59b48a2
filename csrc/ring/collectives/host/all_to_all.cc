// See all_to_all.h.
#include "ring/collectives/host/all_to_all.h"

#include <algorithm>
#include <cstring>

#include "ring/base/error.h"
#include "ring/collectives/host/one_shot.h"
#include "ring/collectives/transfers.h"

namespace ring {
namespace {

// A payload is this for each local rank, and then the shares, in the same order; where they go as messages,
// it is this alone, so that a payload is never so small that it would lie elsewhere.
struct Item {
    uint64_t bytes;
    uint64_t entered;  // 1 = it follows
    uint64_t unused[2];
};

size_t bytes_for(const Arguments& called, int rank) {
    return called.input_counts[static_cast<size_t>(rank)] * size_of(called.signature.dtype);
}

size_t bytes_from(const Arguments& called, int rank) {
    return called.output_counts[static_cast<size_t>(rank)] * size_of(called.signature.dtype);
}

const std::byte* entered_by(const Context& context, int local) {
    return context.segment->payload(local, context.operation,
                                    static_cast<size_t>(context.layout.local_size()) * sizeof(Item));
}

Item item_of(const std::byte* payload, int local) {
    Item item;
    std::memcpy(&item, payload + static_cast<size_t>(local) * sizeof(Item), sizeof(item));
    return item;
}

bool entered_with_shares(const Context& context, int local) {
    return item_of(entered_by(context, local), 0).entered != 0;
}

// What that rank has entered for this one, and what this one expects of it.
struct Sizes {
    size_t entered;
    size_t expected;
};
Sizes sizes_of(const Context& context, int local) {
    const Layout& layout = context.layout;
    return {item_of(entered_by(context, local), layout.local_rank()).bytes,
            bytes_from(*context.arguments, layout.my_cell()[static_cast<size_t>(local)])};
}

void take_share(const Context& context, int local) {
    const Layout& layout = context.layout;
    const Arguments& called = *context.arguments;
    const int from = layout.my_cell()[static_cast<size_t>(local)];
    const std::byte* const payload = entered_by(context, local);
    const std::byte* share = payload + static_cast<size_t>(layout.local_size()) * sizeof(Item);
    for (int l = 0; l < layout.local_rank(); ++l) share += item_of(payload, l).bytes;
    const auto [bytes, expected] = sizes_of(context, local);
    if (bytes != expected)
        throw MismatchError(describe(called.signature) + ", operation " + std::to_string(context.operation) +
                                ": " + layout.describe(from) + " sent " + std::to_string(bytes) +
                                " bytes, but " + layout.describe(layout.rank()) + " expects " +
                                std::to_string(expected) + " from it",
                            context.operation);
    copy_share(called.outputs[static_cast<size_t>(from)], share, bytes);
}

void take_own(const Context& context) {
    const auto me = static_cast<size_t>(context.layout.rank());
    copy_share(context.arguments->outputs[me], context.arguments->inputs[me],
               bytes_for(*context.arguments, context.layout.rank()));
}

size_t bytes_for_others(const Arguments& called, const Layout& layout) {
    size_t all = 0;
    for (const int rank : layout.my_cell())
        if (rank != layout.rank()) all += bytes_for(called, rank);
    return all;
}

}  // namespace

bool enters_with_shares(const Arguments& called, const Layout& layout, const Config& config) {
    const size_t all = bytes_for_others(called, layout);
    return all <= one_shot_limit(rows::kShare, layout, config) &&
           static_cast<size_t>(layout.local_size()) * sizeof(Item) + all <= kSmallBytes;
}

Entered shares_to_enter_with(Context& context) {
    const Layout& layout = context.layout;
    const Arguments& called = *context.arguments;
    const bool entered = enters_with_shares(called, layout, context.group.config);
    const size_t items = static_cast<size_t>(layout.local_size()) * sizeof(Item);
    std::byte* const payload = context.scratch.take(items + (entered ? bytes_for_others(called, layout) : 0));
    std::byte* end = payload + items;
    for (int l = 0; l < layout.local_size(); ++l) {
        const int rank = layout.my_cell()[static_cast<size_t>(l)];
        const Item item{rank == layout.rank() ? 0 : bytes_for(called, rank), entered ? 1U : 0U, {}};
        std::memcpy(payload + static_cast<size_t>(l) * sizeof(Item), &item, sizeof(item));
        if (!entered || item.bytes == 0) continue;
        std::memcpy(end, called.inputs[static_cast<size_t>(rank)], item.bytes);
        end += item.bytes;
    }
    return {payload, static_cast<size_t>(end - payload)};
}

bool can_take_entered_shares(const Context& context) {
    for (int l = 0; l < context.layout.local_size(); ++l) {
        if (!entered_with_shares(context, l)) return false;
        if (l == context.layout.local_rank()) continue;
        const auto [bytes, expected] = sizes_of(context, l);
        if (bytes != expected) return false;
    }
    return true;
}

void take_entered_shares(Context& context) {
    for (int l = 0; l < context.layout.local_size(); ++l)
        if (l != context.layout.local_rank() && entered_with_shares(context, l)) take_share(context, l);
    take_own(context);
}

Task host_all_to_all(Context& context) {
    const Arguments& called = *context.arguments;
    const Layout& layout = context.layout;
    co_await context.turn(Lane::kHostIn);
    if (!context.entered) {
        const Entered mine = shares_to_enter_with(context);
        context.segment->enter({context.operation, context.signature()}, mine.data, mine.bytes);
    }
    co_await until(AllEntered(context.segment, context.operation),
                   [&context] { check_announcements(context); });
    std::vector<int> senders;
    for (int l = 0; l < layout.local_size(); ++l)
        if (l != layout.local_rank() && !entered_with_shares(context, l))
            senders.push_back(layout.my_cell()[static_cast<size_t>(l)]);
    const bool sends = !entered_with_shares(context, layout.local_rank());
    take_entered_shares(context);
    context.pass(Lane::kHostIn);
    if (senders.empty() && !sends) co_return;
    co_await context.turn(Lane::kRail);
    // Messages find their receivers by the number of the operation, so the next one may go on at once.
    context.pass(Lane::kRail);
    Transfers transfers;
    for (const int rank : senders)
        transfers.push_back(context.receive_message(rank, called.outputs[static_cast<size_t>(rank)],
                                                    bytes_from(called, rank)));
    if (sends)
        for (const int rank : layout.my_cell())
            if (rank != layout.rank())
                transfers.push_back(context.send_message(rank, called.inputs[static_cast<size_t>(rank)],
                                                         bytes_for(called, rank)));
    co_await drain(transfers, 0);
}

}  // namespace ring
