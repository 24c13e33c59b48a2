// See host.h.
//
// Nomenclature: each owner's part is cut into *chunks*, K of them for the longest part. Iteration k puts
// chunk k of one's own part into an out-slot, waits until everyone has published iteration k-1, copies chunk
// k-1 of the others' parts, and publishes. Why kOutSlots = 3: put(k) runs when all have ended iteration k-2,
// the last to read chunk k-3.
#include "ring/collectives/host.h"

namespace ring {

Task host_share(Context& context, std::vector<Extents> shared) {
    if (context.segment == nullptr) co_return;
    Segment& segment = *context.segment;
    const auto me = static_cast<size_t>(segment.local_rank());
    size_t longest = 0;
    for (const Extents& part : shared) longest = std::max(longest, total_bytes(part));
    const size_t chunks = (longest + kStageBytes - 1) / kStageBytes;
    const size_t iterations = chunks == 0 ? 0 : chunks + 1;
    const uint64_t base = context.phase;

    PhaseReached previous_stage(segment, base);
    co_await until(previous_stage);
    for (size_t k = 0; k < iterations; ++k) {
        if (k < chunks && me < shared.size())
            copy_chunk_out(shared[me], kStageBytes, k, segment.out_slot(me, k));
        PhaseReached previous(segment, base + k);
        co_await until(previous);
        if (k >= 1)
            for (size_t j = 0; j < shared.size(); ++j)
                if (j != me) copy_chunk_in(shared[j], kStageBytes, k - 1, segment.out_slot(j, k - 1));
        segment.publish(base + k + 1);
    }
    context.phase = base + iterations;
}

}  // namespace ring
