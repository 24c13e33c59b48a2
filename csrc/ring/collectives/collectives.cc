// Dispatch and the checks that need no communication. See collectives.h.
#include "ring/collectives/collectives.h"

#include <algorithm>

#include "ring/base/error.h"
#include "ring/collectives/one_shot.h"

namespace ring {

Task barrier(Context& context) {
    return one_shot(context);
}

namespace {

Task dispatch(Context& context) {
    switch (context.signature().kind) {
        case Collective::kAllReduce:
            return is_one_shot(context) ? one_shot(context) : all_reduce(context);
        case Collective::kBroadcast:
            return broadcast(context);
        case Collective::kAllGather:
            return all_gather(context);
        case Collective::kReduceScatter:
            return reduce_scatter(context);
        case Collective::kBarrier:
            return barrier(context);
        case Collective::kNone:
        case Collective::kCount:
            break;
    }
    throw Error("no such collective");
}

}  // namespace

Task run_collective(Context& context) {
    co_await dispatch(context);
    while (context.lanes_passed < kLanes) co_await skip(context, static_cast<Lane>(context.lanes_passed));
}

size_t count_pieces(const Context& context) {
    switch (context.signature().kind) {
        case Collective::kAllReduce:
            return is_one_shot(context) ? 1 : pieces_of_plan(context);
        case Collective::kBroadcast:
        case Collective::kAllGather:
            return pieces_of_plan(context);
        case Collective::kReduceScatter:
            return reduce_scatter_pieces(context);
        default:
            return 1;
    }
}

size_t pieces_of_plan(const Context& context) {
    const Layout& layout = context.layout;
    // The plan knows the smallest host only.
    if (layout.cells() == 1 || layout.largest_cell() == 1) return 1;
    return static_cast<size_t>(context.plan->pieces);
}

void check_arguments(const Arguments& arguments, int group_size) {
    const Signature& called = arguments.signature;
    if (called.op != ReduceOp::kNone && reduce_function(called.dtype, called.op) == nullptr)
        throw ConfigError(describe(called) + ": " + name_of(called.op) + " is not defined for " +
                          name_of(called.dtype));
    if (called.kind == Collective::kBroadcast && (called.root < 0 || called.root >= group_size))
        throw ConfigError(describe(called) + ": the root must be a rank of the group, 0 .. " +
                          std::to_string(group_size - 1));
    const auto ranks = static_cast<size_t>(group_size);
    if (called.kind == Collective::kAllGather && arguments.outputs.size() != ranks)
        throw ConfigError(describe(called) + ": " + std::to_string(arguments.outputs.size()) +
                          " outputs for " + std::to_string(group_size) + " ranks");
    if (called.kind == Collective::kReduceScatter && arguments.inputs.size() != ranks)
        throw ConfigError(describe(called) + ": " + std::to_string(arguments.inputs.size()) + " inputs for " +
                          std::to_string(group_size) + " ranks");
}

}  // namespace ring
