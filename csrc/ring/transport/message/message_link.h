// Messages to and from one peer over one pipe: the protocol of message.h, without the matching, which is the
// mailbox's.
//
// Within a host one link carries both directions; between hosts the messages of each direction, and what is
// answered to them, go over a connection that their sender opened, so that two ranks may open theirs at the
// same time. Frames are queued while the pipe is not there yet.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/transport/message/message.h"
#include "ring/transport/pipe.h"
#include "ring/transport/shm/peer_memory.h"

namespace ring {

class MessageLink;

// A message that came before anybody received it.
struct Arrival {
    int source = -1;
    MessageHeader header;
    MessageLink* link = nullptr;
    std::unique_ptr<std::byte[]> payload;  // of an eager one
    bool complete = false;                 // the payload is there
};
using ArrivalPtr = std::shared_ptr<Arrival>;

// Decides where messages go; the mailbox.
class MessageSorter {
  public:
    // Where the payload of an eager message goes: to a receive, or into an arrival.
    struct Destination {
        TransferPtr transfer;
        ArrivalPtr arrival;
    };

    virtual ~MessageSorter() = default;
    // Throw MismatchError where the receive that matches expects something else.
    virtual Destination place(MessageLink& link, const MessageHeader& header) = 0;
    virtual void requested(MessageLink& link, const MessageHeader& header) = 0;
};

// Not thread-safe: used by the one thread that drives the group.
class MessageLink {
  public:
    MessageLink(int peer, uint64_t group, MessageSorter& sorter);

    int peer() const { return peer_; }
    // `memory`: the peer's, where it is on this host.
    void attach(std::unique_ptr<Pipe> pipe, std::unique_ptr<PeerMemory> memory = nullptr) {
        pipe_ = std::move(pipe);
        memory_ = std::move(memory);
    }
    bool attached() const { return pipe_ != nullptr; }

    // ---- the sender's side ----
    // `credit`: what eager messages may take, of kCreditBytes.
    void send(const TransferPtr& transfer, size_t credit);
    // As send() with all credit, where at least the beginning can be written now: null when it is whole, and
    // the transfer of what is still to be written. Nothing where nothing has happened.
    std::optional<TransferPtr> send_now(const MessageKey& key, const Signature& signature,
                                        const std::byte* data, size_t bytes);
    // So much is on its way, or waits there, that credit may have come back that has not been read yet.
    bool low_on_credit() const { return on_credit_ > kCreditBytes / 2; }

    // ---- the receiver's side ----
    // Gets a requested message: reads it out of the sender's memory, if `copy_once` and there is a way to it,
    // or lets its sender send it here.
    void fetch(const MessageHeader& header, const TransferPtr& transfer, bool copy_once);
    // An eager message has been claimed.
    void claimed(const MessageHeader& header);
    // The arrival that is being read has been claimed: what has come of it is copied, the rest goes straight
    // there.
    void redirect(const TransferPtr& transfer);

    // Moves what can be moved now; true if any byte moved.
    // Throws Error (not our protocol), or what the sorter throws; the end of the connection it only notes.
    // After a MismatchError the message that was wrong is dropped, and the others go on.
    bool progress();
    // Something is to be written, or is awaited here.
    bool wants_write() const { return !frames_.empty() || !granted_.empty(); }
    bool wants_read() const {
        return !requests_.empty() || !incoming_.empty() || !pulls_.empty() || reading_;
    }
    // progress() could move something: for a pipe that the kernel does not watch.
    bool ready() const {
        return pipe_ != nullptr && !read_closed_ && (!pulls_.empty() || pipe_->ready(wants_write()));
    }
    // Whether a pass of the driver leaves this link alone, though it waits for something: often, once it has
    // asked the kernel again and again for nothing, until the kernel tells, or something is expected anew.
    bool rests();
    void expect() { fruitless_ = 0; }
    // Waits for so much that polling for it would waste the CPU.
    bool slow() const { return blocked_ || (reading_ && left_ > kWorthPolling); }

    // Nothing can be sent, or will be received, any more.
    bool closed_to_send() const { return write_closed_ || read_closed_; }
    bool closed_to_receive() const { return read_closed_; }
    bool said_goodbye() const { return goodbye_; }
    const std::string& why_closed() const { return why_closed_; }
    // Forgets all transfers: their memory is not touched any more.
    void abort();
    // After abort(): tells the peer that this rank left in good order, unless it is in the midst of a frame;
    // true when the peer has all that was ever sent. What comes is dropped.
    bool leave();

  private:
    static constexpr size_t kWorthPolling = 16 << 10;
    static constexpr size_t kAheadBytes = 8 << 10;
    // Each fruitless pass costs a system call or two. A waiter makes fewer before it sleeps. Of those after
    // them one in kPassesPerLook may still find something before the kernel has told of it.
    static constexpr unsigned kEagerPasses = 256;
    static constexpr unsigned kPassesPerLook = 32;
    static constexpr size_t kPullStep = 512 << 10;  // then other work of the group has its turn

    struct Frame {
        MessageHeader header;
        std::byte* data = nullptr;
        size_t bytes = 0;
        TransferPtr transfer{};  // done when the frame is written; null for others
    };

    struct Pull {
        uint64_t id;
        uint64_t address;
        TransferPtr transfer;
    };

    // A link that is not attached yet leads to another host.
    size_t eager_bytes() const { return memory_ != nullptr ? kEagerInHost : kEagerBetweenHosts; }
    MessageHeader header_of(MessageType type, uint64_t id, uint64_t length) const;
    void push(MessageType type, uint64_t id, uint64_t length);
    void push_data();  // the next frame of a granted message
    bool move();
    bool write();
    bool read();
    bool pull();
    void return_credit(const MessageHeader& header);
    void grant(uint64_t id, const TransferPtr& transfer);
    // Takes what lies in `ahead_`; false where more is needed.
    bool digest();
    void open(const MessageHeader& header);
    void payload_complete();

    int peer_;
    uint64_t group_;
    MessageSorter& sorter_;
    std::unique_ptr<Pipe> pipe_;
    std::unique_ptr<PeerMemory> memory_;

    // Out.
    std::deque<Frame> frames_;
    size_t written_ = 0;  // of the first frame
    bool blocked_ = false;
    uint64_t last_id_ = 0;
    size_t on_credit_ = 0;
    std::map<uint64_t, TransferPtr> requests_;  // not granted or taken yet
    std::deque<std::pair<uint64_t, TransferPtr>> granted_;

    // In.
    std::vector<std::byte> ahead_;  // read beyond what was asked for: [begin_, end_)
    size_t begin_ = 0;
    size_t end_ = 0;
    bool reading_ = false;  // a payload
    MessageHeader header_;
    std::byte* to_ = nullptr;  // null for a payload that is dropped
    size_t left_ = 0;
    MessageSorter::Destination place_;
    uint64_t last_in_ = 0;                      // the message that came last
    size_t unclaimed_ = 0;                      // of its credit, as its sender counts
    std::map<uint64_t, TransferPtr> incoming_;  // granted
    std::deque<Pull> pulls_;                    // to be read from the peer's memory
    size_t to_return_ = 0;                      // credit

    unsigned fruitless_ = 0;  // passes since something moved, or was expected anew; kEagerPasses at most
    unsigned rested_ = 0;     // passes in which it was asked whether it rests
    bool write_closed_ = false;
    bool read_closed_ = false;
    bool goodbye_ = false;
    bool leaving_ = false;
    std::string why_closed_;
};

}  // namespace ring
