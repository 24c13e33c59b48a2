// See one_shot.h.
#include "ring/collectives/host/one_shot.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ring/collectives/host/all_to_all.h"
#include "ring/collectives/transfers.h"

namespace ring {
namespace {

// The inputs of a reduce_scatter or a scatter one behind the other, as they may already be.
const void* joined(Context& context) {
    const auto& inputs = context.arguments->inputs;
    const size_t bytes = context.bytes();
    const auto* const first = static_cast<const std::byte*>(inputs[0]);
    bool adjacent = true;
    for (size_t r = 1; r < inputs.size(); ++r) adjacent = adjacent && inputs[r] == first + r * bytes;
    if (adjacent || bytes == 0) return first;
    std::byte* const all = context.scratch.take(inputs.size() * bytes);
    for (size_t r = 0; r < inputs.size(); ++r) std::memcpy(all + r * bytes, inputs[r], bytes);
    return all;
}

// Of an all_gather or a gather.
size_t share_bytes(const Context& context, int rank) {
    const Arguments& called = *context.arguments;
    return called.signature.uneven != 0 ? called.output_counts[rank] * context.element_bytes()
                                        : context.bytes();
}

Entered payload_of(Context& context) {
    const Arguments& called = *context.arguments;
    const CollectiveTraits& traits = traits_of(called.signature.kind);
    const int me = context.layout.rank();
    if (!traits.sized) return {};
    if (traits.counted) return shares_to_enter_with(context);
    if (traits.inputs && traits.rooted && me != called.signature.root) return {};
    if (traits.inputs) return {joined(context), called.inputs.size() * context.bytes()};
    if (traits.outputs) return {called.input, share_bytes(context, me)};
    if (traits.reduces) return {called.input, context.bytes()};
    if (me == called.signature.root) return {called.output, context.bytes()};
    return {};
}

// What this rank takes from what all have entered with, itself with `mine`.
void take(Context& context, const Entered& mine) {
    const Arguments& called = *context.arguments;
    const CollectiveTraits& traits = traits_of(called.signature.kind);
    const Layout& layout = context.layout;
    const int root = called.signature.root;
    if (!traits.sized) return;
    if (traits.counted) return take_entered_shares(context);
    if (traits.reduces || traits.outputs) {
        if (traits.rooted && layout.rank() != root) return;
    } else if (layout.rank() == root) {
        if (traits.inputs) copy_share(called.output, called.inputs[root], context.bytes());
        return;
    }
    if (traits.reduces) {
        const size_t offset = traits.inputs ? layout.local_rank() * context.bytes() : 0;
        sum_of_host(context, called.output, mine, offset, ReduceStage::kWhole);
    } else if (traits.outputs) {
        for (int l = 0; l < layout.local_size(); ++l) {
            const int rank = layout.my_cell()[l];
            const size_t bytes = share_bytes(context, rank);
            const void* const share =
                rank == layout.rank() ? mine.data : context.segment->payload(l, context.operation, bytes);
            copy_share(called.outputs[rank], share, bytes);
        }
    } else {
        const size_t bytes = context.bytes();
        const size_t entered = traits.inputs ? bytes * static_cast<size_t>(layout.size()) : bytes;
        const std::byte* const from =
            context.segment->payload(layout.local_index(root), context.operation, entered);
        copy_share(called.output, traits.inputs ? from + static_cast<size_t>(layout.rank()) * bytes : from,
                   bytes);
    }
}

}  // namespace

bool is_host_one_shot(const Layout& layout, const Config& config, const Signature& called) {
    const auto limit = traits_of(called.kind).one_shot;
    if (!limit || layout.cells() > 1) return false;
    return deciding_bytes(called, static_cast<size_t>(layout.size())) <=
           one_shot_limit(*limit, layout, config);
}

size_t one_shot_limit(size_t own, const Layout& layout, const Config& config) {
    return layout.crowded() ? config.host_small_bytes : std::min(own, config.host_small_bytes);
}

bool may_be_host_one_shot(const Layout& layout, const Config& config, const Arguments& called) {
    if (traits_of(called.signature.kind).counted)
        return layout.cells() == 1 && enters_with_shares(called, layout, config);
    return is_host_one_shot(layout, config, called.signature);
}

Task host_one_shot(Context& context) {
    co_await context.turn(Lane::kHostIn);
    if (!context.entered) enter_one_shot(context);
    co_await until(AllEntered(context.segment, context.operation),
                   [&context] { check_announcements(context); });
    take_one_shot(context);
    context.pass(Lane::kHostIn);
}

void enter_one_shot(Context& context) {
    context.entered = payload_of(context);
    if (context.segment != nullptr)
        context.segment->enter({context.operation, context.signature()}, context.entered->data,
                               context.entered->bytes);
}

bool can_take_one_shot(const Context& context) {
    return !traits_of(context.signature().kind).counted || can_take_entered_shares(context);
}

void take_one_shot(Context& context) {
    take(context, *std::exchange(context.entered, std::nullopt));
}

void sum_of_host(Context& context, void* to, const Entered& mine, size_t offset, ReduceStage stage) {
    const size_t count = context.signature().count;
    if (count == 0) return;  // a barrier, or an empty tensor
    const Reduction add = context.reduction(stage);
    if (context.segment == nullptr) {
        if (to != mine.data) add(to, &mine.data, 1, count);
        return;
    }
    const auto ranks = static_cast<size_t>(context.layout.local_size());
    auto* const sources = reinterpret_cast<const void**>(context.scratch.take(ranks * sizeof(void*)));
    for (size_t l = 0; l < ranks; ++l)
        sources[l] = context.segment->payload(static_cast<int>(l), context.operation, mine.bytes) + offset;
    add(to, sources, ranks, count);
}

}  // namespace ring
