// Dispatch and the checks that need no communication. See collectives.h.
#include "ring/collectives/collectives.h"

#include <algorithm>
#include <array>
#include <optional>

#include "ring/base/error.h"
#include "ring/collectives/host/one_shot.h"
#include "ring/collectives/one_shot.h"

namespace ring {

Task barrier(Context& context) {
    return one_shot(context);
}

namespace {

Task all_reduce_or_one_shot(Context& context) {
    return is_one_shot(context) ? one_shot(context) : all_reduce(context);
}

size_t all_reduce_or_one_shot_pieces(const Context& context) {
    return is_one_shot(context) ? 1 : all_reduce_pieces(context);
}

size_t one_piece(const Context&) {
    return 1;
}

// How each runs where it is not one shot in the host, and into how many pieces it is cut then.
struct Way {
    Collective kind;
    // None rather than null, with which GCC does not compare it at compile time under sanitizers.
    std::optional<Task (*)(Context&)> run = std::nullopt;
    size_t (*pieces)(const Context&) = one_piece;
};
constexpr std::array<Way, kCollectives.size()> kWays{{
    {Collective::kNone},
    {Collective::kAllReduce, all_reduce_or_one_shot, all_reduce_or_one_shot_pieces},
    {Collective::kBroadcast, broadcast, pieces_of_plan},
    {Collective::kAllGather, all_gather, pieces_of_plan},
    {Collective::kReduceScatter, reduce_scatter, reduce_scatter_pieces},
    {Collective::kBarrier, barrier},
    {Collective::kReduce, reduce, reduce_pieces},
    {Collective::kGather, gather},
    {Collective::kScatter, scatter},
    {Collective::kAllToAll, all_to_all},
    {Collective::kSend},
    {Collective::kRecv},
}};
static_assert(in_order(kWays, &Way::kind));
static_assert(std::ranges::all_of(kWays, [](const Way& way) {
    const CollectiveTraits& traits = traits_of(way.kind);
    return way.run.has_value() || traits.message || traits.kind == Collective::kNone;
}));

const Way& way_of(const Context& context) {
    return kWays[static_cast<size_t>(context.signature().kind)];
}

Task dispatch(Context& context) {
    if (is_host_one_shot(context.layout, context.group.config, context.signature()))
        return host_one_shot(context);
    if (!way_of(context).run)
        throw Error(std::string(name_of(context.signature().kind)) + " is no collective");
    return (*way_of(context).run)(context);
}

}  // namespace

Task run_collective(Context& context) {
    co_await dispatch(context);
    while (context.lanes_passed < kLanes) co_await skip(context, static_cast<Lane>(context.lanes_passed));
}

size_t count_pieces(const Context& context) {
    return way_of(context).pieces(context);
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
