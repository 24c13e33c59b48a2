// See link.h.
#include "ring/transport/link.h"
#include "ring/base/mismatch.h"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

namespace ring {
namespace {

constexpr size_t kHeaderBytes = sizeof(FrameHeader);
// What a stream takes from the queue at a time: enough for small frames to share a system call and for large
// ones to keep the socket full, little enough that a stream which stalls does not hold much back.
constexpr size_t kTakeFrames = 16;
constexpr size_t kTakeBytes = 256 << 10;
constexpr size_t kWorthPolling = 16 << 10;  // still to come of a frame

}  // namespace

Link::Link(int self, int peer, std::vector<std::unique_ptr<Pipe>> streams) : self_(self), peer_(peer) {
    for (auto& pipe : streams) {
        Stream stream;
        stream.pipe = std::move(pipe);
        streams_.push_back(std::move(stream));
    }
}

std::vector<int> Link::fds() const {
    std::vector<int> fds;
    for (const Stream& stream : streams_)
        if (stream.pipe->fd() >= 0) fds.push_back(stream.pipe->fd());
    return fds;
}

uint64_t Link::post_send(const FrameHeader& header, const std::byte* data) {
    // The payload is only ever read; one struct serves both directions.
    const uint64_t ticket = sends_.push({header, const_cast<std::byte*>(data)});
    sends_.at(ticket).header.index = ticket;
    return ticket;
}

uint64_t Link::post_recv(const FrameHeader& expected, std::byte* data) {
    const uint64_t ticket = recvs_.push({expected, data});
    recvs_.at(ticket).header.index = ticket;
    return ticket;
}

bool Link::progress() {
    bool moved = false;
    std::exception_ptr broken;
    const auto drive = [&](bool (Link::*move)(Stream&)) {
        for (Stream& stream : streams_) try {
                moved = (this->*move)(stream) || moved;
            } catch (const PeerGone&) {
                broken = std::current_exception();
            }
    };
    drive(&Link::progress_sends);
    drive(&Link::progress_recvs);
    if (broken != nullptr && !moved) std::rethrow_exception(broken);
    return moved;
}

uint64_t Link::operation() const {
    const uint64_t out = sends_.empty() ? UINT64_MAX : sends_.front().header.operation;
    const uint64_t in = recvs_.empty() ? UINT64_MAX : recvs_.front().header.operation;
    return std::min(out, in);
}

bool Link::slow() const {
    if (!sends_.empty()) return true;
    for (const Stream& stream : streams_)
        if (stream.in.frame != 0 &&
            kHeaderBytes + recvs_.at(stream.in.frame).header.length - stream.in.moved > kWorthPolling)
            return true;
    return false;
}

void Link::abort() {
    sends_.clear();
    recvs_.clear();
    for (Stream& stream : streams_) {
        stream.out.frames.clear();
        stream.in.frame = 0;
        stream.refused = true;
    }
}

void Link::take_frames(Outgoing& out) {
    while (taken_ < sends_.pushed() && out.frames.size() < kTakeFrames && out.bytes < kTakeBytes) {
        out.frames.push(++taken_);
        out.bytes += kHeaderBytes + sends_.at(taken_).header.length;
    }
}

void Link::count_sent(Outgoing& out, size_t bytes) {
    out.bytes -= bytes;
    while (bytes > 0) {
        Posted& frame = sends_.at(out.frames.front());
        const size_t step = std::min(bytes, kHeaderBytes + frame.header.length - out.moved);
        out.moved += step;
        bytes -= step;
        if (out.moved < kHeaderBytes + frame.header.length) break;  // the last one, in part
        frame.done = true;
        out.frames.pop();
        out.moved = 0;
    }
    while (!sends_.empty() && sends_.front().done) sends_.pop();
}

bool Link::progress_sends(Stream& stream) {
    Outgoing& out = stream.out;
    bool moved_any = false;
    while (true) {
        take_frames(out);
        if (out.frames.empty()) return moved_any;
        std::array<iovec, 2 * kTakeFrames> pieces;
        size_t count = 0;
        size_t moved = out.moved;
        for (uint64_t i = out.frames.popped() + 1; i <= out.frames.pushed(); ++i) {
            Posted& frame = sends_.at(out.frames.at(i));
            if (moved < kHeaderBytes)
                pieces[count++] = {reinterpret_cast<std::byte*>(&frame.header) + moved, kHeaderBytes - moved};
            const size_t payload_moved = moved > kHeaderBytes ? moved - kHeaderBytes : 0;
            if (payload_moved < frame.header.length)
                pieces[count++] = {frame.data + payload_moved, frame.header.length - payload_moved};
            moved = 0;
        }
        const size_t offered = out.bytes;
        const size_t written = stream.pipe->write(pieces.data(), static_cast<int>(count));
        if (written == 0) return moved_any;
        moved_any = true;
        count_sent(out, written);
        // A short write means a full pipe: asking again at once would only cost a system call.
        if (written < offered) return moved_any;
    }
}

bool Link::claim(Stream& stream) {
    Incoming& in = stream.in;
    if (in.frame != 0) return true;
    if (streams_.size() == 1) {
        // In order, so it is known before a byte has come, and header and payload take one call.
        if (claimed_ == recvs_.pushed()) return false;
        in.frame = ++claimed_;
        return true;
    }
    if (in.moved < kHeaderBytes) return false;
    const uint64_t oldest = recvs_.popped() + 1;
    // Of what does not look like ours the number means nothing: check() refuses it.
    const bool ours = in.header.magic == kFrameMagic && in.header.version == kProtocolVersion;
    if (ours && in.header.index > recvs_.pushed()) return false;
    in.frame = ours ? std::max(in.header.index, oldest) : oldest;  // an old number is refused by check(), too
    if (in.frame >= refused_from_) {
        refuse(stream, in.frame);
        return false;
    }
    Posted& posted = recvs_.at(in.frame);
    check(stream, posted.header);
    if (std::exchange(posted.begun, true)) {
        const uint64_t twice = in.frame;
        refuse(stream, twice);
        throw Error("rank " + std::to_string(peer_) + " sent frame " + std::to_string(twice) +
                    " twice: torch_ring is broken, please report it");
    }
    return true;
}

void Link::refuse(Stream& stream, uint64_t frame) {
    stream.refused = true;
    stream.in.frame = 0;
    refused_from_ = std::min(refused_from_, frame);
}

size_t Link::read(Stream& stream, const iovec* pieces, int count) {
    if (!stream.closed) try {
            return stream.pipe->read(pieces, count);
        } catch (const PeerClosed&) {
            stream.closed = true;
        }
    // Frames are whole on one stream: those that are missing may be on another that is still open. Said each
    // time: progress() passes it on only when nothing else has moved.
    const bool open =
        std::any_of(streams_.begin(), streams_.end(), [](const Stream& one) { return one.receives(); });
    if (!open || stream.in.moved > 0) throw PeerClosed("the connection was closed");
    return 0;
}

bool Link::progress_recvs(Stream& stream) {
    Incoming& in = stream.in;
    bool moved_any = false;
    while (!stream.refused && !recvs_.empty()) {
        const bool claimed = claim(stream);
        // Several streams: the header says which frame it is. One that nobody has posted yet has to wait.
        if (!claimed && (streams_.size() == 1 || in.moved >= kHeaderBytes)) return moved_any;
        std::array<iovec, 2> pieces;
        int count = 0;
        if (in.moved < kHeaderBytes)
            pieces[count++] = {reinterpret_cast<std::byte*>(&in.header) + in.moved, kHeaderBytes - in.moved};
        size_t total = kHeaderBytes;
        if (claimed) {
            // With one stream the payload is where it belongs before the header has been looked at, which is
            // safe because the buffer is this frame's own and a wrong header fails the operation.
            const Posted& frame = recvs_.at(in.frame);
            total += frame.header.length;
            const size_t payload_moved = in.moved > kHeaderBytes ? in.moved - kHeaderBytes : 0;
            if (payload_moved < frame.header.length)
                pieces[count++] = {frame.data + payload_moved, frame.header.length - payload_moved};
        }
        if (count > 0) {
            const size_t got = read(stream, pieces.data(), count);
            if (got == 0) return moved_any;
            moved_any = true;
            const bool had_header = in.moved >= kHeaderBytes;
            in.moved += got;
            if (!had_header && in.moved >= kHeaderBytes && claimed) check(stream, recvs_.at(in.frame).header);
        }
        if (!claimed || in.moved < total) continue;
        recvs_.at(in.frame).done = true;
        in.frame = 0;
        in.moved = 0;
        while (!recvs_.empty() && recvs_.front().done) recvs_.pop();
    }
    return moved_any;
}

void Link::check(Stream& stream, const FrameHeader& expected) {
    const FrameHeader& incoming = stream.in.header;
    if (incoming == expected) return;
    refuse(stream, stream.in.frame);
    const std::string from = "rank " + std::to_string(peer_);
    if (incoming.magic != kFrameMagic)
        throw Error(from + " sent something that is not a frame of torch_ring");
    if (incoming.version != kProtocolVersion)
        throw Error(from + " speaks protocol version " + std::to_string(incoming.version) + ", this rank " +
                    std::to_string(kProtocolVersion) + ": install the same torch_ring everywhere");
    if (incoming.operation != expected.operation || incoming.signature != expected.signature)
        throw DifferentCalls({peer_, incoming.operation, incoming.signature},
                             {self_, expected.operation, expected.signature});
    if (incoming.history != expected.history)
        throw DifferentPast(peer_, expected.operation, expected.signature);
    throw Error(from + " sent frame " + std::to_string(incoming.index) + " of " +
                std::to_string(incoming.length) + " bytes where frame " + std::to_string(expected.index) +
                " of " + std::to_string(expected.length) +
                " bytes was due: torch_ring is broken, please report it");
}

}  // namespace ring
