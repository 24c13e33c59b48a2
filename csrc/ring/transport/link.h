// Frames to and from one peer, over one or several streams: posts sends and receives, moves them when driven,
// checks each header against what is expected.
//
// Both directions are in order of posting, and independent of each other. The algorithms post; the engine
// calls progress() while anything is posted. With several streams each takes the next frames from the common
// queue when it has room, so that a slow stream takes less.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ring/base/fifo.h"
#include "ring/transport/frame.h"
#include "ring/transport/pipe.h"
#include "ring/transport/waitable.h"

namespace ring {

// Not thread-safe: used by the one thread that drives the group.
class Link {
  public:
    // The peer's link has as many streams, in the same order.
    Link(int self, int peer, std::vector<std::unique_ptr<Pipe>> streams);

    int peer() const { return peer_; }
    size_t streams() const { return streams_.size(); }
    // Their events tell that progress() may move something again; none where the kernel does not know: see
    // Pipe::fd().
    std::vector<int> fds() const;

    // Posts a frame; the link numbers it (header.index). `data` stays untouched and alive until sent() has
    // reached the returned ticket.
    uint64_t post_send(const FrameHeader& header, const std::byte* data);
    // Posts the receipt of the next frame, which must carry this header; its payload goes to `data`, which is
    // complete when received() has reached the returned ticket.
    uint64_t post_recv(const FrameHeader& expected, std::byte* data);

    // All tickets up to these are done.
    uint64_t sent() const { return sends_.popped(); }
    uint64_t received() const { return recvs_.popped(); }
    bool busy() const { return !sends_.empty() || !recvs_.empty(); }
    // What it waits for now takes the network so long that polling for it would waste the CPU, and fetch the
    // data in needlessly small bits: the peer takes no more, or much of a frame is still to come.
    bool slow() const;
    // The operation of the first frame that is still to be sent or received, while busy().
    uint64_t operation() const;

    // Moves what can be moved now; true if any byte moved.
    // Throws MismatchError (the peer called something else), Error (not our protocol), or PeerGone, but only
    // when all that arrived before and is posted has been received. After a MismatchError nothing from the
    // frame that was wrong on is received any more, but those before it are: with several streams they may
    // still be on their way.
    bool progress();

    // Forgets everything that is posted: its memory is not touched any more. The link is of no use
    // afterwards.
    void abort();

  private:
    struct Posted {
        FrameHeader header;
        std::byte* data = nullptr;
        bool begun = false;  // a stream fills it
        bool done = false;
    };
    // The frames that a stream is sending: consecutive in its own order, the first one partly sent.
    struct Outgoing {
        Fifo<uint64_t> frames;
        size_t moved = 0;  // of the first one, header and payload together
        size_t bytes = 0;  // of all of them, still to go
    };
    struct Incoming {
        FrameHeader header;
        size_t moved = 0;
        uint64_t frame = 0;  // the posted receive that it fills; 0 while that is not known
    };
    struct Stream {
        std::unique_ptr<Pipe> pipe;
        Outgoing out;
        Incoming in;
        bool closed = false;   // by the peer; what it sent before may still lie in the other streams
        bool refused = false;  // what came was wrong, or is behind what was: nothing more is received
        bool receives() const { return !closed && !refused; }
    };

    bool progress_sends(Stream& stream);
    bool progress_recvs(Stream& stream);
    size_t read(Stream& stream, const iovec* pieces, int count);
    void take_frames(Outgoing& out);
    void count_sent(Outgoing& out, size_t bytes);
    // Finds out which posted receive the frame is for; false while that is not posted.
    bool claim(Stream& stream);
    void check(Stream& stream, const FrameHeader& expected);
    void refuse(Stream& stream, uint64_t frame);

    int self_;
    int peer_;
    std::vector<Stream> streams_;
    Fifo<Posted> sends_;
    Fifo<Posted> recvs_;
    uint64_t taken_ = 0;                  // sends up to this one belong to a stream
    uint64_t claimed_ = 0;                // single stream: receives up to this one belong to it
    uint64_t refused_from_ = UINT64_MAX;  // this frame was wrong
};

// Waits until a link has sent or received up to a ticket.
class SentUpTo : public Waitable {
  public:
    SentUpTo(const Link& link, uint64_t ticket) : link_(link), ticket_(ticket) {}
    bool ready() override { return link_.sent() >= ticket_; }
    std::vector<int> awaited() const override { return {link_.peer()}; }

  private:
    const Link& link_;
    uint64_t ticket_;
};

class ReceivedUpTo : public Waitable {
  public:
    ReceivedUpTo(const Link& link, uint64_t ticket) : link_(link), ticket_(ticket) {}
    bool ready() override { return link_.received() >= ticket_; }
    std::vector<int> awaited() const override { return {link_.peer()}; }

  private:
    const Link& link_;
    uint64_t ticket_;
};

}  // namespace ring
