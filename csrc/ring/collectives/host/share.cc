// See stages.h.
//
// Nomenclature: each owner's part is cut into *chunks*, K of them for the longest part. Iteration k puts
// chunk k of one's own part into an out-slot, waits until everyone has published iteration k-1, copies chunk
// k-1 of the others' parts, and publishes. Three slots are needed: put(k) runs when all have ended iteration
// k-2, the last to read chunk k-3.
#include "ring/collectives/host/offers.h"
#include "ring/collectives/host/shared_memory.h"
#include "ring/collectives/host/staging.h"

namespace ring {
namespace {

constexpr size_t kSlotBytes = 128 << 10;
static_assert(kStagingBytes / kSlotBytes >= 3);

}  // namespace

Task SharedMemoryStages::share(Context& context, Lane lane, std::vector<Extents> shared,
                               Wanted wanted) const {
    if (context.segment == nullptr) co_return;
    Segment& segment = *context.segment;
    const auto me = static_cast<size_t>(segment.local_rank());
    size_t longest = 0;
    Offered all;
    size_t owners = 0;
    for (const Extents& part : shared) {
        longest = std::max(longest, total_bytes(part));
        all.bytes += total_bytes(part);
        all.extents += part.size();
        if (total_bytes(part) > 0) ++owners;
    }
    all.both_ways = wanted == Wanted::kByAll && owners == static_cast<size_t>(segment.local_size());
    if (goes_by_offers(context, lane, all)) {
        std::vector<Want> wants;
        for (size_t j = 0; j < shared.size(); ++j)
            if (j != me && !shared[j].empty()) wants.push_back({static_cast<int>(j), 0, shared[j]});
        Extents offered;
        if (me < shared.size()) offered = shared[me];
        bool read = false;
        co_await read_offers(context, lane, std::move(offered), std::move(wants), read);
        if (read) co_return;
    }
    const size_t chunks = (longest + kSlotBytes - 1) / kSlotBytes;
    const size_t iterations = chunks == 0 ? 0 : chunks + 1;
    const int flags = host_lane(lane);
    const uint64_t base = context.group.phase[flags];

    co_await until(PhaseReached(segment, flags, base));
    for (size_t k = 0; k < iterations; ++k) {
        if (k < chunks && me < shared.size())
            put_chunk(shared[me], kSlotBytes, k,
                      segment.out_slot(segment.local_rank(), flags, base + k, kSlotBytes));
        co_await until(PhaseReached(segment, flags, base + k));
        if (k >= 1)
            for (size_t j = 0; j < shared.size(); ++j)
                if (j != me)
                    get_chunk(shared[j], kSlotBytes, k - 1,
                              segment.out_slot(static_cast<int>(j), flags, base + k - 1, kSlotBytes));
        segment.publish(flags, base + k + 1);
    }
    context.group.phase[flags] = base + iterations;
}

}  // namespace ring
