// What goes over a connection for messages: point to point, where the ranks of a group need not call in the
// same order.
//
// A small message is *eager*: it goes at once, and waits at the receiver for whoever receives it. A large one
// is *requested*: its header goes, and its payload only when the receiver has granted a place for it, so that
// it is never buffered. Inside a host the receiver may read it from the sender's memory instead, with one
// copy where the pipe takes two. What a receiver keeps of eager messages is bounded by *credit*: what would
// exceed it is requested too. The protocol is that of MPI libraries; see Gropp and Lusk, "A high-performance
// MPI implementation on a shared-memory vector supercomputer" (1997).
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

#include "ring/transport/frame.h"
#include "ring/transport/waitable.h"

namespace ring {

constexpr uint32_t kMessageMagic = 0x47534d52;  // "RMSG"

// Up to here a message is eager. What it may cost is a copy at the receiver, which between hosts takes less
// than the round trip that it saves.
constexpr size_t kEagerInHost = 64 << 10;
constexpr size_t kEagerBetweenHosts = 256 << 10;
// What a sender may have eagerly on its way, or waiting unclaimed, to one receiver.
constexpr size_t kCreditBytes = 1 << 20;
// Payload of one frame of a large message; other messages pass between two of them.
constexpr size_t kDataBytes = 512 << 10;

enum class MessageType : uint8_t {
    kEager = 1,  // sender: payload follows
    kRequest,    // sender: a message of `length` bytes waits
    kData,       // sender: the next `length` bytes of message `id`
    kGrant,      // receiver: send message `id`
    kTaken,      // receiver: has message `id`, read from the sender's memory
    kCredit,     // receiver: `length` bytes of eager messages, headers too, are claimed
    kGoodbye,    // nothing more will come
};

// What a receive matches, with the source.
struct MessageKey {
    uint64_t operation = 0;  // of the collective that it belongs to; 0: the user's own
    int64_t tag = 0;

    auto operator<=>(const MessageKey&) const = default;
};

struct MessageHeader {
    uint32_t magic = kMessageMagic;
    uint16_t version = kProtocolVersion;
    MessageType type = MessageType::kGoodbye;
    uint8_t low_on_credit = 0;  // 1 = another one like it would not be eager
    uint64_t group = 0;
    MessageKey key;
    Signature signature;  // what the sender called
    uint64_t length = 0;
    uint64_t id = 0;       // of the message among those of its sender to this receiver, from 1
    uint64_t address = 0;  // of a requested one in its sender's memory; 0 = on another host
};
static_assert(sizeof(MessageHeader) == 72);

// One message as one side sees it. Its memory stays untouched and alive until it is done.
struct Transfer {
    int peer = -1;  // a rank; -1 while a receive from any source is not matched
    MessageKey key;
    Signature signature;
    std::byte* data = nullptr;
    size_t bytes = 0;
    size_t moved = 0;  // of a large one
    bool receives = false;
    bool done = false;
};
using TransferPtr = std::shared_ptr<Transfer>;

// Waits until a message is sent, so that its memory may be overwritten, or received.
class TransferDone : public Waitable {
  public:
    explicit TransferDone(TransferPtr transfer) : transfer_(std::move(transfer)) {}
    bool ready() override { return transfer_->done; }
    std::vector<int> awaited() const override {
        return transfer_->peer < 0 ? std::vector<int>{} : std::vector<int>{transfer_->peer};
    }

  protected:
    TransferPtr transfer_;
};

// Waits until at most one frame of a message is still to come, or to go.
class TransferEnding : public TransferDone {
  public:
    using TransferDone::TransferDone;
    bool ready() override { return transfer_->done || transfer_->bytes - transfer_->moved <= kDataBytes; }
};

}  // namespace ring
