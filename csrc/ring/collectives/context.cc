// See context.h.
#include "ring/collectives/context.h"

#include <cassert>
#include <new>

#include "ring/base/error.h"

namespace ring {
namespace {

FrameHeader header_of(const Context& context, size_t bytes) {
    FrameHeader header{
        .group = context.group.id, .operation = context.operation, .signature = context.signature()};
    header.length = bytes;
    return header;
}

}  // namespace

std::byte* Scratch::take(size_t bytes) {
    if (next_ == blocks_.size()) blocks_.emplace_back();
    Block& block = blocks_[next_++];
    if (block.bytes < bytes) {
        block.memory.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{64})));
        block.bytes = bytes;
    }
    return block.memory.get();
}

uint64_t Context::send(int position, const std::byte* data, size_t bytes) const {
    return link(position).post_send(header_of(*this, bytes), data);
}

uint64_t Context::receive(int position, std::byte* data, size_t bytes) const {
    return link(position).post_recv(header_of(*this, bytes), data);
}

TransferPtr Context::send_message(int rank, const void* data, size_t bytes, size_t credit) const {
    return group.mailbox->send(rank, {operation, static_cast<int64_t>(piece)}, signature(),
                               static_cast<const std::byte*>(data), bytes, credit);
}

TransferPtr Context::receive_message(int rank, void* data, size_t bytes) const {
    return group.mailbox->receive(rank, {operation, static_cast<int64_t>(piece)}, signature(),
                                  static_cast<std::byte*>(data), bytes);
}

void Context::pass(Lane lane) {
    const auto index = static_cast<size_t>(lane);
    assert(lanes_passed == index && group.serving[index] == number);
    ++group.serving[index];
    ++lanes_passed;
}

void check_announcements(const Context& context) {
    if (context.segment == nullptr) return;
    const Segment& segment = *context.segment;
    const auto reference = segment.announced(0, context.operation);
    for (int l = 1; l < segment.local_size(); ++l) {
        const auto other = segment.announced(l, context.operation);
        if (other.signature != reference.signature)
            throw MismatchError(
                describe_mismatch(segment.rank_of(l), other.operation, other.signature, segment.rank_of(0),
                                  reference.operation, reference.signature),
                context.operation);
    }
}

}  // namespace ring
