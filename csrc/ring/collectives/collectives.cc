// Dispatch and the checks that need no communication. See collectives.h.
#include "ring/collectives/collectives.h"

#include <algorithm>

#include "ring/base/error.h"
#include "ring/collectives/host_one_shot.h"
#include "ring/collectives/one_shot.h"

namespace ring {

Task barrier(Context& context) {
    return one_shot(context);
}

namespace {

Task dispatch(Context& context) {
    if (is_host_one_shot(context.layout, context.group.config, context.signature()))
        return host_one_shot(context);
    switch (context.signature().kind) {
        case Collective::kAllReduce:
            return is_one_shot(context) ? one_shot(context) : all_reduce(context);
        case Collective::kBroadcast:
            return broadcast(context);
        case Collective::kAllGather:
            return all_gather(context);
        case Collective::kReduceScatter:
            return reduce_scatter(context);
        case Collective::kReduce:
            return reduce(context);
        case Collective::kGather:
            return gather(context);
        case Collective::kScatter:
            return scatter(context);
        case Collective::kAllToAll:
            return all_to_all(context);
        case Collective::kBarrier:
            return barrier(context);
        case Collective::kSend:
        case Collective::kRecv:
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
            return is_one_shot(context) ? 1 : all_reduce_pieces(context);
        case Collective::kBroadcast:
        case Collective::kAllGather:
            return pieces_of_plan(context);
        case Collective::kReduceScatter:
            return reduce_scatter_pieces(context);
        case Collective::kReduce:
            return reduce_pieces(context);
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

namespace {

// What a kind needs besides its signature.
struct Needs {
    bool root = false;
    bool inputs = false;   // a list with one entry per rank
    bool outputs = false;  // on the root alone, where there is one
    bool reduces = false;
};

Needs needs_of(Collective kind) {
    switch (kind) {
        case Collective::kAllReduce:
            return {.reduces = true};
        case Collective::kReduce:
            return {.root = true, .reduces = true};
        case Collective::kBroadcast:
            return {.root = true};
        case Collective::kAllGather:
            return {.outputs = true};
        case Collective::kReduceScatter:
            return {.inputs = true, .reduces = true};
        case Collective::kGather:
            return {.root = true, .outputs = true};
        case Collective::kScatter:
            return {.root = true, .inputs = true};
        case Collective::kAllToAll:
            return {.inputs = true, .outputs = true};
        default:
            return {};
    }
}

void check_list(const Signature& called, const char* what, size_t length, size_t ranks) {
    if (length != ranks)
        throw ConfigError(describe(called) + ": " + std::to_string(length) + " " + what + " for " +
                          std::to_string(ranks) + " ranks");
}

}  // namespace

void check_arguments(const Arguments& arguments, int rank, int group_size) {
    const Signature& called = arguments.signature;
    const Needs needs = needs_of(called.kind);
    if (needs.reduces && reduce_function(called.dtype, called.op) == nullptr)
        throw ConfigError(describe(called) + ": " + name_of(called.op) + " is not defined for " +
                          name_of(called.dtype));
    const std::string ranks_text = "a rank of the group, 0 .. " + std::to_string(group_size - 1);
    if (needs.root && (called.root < 0 || called.root >= group_size))
        throw ConfigError(describe(called) + ": the root must be " + ranks_text);
    if (called.kind == Collective::kSend || called.kind == Collective::kRecv) {
        const bool any = called.kind == Collective::kRecv && called.root == kAnySource;
        if (!any && (called.root < 0 || called.root >= group_size))
            throw ConfigError(describe(called) + ": the peer must be " + ranks_text);
        if (called.root == rank)
            throw ConfigError(describe(called) + ": a rank cannot send to, or receive from, itself");
        if (group_size == 1) throw ConfigError(describe(called) + ": the group has no other rank");
    }
    const auto ranks = static_cast<size_t>(group_size);
    const bool here = !needs.root || called.root == rank;
    if (needs.inputs && here) check_list(called, "inputs", arguments.inputs.size(), ranks);
    if (needs.outputs && here) check_list(called, "outputs", arguments.outputs.size(), ranks);
    const bool counted = called.kind == Collective::kAllToAll;
    if (counted) check_list(called, "sizes of inputs", arguments.input_counts.size(), ranks);
    if (counted || called.uneven != 0)
        check_list(called, "sizes of outputs", arguments.output_counts.size(), ranks);
    if (counted && arguments.input_counts[rank] != arguments.output_counts[rank])
        throw ConfigError(describe(called) + ": rank " + std::to_string(rank) + " sends itself " +
                          std::to_string(arguments.input_counts[rank]) + " elements and expects " +
                          std::to_string(arguments.output_counts[rank]));
}

}  // namespace ring
