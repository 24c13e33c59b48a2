// See one_shot.h.
#include "ring/collectives/one_shot.h"

#include <array>
#include <cstring>

#include "ring/collectives/host/one_shot.h"
#include "ring/collectives/hypercube.h"

namespace ring {
namespace {

constexpr int kLeader = 0;

}  // namespace

bool is_one_shot(const Context& context) {
    return context.layout.cells() > 1 && context.bytes() <= kSmallBytes && context.plan->rails == 1 &&
           context.plan->algorithm == RailAlgorithm::kDoubling;
}

Task one_shot(Context& context) {
    const size_t bytes = context.bytes();
    auto* const output = static_cast<std::byte*>(context.arguments->output);
    Segment* const segment = context.segment;

    co_await context.turn(Lane::kHostIn);
    co_await enter(context, context.arguments->input, bytes);
    const bool leader = segment == nullptr || segment->local_rank() == kLeader;
    std::byte* sum = output;  // of this host
    if (context.partial_bytes() != context.element_bytes())
        sum = context.scratch.take(context.signature().count * context.partial_bytes());
    if (leader) sum_of_host(context, sum, {context.arguments->input, bytes}, 0, ReduceStage::kFirst);
    context.pass(Lane::kHostIn);
    if (leader) co_await doubling_all_reduce(context, sum, output, context.signature().count);
    if (segment == nullptr) co_return;
    if (!leader) co_await skip(context, Lane::kRail);
    co_await context.turn(Lane::kHostOut);
    const int flags = host_lane(Lane::kHostOut);
    const uint64_t done = ++context.group.phase[flags];
    if (leader) {
        // The result of the operation before last may still be read: all must have ended that one.
        co_await until(PhaseReached(*segment, flags, done - 1));
        if (bytes > 0) std::memcpy(segment->result(kLeader, done), output, bytes);
        segment->publish(flags, done);
    } else {
        co_await until(PhaseReachedBy(*segment, kLeader, flags, done));
        if (bytes > 0) std::memcpy(output, segment->result(kLeader, done), bytes);
        segment->publish(flags, done);
    }
    context.pass(Lane::kHostOut);
}

}  // namespace ring
