// See link.h.
#include "ring/transport/link.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ring {
namespace {

constexpr size_t kHeaderBytes = sizeof(FrameHeader);
// Frames gathered into one system call: enough for small frames to share one, few enough for the kernel's
// limit.
constexpr size_t kMaxPieces = 32;

}  // namespace

uint64_t Link::post_send(const FrameHeader& header, const std::byte* data) {
    // The payload is only ever read; one struct serves both directions.
    sends_.push_back({header, const_cast<std::byte*>(data)});
    return ++posted_sends_;
}

uint64_t Link::post_recv(const FrameHeader& expected, std::byte* data) {
    recvs_.push_back({expected, data});
    return ++posted_recvs_;
}

bool Link::progress() {
    const bool sent = progress_sends();
    return progress_recvs() || sent;
}

void Link::abort() {
    sends_.clear();
    recvs_.clear();
}

bool Link::progress_sends() {
    bool moved_any = false;
    while (!sends_.empty()) {
        std::array<iovec, kMaxPieces> pieces;
        size_t count = 0;
        size_t offered = 0;
        for (Posted& frame : sends_) {
            if (count + 2 > kMaxPieces) break;
            if (frame.moved < kHeaderBytes)
                pieces[count++] = {reinterpret_cast<std::byte*>(&frame.header) + frame.moved,
                                   kHeaderBytes - frame.moved};
            const size_t payload_moved = frame.moved > kHeaderBytes ? frame.moved - kHeaderBytes : 0;
            if (payload_moved < frame.header.length)
                pieces[count++] = {frame.data + payload_moved, frame.header.length - payload_moved};
            offered += kHeaderBytes + frame.header.length - frame.moved;
        }
        const size_t written = pipe_->write(pieces.data(), static_cast<int>(count));
        if (written == 0) break;
        moved_any = true;
        for (size_t left = written; left > 0;) {
            Posted& frame = sends_.front();
            const size_t step = std::min(left, kHeaderBytes + frame.header.length - frame.moved);
            frame.moved += step;
            left -= step;
            if (frame.moved < kHeaderBytes + frame.header.length) break;
            sends_.pop_front();
            ++sent_;
        }
        // A short write means a full pipe: asking again at once would only cost a system call.
        if (written < offered) break;
    }
    return moved_any;
}

bool Link::progress_recvs() {
    bool moved_any = false;
    while (!recvs_.empty()) {
        Posted& frame = recvs_.front();
        const size_t total = kHeaderBytes + frame.header.length;
        // Header and payload in one call: the payload is where it belongs before the header has been looked
        // at, which is safe because the buffer is this frame's own and a wrong header fails the operation.
        std::array<iovec, 2> pieces;
        int count = 0;
        if (frame.moved < kHeaderBytes)
            pieces[count++] = {reinterpret_cast<std::byte*>(&incoming_) + frame.moved,
                               kHeaderBytes - frame.moved};
        const size_t payload_moved = frame.moved > kHeaderBytes ? frame.moved - kHeaderBytes : 0;
        if (payload_moved < frame.header.length)
            pieces[count++] = {frame.data + payload_moved, frame.header.length - payload_moved};
        const size_t got = pipe_->read(pieces.data(), count);
        if (got == 0) break;
        moved_any = true;
        const bool had_header = frame.moved >= kHeaderBytes;
        frame.moved += got;
        if (!had_header && frame.moved >= kHeaderBytes) check(frame.header);
        if (frame.moved < total) break;
        recvs_.pop_front();
        ++received_;
    }
    return moved_any;
}

void Link::check(const FrameHeader& expected) const {
    if (incoming_ == expected) return;
    const std::string from = "rank " + std::to_string(peer_);
    if (incoming_.magic != kFrameMagic)
        throw Error(from + " sent something that is not a frame of torch_ring");
    if (incoming_.version != kProtocolVersion)
        throw Error(from + " speaks protocol version " + std::to_string(incoming_.version) + ", this rank " +
                    std::to_string(kProtocolVersion) + ": install the same torch_ring everywhere");
    if (incoming_.operation != expected.operation || incoming_.signature != expected.signature)
        throw MismatchError(describe_mismatch(peer_, incoming_.operation, incoming_.signature, self_,
                                              expected.operation, expected.signature));
    throw Error(from + " sent frame " + std::to_string(incoming_.index) + " of " +
                std::to_string(incoming_.length) + " bytes where frame " + std::to_string(expected.index) +
                " of " + std::to_string(expected.length) +
                " bytes was due: torch_ring is broken, please report it");
}

}  // namespace ring
