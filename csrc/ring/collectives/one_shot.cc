// See one_shot.h.
#include "ring/collectives/one_shot.h"

#include <array>
#include <cstring>

#include "ring/collectives/hypercube.h"

namespace ring {
namespace {

constexpr int kLeader = 0;

// The sum of what the ranks of the host entered with, in order of local rank.
void sum_of_host(Context& context, void* to, size_t divisor) {
    const size_t bytes = context.bytes();
    if (bytes == 0) return;  // a barrier, or an empty tensor
    const Segment& segment = *context.segment;
    const auto ranks = static_cast<size_t>(segment.local_size());
    auto* const sources = reinterpret_cast<const void**>(context.scratch.take(ranks * sizeof(void*)));
    for (size_t l = 0; l < ranks; ++l)
        sources[l] = segment.payload(static_cast<int>(l), context.operation, bytes);
    context.reduce()(to, sources, ranks, context.signature().count, divisor);
}

}  // namespace

bool is_one_shot_in_host(const Layout& layout, const Config& config, const Signature& called) {
    if (layout.cells() > 1) return false;
    return called.kind == Collective::kBarrier ||
           (called.kind == Collective::kAllReduce &&
            called.count * size_of(called.dtype) <= config.host_small_bytes);
}

bool is_one_shot(const Context& context) {
    const size_t bytes = context.bytes();
    if (context.layout.cells() == 1)
        return is_one_shot_in_host(context.layout, context.group.config, context.signature());
    return bytes <= kSmallBytes && context.plan->rails == 1 &&
           context.plan->algorithm == RailAlgorithm::kDoubling;
}

Task one_shot(Context& context) {
    const size_t bytes = context.bytes();
    auto* const output = static_cast<std::byte*>(context.arguments->output);
    Segment* const segment = context.segment;
    const bool one_cell = context.layout.cells() == 1;

    co_await context.turn(Lane::kHostIn);
    co_await enter(context, context.arguments->input, bytes);
    const bool leader = segment == nullptr || segment->local_rank() == kLeader;
    if (segment != nullptr && (leader || one_cell))
        sum_of_host(context, output, one_cell ? context.divisor() : 1);
    if (segment == nullptr && bytes > 0 && output != context.arguments->input)
        std::memcpy(output, context.arguments->input, bytes);
    context.pass(Lane::kHostIn);
    if (one_cell) co_return;

    if (leader) co_await doubling_all_reduce(context, output, bytes, context.divisor());
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
