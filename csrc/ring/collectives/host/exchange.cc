// An all_reduce of the two ranks of one host: each shows its input to the other and reduces both itself: one
// hand-over less than by way of an owner, and for two ranks no more bytes between the cores.
//
// Nomenclature: the input is cut into K *chunks*. Iteration k stages chunk k, publishes it, waits until the
// other has published its chunk k-1, and reduces that.
//
// Why there must be four slots: stage(k) runs when the other has published iteration k-2, which it does
// before it reduces chunk k-3; so it may still read that one and the three after it.
#include <array>

#include "ring/collectives/host/exchange.h"
#include "ring/kernels/copy.h"

namespace ring {

namespace {

constexpr size_t kSlotBytes = 128 << 10;
static_assert(kStagingBytes / kSlotBytes >= 4);

}  // namespace

Task host_exchange(Context& context, Extent input, Extent output) {
    Segment& segment = *context.segment;
    const int flags = host_lane(Lane::kHostIn);
    const int me = segment.local_rank();
    const int other = 1 - me;
    const size_t chunks = (input.bytes + kSlotBytes - 1) / kSlotBytes;
    const uint64_t base = context.group.phase[flags];
    const Reduction add = context.reduction(ReduceStage::kWhole);

    co_await until(PhaseReached(segment, flags, base));
    for (size_t k = 0; k <= chunks; ++k) {
        if (k < chunks) {
            copy_to_shared(segment.in_slot(me, base + k, kSlotBytes), input.data + k * kSlotBytes,
                           chunk_length(input.bytes, kSlotBytes, k));
            segment.publish(flags, base + k + 1);
        }
        if (k == 0) continue;
        co_await until(PhaseReachedBy(segment, other, flags, base + k));
        const size_t begin = (k - 1) * kSlotBytes;
        std::array<const void*, 2> sources;
        sources[me] = input.data + begin;
        sources[other] = segment.in_slot(other, base + k - 1, kSlotBytes);
        const size_t bytes = chunk_length(input.bytes, kSlotBytes, k - 1);
        add(output.data + begin, sources.data(), sources.size(), bytes / add.in);
    }
    context.group.phase[flags] = base + chunks + 1;
    segment.publish(flags, base + chunks + 1);  // has read all
}

}  // namespace ring
