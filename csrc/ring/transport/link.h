// Frames over a pipe: posts sends and receives, moves them when driven, checks each header against what is
// expected.
//
// Both directions are in order. The algorithms post; the engine calls progress() while anything is posted.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "ring/transport/frame.h"
#include "ring/transport/pipe.h"
#include "ring/transport/waitable.h"

namespace ring {

// Not thread-safe: used by the one thread that drives the group.
class Link {
  public:
    Link(int self, int peer, std::unique_ptr<Pipe> pipe) : self_(self), peer_(peer), pipe_(std::move(pipe)) {}

    int peer() const { return peer_; }

    // Posts a frame; `data` stays untouched and alive until sent() has reached the returned ticket.
    uint64_t post_send(const FrameHeader& header, const std::byte* data);
    // Posts the receipt of the next frame, which must carry exactly this header; its payload goes to `data`,
    // which is complete when received() has reached the returned ticket.
    uint64_t post_recv(const FrameHeader& expected, std::byte* data);

    uint64_t sent() const { return sent_; }
    uint64_t received() const { return received_; }
    bool busy() const { return !sends_.empty() || !recvs_.empty(); }

    // Moves what can be moved now; true if any byte moved.
    // Throws MismatchError (the peer called something else), PeerGone, or Error (not our protocol).
    bool progress();

    // Forgets everything that is posted: its memory is not touched any more. The link is of no use
    // afterwards.
    void abort();

  private:
    struct Posted {
        FrameHeader header;
        std::byte* data;
        size_t moved = 0;  // of header and payload together
    };

    bool progress_sends();
    bool progress_recvs();
    void check(const FrameHeader& expected) const;

    int self_;
    int peer_;
    std::unique_ptr<Pipe> pipe_;
    std::deque<Posted> sends_;
    std::deque<Posted> recvs_;
    FrameHeader incoming_;  // the header of the front receive, as far as it has arrived
    uint64_t posted_sends_ = 0;
    uint64_t posted_recvs_ = 0;
    uint64_t sent_ = 0;
    uint64_t received_ = 0;
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
