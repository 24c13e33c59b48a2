// See context.h.
#include "ring/collectives/context.h"

#include <cassert>

#include "ring/base/error.h"
#include "ring/base/mismatch.h"

namespace ring {
namespace {

FrameHeader header_of(const Context& context, size_t bytes) {
    FrameHeader header{
        .group = context.group.id, .operation = context.operation, .signature = context.signature()};
    header.length = bytes;
    header.history = context.history;
    return header;
}

// Whether a sum is made in more than one step: not where one rank of a host adds up all, or one of each of
// two hosts both.
bool keeps_partials(const Layout& layout) {
    return layout.cells() > 2 || (layout.cells() == 2 && layout.largest_cell() > 1);
}

}  // namespace

size_t Context::partial_bytes() const {
    return size_of(keeps_partials(layout) ? partial_dtype(signature().dtype, signature().op)
                                          : signature().dtype);
}

Reduction Context::reduction(ReduceStage stage) const {
    const bool whole = stage == ReduceStage::kWhole;
    const bool last = whole || stage == ReduceStage::kLast;
    const bool divides = last && signature().op == ReduceOp::kAvg;
    return {.function = reduce_function(signature().dtype, signature().op,
                                        keeps_partials(layout) ? stage : ReduceStage::kWhole),
            .in = whole || stage == ReduceStage::kFirst ? element_bytes() : partial_bytes(),
            .out = last ? element_bytes() : partial_bytes(),
            .divisor = divides ? static_cast<size_t>(layout.size()) : 1};
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

bool announced_alike(const Context& context) {
    const Segment& segment = *context.segment;
    for (int l = 0; l < segment.local_size(); ++l)
        if (segment.announced(l, context.operation).signature != context.signature()) return false;
    return true;
}

void check_announcements(const Context& context) {
    if (context.segment == nullptr || announced_alike(context)) return;
    const Segment& segment = *context.segment;
    const auto reference = segment.announced(0, context.operation);
    for (int l = 1; l < segment.local_size(); ++l) {
        const auto other = segment.announced(l, context.operation);
        if (other.signature != reference.signature)
            throw DifferentCalls({segment.rank_of(l), context.operation, other.signature},
                                 {segment.rank_of(0), context.operation, reference.signature});
    }
}

}  // namespace ring
