// Dispatch and the checks that need no communication. See collectives.h.
#include "ring/collectives/collectives.h"

#include "ring/base/error.h"
#include "ring/collectives/one_shot.h"

namespace ring {

Task barrier(Context& context) {
    return one_shot(context);
}

Task run_collective(Context& context) {
    switch (context.signature().kind) {
        case Collective::kAllReduce:
            return all_reduce(context);
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

void check_arguments(const Arguments& arguments, int group_size) {
    const Signature& called = arguments.signature;
    const std::string what = describe(called);
    if (called.op != ReduceOp::kNone && reduce_function(called.dtype, called.op) == nullptr)
        throw ConfigError(what + ": " + name_of(called.op) + " is not defined for " + name_of(called.dtype));
    if (called.kind == Collective::kBroadcast && (called.root < 0 || called.root >= group_size))
        throw ConfigError(what + ": the root must be a rank of the group, 0 .. " +
                          std::to_string(group_size - 1));
    const auto ranks = static_cast<size_t>(group_size);
    if (called.kind == Collective::kAllGather && arguments.outputs.size() != ranks)
        throw ConfigError(what + ": " + std::to_string(arguments.outputs.size()) + " outputs for " +
                          std::to_string(group_size) + " ranks");
    if (called.kind == Collective::kReduceScatter && arguments.inputs.size() != ranks)
        throw ConfigError(what + ": " + std::to_string(arguments.inputs.size()) + " inputs for " +
                          std::to_string(group_size) + " ranks");
}

}  // namespace ring
