// See stages.h. Each rank reads its input once and writes its output once; what lies between stays in cache.
//
// Nomenclature: each owner's part is cut into *chunks*, K of them for the longest part. Chunk k of all parts
// passes through three steps, which overlap for successive chunks:
//   stage   copy the contributions to the other owners' chunk k into one's in-slot
//   reduce  the owner sums chunk k over all ranks' in-slots (its own contribution directly from the input)
//   into its result gather  copy the other owners' results out of their out-slots
// Iteration k of the loop stages chunk k, reduces chunk k-1, gathers chunk k-2 and then publishes one phase.
// It waits once, between stage and reduce, for everyone to have published iteration k-1; so a rank only ever
// waits for work that had a whole iteration's time to be done.
//
// Of the in-slots three are needed: stage(k) runs when all have ended iteration k-2, the last to read chunk
// k-3. Of the out-slots two: reduce(k-1) runs when all have ended iteration k-1, the last to read the result
// of chunk k-3.
#include <array>

#include "ring/collectives/host/shared_memory.h"
#include "ring/collectives/host/staging.h"

namespace ring {
namespace {

constexpr size_t kLine = 64;
// Of chunk k of all parts. As large as still lies in L2 four times: with more ranks than cores each hand-over
// costs a switch of context.
constexpr size_t kSlotBytes = 256 << 10;
static_assert(kStagingBytes / kSlotBytes >= 3);

// This rank's part of chunk k: the sum over all ranks, in order of local rank, so that the bits do not depend
// on timing. What nobody wants here goes straight to `slot`, for the others.
void reduce_chunk(const Context& context, const Extents& own, const Extents& result, size_t chunk, size_t k,
                  uint64_t phase, const Reduction& add, std::byte* slot) {
    const Segment& segment = *context.segment;
    const int me = segment.local_rank();
    const int n = segment.local_size();
    std::vector<const void*> sources(n);
    std::vector<Extent> inputs;
    for_each_part(own, k * chunk, chunk,
                  [&](std::byte* part, size_t bytes, size_t) { inputs.push_back({part, bytes}); });
    size_t index = 0;
    const size_t result_chunk = chunk / add.in * add.out;
    for_each_part(result, k * result_chunk, result_chunk, [&](std::byte* to, size_t bytes, size_t offset) {
        const size_t from = offset / add.out * add.in;
        for (int l = 0; l < n; ++l)
            sources[l] =
                l == me ? inputs[index].data : segment.in_slot(l, phase, kSlotBytes) + me * chunk + from;
        ++index;
        add(to != nullptr ? to : slot + offset, sources.data(), n, bytes / add.out);
    });
}

}  // namespace

Task SharedMemoryStages::reduce(Context& context, std::vector<Extents> contributions, Extents result,
                                ReduceStage stage, std::vector<Extents> shared) const {
    const size_t owners = contributions.size();
    const Reduction add = context.reduction(stage);
    if (context.segment == nullptr) {
        size_t index = 0;
        for (const Extent& to : result) {
            const void* from = contributions[0][index++].data;
            if (from == to.data && add.in == add.out && add.divisor == 1) continue;
            add(to.data, &from, 1, to.bytes / add.out);
        }
        co_return;
    }
    Segment& segment = *context.segment;
    const int flags = host_lane(Lane::kHostIn);
    const auto me = static_cast<size_t>(segment.local_rank());
    const size_t chunk = kSlotBytes / owners / kLine * kLine;
    size_t longest = 0;
    for (const Extents& part : contributions) longest = std::max(longest, total_bytes(part));
    const size_t chunks = (longest + chunk - 1) / chunk;
    const size_t iterations = chunks == 0 ? 0 : chunks + (shared.empty() ? 1 : 2);
    const uint64_t base = context.group.phase[flags];

    co_await until(PhaseReached(segment, flags, base));
    for (size_t k = 0; k < iterations; ++k) {
        if (k < chunks)
            for (size_t j = 0; j < owners; ++j)
                if (j != me)
                    put_chunk(contributions[j], chunk, k,
                              segment.in_slot(segment.local_rank(), base + k, kSlotBytes) + j * chunk);
        co_await until(PhaseReached(segment, flags, base + k));
        if (k >= 1 && k <= chunks && me < owners) {
            std::byte* const slot = segment.out_slot(segment.local_rank(), flags, base + k - 1, kSlotBytes);
            reduce_chunk(context, contributions[me], result, chunk, k - 1, base + k - 1, add, slot);
            if (!shared.empty() && result[0].data != nullptr) put_chunk(result, chunk, k - 1, slot);
        }
        if (k >= 2 && !shared.empty())
            for (size_t j = 0; j < owners; ++j)
                if (j != me)
                    get_chunk(shared[j], chunk, k - 2,
                              segment.out_slot(static_cast<int>(j), flags, base + k - 2, kSlotBytes));
        segment.publish(flags, base + k + 1);
    }
    context.group.phase[flags] = base + iterations;
}

}  // namespace ring
