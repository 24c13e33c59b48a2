// See context.h.
#include "ring/collectives/context.h"

#include <algorithm>
#include <new>

#include "ring/base/error.h"

namespace ring {

std::byte* Scratch::take(size_t bytes) {
    if (next_ == blocks_.size()) blocks_.emplace_back();
    Block& block = blocks_[next_++];
    if (block.bytes < bytes) {
        block.memory.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{64})));
        block.bytes = bytes;
    }
    return block.memory.get();
}

uint64_t Context::send_next(const std::byte* data, size_t bytes) {
    FrameHeader header{.group = group, .operation = operation, .signature = signature()};
    header.index = frames_sent++;
    header.length = bytes;
    return next->post_send(header, data);
}

uint64_t Context::recv_prev(std::byte* data, size_t bytes) {
    FrameHeader header{.group = group, .operation = operation, .signature = signature()};
    header.index = frames_received++;
    header.length = bytes;
    return prev->post_recv(header, data);
}

Task enter(Context& context) {
    if (context.segment == nullptr) co_return;
    Segment& segment = *context.segment;
    segment.announce(context.operation, context.signature());
    segment.publish(++context.phase);
    PhaseReached entered(segment, context.phase);
    co_await until(entered);
    check_announcements(context);
}

void check_announcements(const Context& context) {
    const Segment& segment = *context.segment;
    const auto reference = segment.announced(0, context.operation);
    for (int l = 1; l < segment.local_size(); ++l) {
        const auto other = segment.announced(l, context.operation);
        if (other.operation != reference.operation || other.signature != reference.signature)
            throw MismatchError(describe_mismatch(segment.rank_of(l), other.operation, other.signature,
                                                  segment.rank_of(0), reference.operation,
                                                  reference.signature));
    }
}

}  // namespace ring
