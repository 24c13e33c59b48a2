// The collectives: one file each, composed of the stages inside the host (host/stages.h) and on the rail
// between hosts (rail.h).
//
// One host, one rank per host and hosts of unequal size are the same code: a stage with nobody to work with
// does nothing. Called by the engine.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "ring/base/collective.h"
#include "ring/base/rows.h"
#include "ring/collectives/context.h"

namespace ring {

// Each runs one piece of an operation: context.piece of context.pieces.
Task all_reduce(Context& context);
Task broadcast(Context& context);
Task all_gather(Context& context);
Task reduce_scatter(Context& context);
Task reduce(Context& context);
Task gather(Context& context);
Task scatter(Context& context);
Task all_to_all(Context& context);
Task barrier(Context& context);

// Into how many pieces an operation is cut. The same on all ranks.
size_t one_piece(const Context& context);
// As the plan says; one where only one lane has work.
size_t pieces_of_plan(const Context& context);
// Those whose sums take a bounded amount of temporary memory.
size_t all_reduce_pieces(const Context& context);
size_t reduce_scatter_pieces(const Context& context);
size_t reduce_pieces(const Context& context);

// How each runs where it is not one shot in the host, and into how many pieces it is cut then.
struct Dispatch {
    Collective kind;
    // None rather than null, with which GCC does not compare it at compile time under sanitizers.
    std::optional<Task (*)(Context&)> run = std::nullopt;
    size_t (*pieces)(const Context&) = one_piece;
};
inline constexpr std::array<Dispatch, kCollectives.size()> kDispatch{{
    {Collective::kNone},
    {Collective::kAllReduce, all_reduce, all_reduce_pieces},
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
static_assert(in_order(kDispatch, &Dispatch::kind));
static_assert(std::ranges::all_of(kDispatch, [](const Dispatch& row) {
    const CollectiveTraits& traits = traits_of(row.kind);
    return row.run.has_value() || traits.message || traits.kind == Collective::kNone;
}));

// The one that context.signature().kind names; passes the lanes that it did not.
Task run_collective(Context& context);
size_t count_pieces(const Context& context);

// Throws ConfigError, before anything is sent, where arguments make no sense: a reduce op on a dtype it is
// not defined for, a root outside the group, a list that is not as long as the group.
void check_arguments(const Arguments& arguments, int rank, int group_size);

}  // namespace ring
