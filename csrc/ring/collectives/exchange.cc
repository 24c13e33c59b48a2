// See exchange.h.
#include "ring/collectives/exchange.h"

#include <algorithm>

namespace ring {
namespace {

constexpr size_t kWindow = 4;  // receives posted ahead of a reduction, as in ring.cc

}  // namespace

Task exchange(Context& context, int position, Extents out, Arrivals in) {
    Link& link = context.link(position);
    uint64_t sent = 0;
    for (const Extent& frame : out) sent = context.send(position, frame.data, frame.bytes);

    const size_t frames = in.to.size();
    if (in.local.empty()) {
        uint64_t received = 0;
        for (const Extent& frame : in.to) received = context.receive(position, frame.data, frame.bytes);
        co_await until(ReceivedUpTo(link, received));
    } else {
        size_t largest = 0;
        for (const Extent& frame : in.local) largest = std::max(largest, frame.bytes);
        const Reduction add = context.reduction(in.stage);
        const Scratch::Mark mark = context.scratch.mark();
        std::byte* const arrivals = context.scratch.take(kWindow * largest);
        size_t posted = 0;
        uint64_t first_ticket = 0;
        for (size_t i = 0; i < frames; ++i) {
            for (; posted < std::min(frames, i + kWindow); ++posted) {
                const uint64_t ticket = context.receive(position, arrivals + (posted % kWindow) * largest,
                                                        in.local[posted].bytes);
                if (posted == 0) first_ticket = ticket;
            }
            co_await until(ReceivedUpTo(link, first_ticket + i));
            const void* const sources[] = {in.local[i].data, arrivals + (i % kWindow) * largest};
            if (in.local[i].bytes > 0) add(in.to[i].data, sources, 2, in.local[i].bytes / add.in);
        }
        context.scratch.release(mark);
    }
    co_await until(SentUpTo(link, sent));
}

}  // namespace ring
