// The collectives: one row each, of what is known of them before one runs. Dispatch, the checks of arguments,
// the planner, the benchmarks and the command line read it. Numeric values are part of the protocol.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ring/base/rail_algorithm.h"
#include "ring/base/rows.h"

namespace ring {

// With what it reads and writes, of Arguments (collectives/context.h).
enum class Collective : uint8_t {
    kNone = 0,
    kAllReduce,      // input[count] -> output[count], which may be the same
    kBroadcast,      // output[count], read on the root and written elsewhere
    kAllGather,      // input[count] -> outputs[rank][count]; input may be outputs[own rank]
    kReduceScatter,  // inputs[rank][count] -> output[count]; output may be inputs[own rank]
    kBarrier,
    kReduce,    // input[count] -> output[count] on the root, which may be the same; elsewhere unused
    kGather,    // input[count] -> outputs[rank][count] on the root; input may be outputs[own rank]
    kScatter,   // inputs[rank][count] on the root -> output[count]
    kAllToAll,  // inputs[rank][input_counts[rank]] -> outputs[rank][output_counts[rank]], disjoint
    kSend,      // input[count] -> output[count] of the recv with an equal tag
    kRecv,
    kCount,
};

// How a large message of a collective gets from rank to rank inside a host: copied once, by the kernel, where
// that takes less than two copies, or twice, by both ranks through shared memory.
enum class LargeMessages : uint8_t {
    kTwice,          // one rank would have to copy alone what the others, if they have cores, copy by half
    kOnce,           // all ranks have copies to make meanwhile: what counts is how much is copied
    kOnceToSeveral,  // where it has several to copy to
    kOnceBothWays,   // where it sends and receives at the same time, or has no core to copy beside it
};

struct CollectiveTraits {
    Collective kind;
    const char* name;  // torch's

    // What the caller gives.
    bool sized = true;  // it has elements
    // From one rank to another, outside the order of operations; else all ranks call it.
    bool message = false;
    bool rooted = false;  // Signature::root is a rank of the group
    bool reduces = false;
    bool inputs = false;   // a list with one entry for each rank, on the root alone where there is one
    bool outputs = false;  // likewise
    bool counted = false;  // the sizes of the entries, of which only pairs of ranks know

    // Up to so many bytes, and as the user allows it, it is one synchronisation inside a host; none: it never
    // is. `all_shares`: of the inputs or outputs of all ranks together, else of one entry.
    std::optional<size_t> one_shot = std::nullopt;
    bool all_shares = false;

    // Between hosts: whose plan it takes, and, where that is its own, what can run it. Of algorithms that
    // cost the same, the first is chosen.
    Collective plan = Collective::kAllReduce;
    std::span<const RailAlgorithm> algorithms{};

    LargeMessages large = LargeMessages::kTwice;
};

namespace rows {

using enum RailAlgorithm;
inline constexpr std::array kAllReduce{kRing, kDoubling, kHalvingDoubling};
inline constexpr std::array kBroadcast{kRing, kTree};
inline constexpr std::array kAllGather{kRing, kDoubling};
inline constexpr std::array kReduceScatter{kRing, kHalvingDoubling};
inline constexpr std::array kBarrier{kDoubling};

// One shot, where no sum of everything is shared: between near cores it is faster up to some 32 KiB. Between
// far ones a rank's next entry waits for each line that others have read, while the stages of a host and the
// channels leave lines alone for longer (docs/decisions/0005). Where ranks share cores: see one_shot_limit().
constexpr size_t kShare = 8 << 10;
constexpr size_t kGather = 16 << 10;
constexpr size_t kAsTheUserAllows = SIZE_MAX;

}  // namespace rows

// By number.
inline constexpr std::array<CollectiveTraits, static_cast<size_t>(Collective::kCount)> kCollectives{{
    {.kind = Collective::kNone, .name = "nothing", .sized = false},
    {.kind = Collective::kAllReduce,
     .name = "all_reduce",
     .reduces = true,
     .one_shot = rows::kAsTheUserAllows,
     .plan = Collective::kAllReduce,
     .algorithms = rows::kAllReduce},
    {.kind = Collective::kBroadcast,
     .name = "broadcast",
     .rooted = true,
     .one_shot = rows::kShare,
     .plan = Collective::kBroadcast,
     .algorithms = rows::kBroadcast},
    {.kind = Collective::kAllGather,
     .name = "all_gather",
     .outputs = true,
     .one_shot = rows::kShare,
     .all_shares = true,
     .plan = Collective::kAllGather,
     .algorithms = rows::kAllGather},
    {.kind = Collective::kReduceScatter,
     .name = "reduce_scatter",
     .reduces = true,
     .inputs = true,
     .one_shot = rows::kShare,
     .all_shares = true,
     .plan = Collective::kReduceScatter,
     .algorithms = rows::kReduceScatter},
    {.kind = Collective::kBarrier,
     .name = "barrier",
     .sized = false,
     .one_shot = rows::kAsTheUserAllows,
     .plan = Collective::kBarrier,
     .algorithms = rows::kBarrier},
    {.kind = Collective::kReduce,
     .name = "reduce",
     .rooted = true,
     .reduces = true,
     .one_shot = rows::kShare,
     .plan = Collective::kBroadcast},  // the other way round
    {.kind = Collective::kGather,
     .name = "gather",
     .rooted = true,
     .outputs = true,
     .one_shot = rows::kGather},
    {.kind = Collective::kScatter,
     .name = "scatter",
     .rooted = true,
     .inputs = true,
     .one_shot = rows::kShare,
     .all_shares = true,
     .large = LargeMessages::kOnceToSeveral},
    {.kind = Collective::kAllToAll,
     .name = "all_to_all",
     .inputs = true,
     .outputs = true,
     .counted = true,
     .large = LargeMessages::kOnce},
    {.kind = Collective::kSend, .name = "send", .message = true, .large = LargeMessages::kOnceBothWays},
    {.kind = Collective::kRecv, .name = "recv", .message = true},
}};

// Of a value off the wire, which may be none of them: those of kNone, but for the name.
constexpr const CollectiveTraits& traits_of(Collective kind) {
    return kCollectives[kind < Collective::kCount ? static_cast<size_t>(kind) : 0];
}
constexpr const char* name_of(Collective kind) {
    return kind < Collective::kCount ? traits_of(kind).name : "unknown";
}

// Whether the cost model knows it, not only one whose plan it takes.
constexpr bool has_plan(Collective kind) {
    return !traits_of(kind).algorithms.empty();
}

// Those, by number.
inline constexpr auto kPlanned = [] {
    constexpr size_t kHow =
        std::ranges::count_if(kCollectives, [](const auto& row) { return has_plan(row.kind); });
    std::array<Collective, kHow> planned{};
    size_t next = 0;
    for (const CollectiveTraits& row : kCollectives)
        if (has_plan(row.kind)) planned[next++] = row.kind;
    return planned;
}();

// busbw is algbw times this, in the convention of nccl-tests: which part of the larger of input and output
// crosses the busiest rank's link, in one direction, among `n` ranks, or hosts.
constexpr double bus_factor(Collective kind, double n) {
    const CollectiveTraits& traits = traits_of(kind);
    if (traits.inputs || traits.outputs) return (n - 1) / n;
    return traits.reduces && !traits.rooted ? 2 * (n - 1) / n : 1;
}

static_assert(in_order(kCollectives, &CollectiveTraits::kind));
static_assert(std::ranges::all_of(kCollectives, [](const CollectiveTraits& row) {
    return has_plan(row.plan) && has_plan(row.kind) == (row.plan == row.kind);
}));

}  // namespace ring
