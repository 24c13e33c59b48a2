// Dispatch and the checks that need no communication. See collectives.h.
#include "ring/collectives/collectives.h"

#include <string>

#include "ring/base/error.h"
#include "ring/collectives/host/one_shot.h"

namespace ring {
namespace {

const Dispatch& row_of(const Context& context) {
    return kDispatch[static_cast<size_t>(context.signature().kind)];
}

Task run(Context& context) {
    if (is_host_one_shot(context.layout, context.group.config, context.signature()))
        return host_one_shot(context);
    if (!row_of(context).run)
        throw Error(std::string(name_of(context.signature().kind)) + " is no collective");
    return (*row_of(context).run)(context);
}

}  // namespace

Task run_collective(Context& context) {
    co_await run(context);
    while (context.lanes_passed < kLanes) co_await skip(context, static_cast<Lane>(context.lanes_passed));
}

size_t count_pieces(const Context& context) {
    return row_of(context).pieces(context);
}

size_t one_piece(const Context&) {
    return 1;
}

size_t pieces_of_plan(const Context& context) {
    const Layout& layout = context.layout;
    // The plan knows the smallest host only.
    if (layout.cells() == 1 || layout.largest_cell() == 1) return 1;
    return static_cast<size_t>(context.plan->pieces);
}

namespace {

void check_list(const Signature& called, const char* what, size_t length, size_t ranks) {
    if (length != ranks)
        throw ConfigError(describe(called) + ": " + std::to_string(length) + " " + what + " for " +
                          std::to_string(ranks) + " ranks");
}

}  // namespace

void check_arguments(const Arguments& arguments, int rank, int group_size) {
    const Signature& called = arguments.signature;
    const CollectiveTraits& traits = traits_of(called.kind);
    if (traits.kind == Collective::kNone) throw ConfigError("there is no such collective");
    if (traits.reduces && reduce_function(called.dtype, called.op) == nullptr)
        throw ConfigError(describe(called) + ": " + name_of(called.op) + " is not defined for " +
                          name_of(called.dtype));
    const std::string ranks_text = "a rank of the group, 0 .. " + std::to_string(group_size - 1);
    if (traits.rooted && (called.root < 0 || called.root >= group_size))
        throw ConfigError(describe(called) + ": the root must be " + ranks_text);
    if (traits.message) {
        const bool any = called.kind == Collective::kRecv && called.root == kAnySource;
        if (!any && (called.root < 0 || called.root >= group_size))
            throw ConfigError(describe(called) + ": the peer must be " + ranks_text);
        if (called.root == rank)
            throw ConfigError(describe(called) + ": a rank cannot send to, or receive from, itself");
        if (group_size == 1) throw ConfigError(describe(called) + ": the group has no other rank");
    }
    const auto ranks = static_cast<size_t>(group_size);
    const bool here = !traits.rooted || called.root == rank;
    if (traits.inputs && here) check_list(called, "inputs", arguments.inputs.size(), ranks);
    if (traits.outputs && here) check_list(called, "outputs", arguments.outputs.size(), ranks);
    if (traits.counted) check_list(called, "sizes of inputs", arguments.input_counts.size(), ranks);
    if (traits.counted || called.uneven != 0)
        check_list(called, "sizes of outputs", arguments.output_counts.size(), ranks);
    if (traits.counted && arguments.input_counts[rank] != arguments.output_counts[rank])
        throw ConfigError(describe(called) + ": rank " + std::to_string(rank) + " sends itself " +
                          std::to_string(arguments.input_counts[rank]) + " elements and expects " +
                          std::to_string(arguments.output_counts[rank]));
}

}  // namespace ring
