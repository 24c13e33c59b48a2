// All messages of one rank in a group: who receives what.
//
// A receive matches the first message of its source (or of any) with its key, in the order in which messages
// were sent and receives were posted. The collectives that send directly from rank to rank, and the user's
// send and recv, post here; the engine drives it and brings connections.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "ring/base/config.h"
#include "ring/transport/message/message_link.h"

namespace ring {

constexpr int kAnySource = -1;

// What is copied how inside a host.
struct HostCopies {
    SingleCopy single_copy = SingleCopy::kAuto;
    bool crowded = false;  // the ranks of the host outnumber its cores
    KernelCopy (*kernel)() = PeerMemory::of_one_for_two;
};

// Not thread-safe: used by the one thread that drives the group.
class Mailbox : public MessageSorter {
  public:
    // Asks for a connection to a rank of another host; attach_out() brings it.
    using Dial = std::function<void(int rank)>;
    // Names a rank in errors.
    using Describe = std::function<std::string(int rank)>;

    Mailbox(int self, int size, uint64_t group, HostCopies copies, Dial dial, Describe describe);

    // ---- posting ----
    // `to` is another rank. Done when its memory may be overwritten. It waits until it is received where more
    // than `credit`, at most kCreditBytes, would be eagerly on its way to that rank, or waiting there.
    TransferPtr send(int to, const MessageKey& key, const Signature& signature, const std::byte* data,
                     size_t bytes, size_t credit = kCreditBytes);
    // As send(), where the message can be written now: null when it is whole, and its memory may be
    // overwritten. Nothing where nothing has been sent. Throws what progress() throws.
    std::optional<TransferPtr> send_now(int to, const MessageKey& key, const Signature& signature,
                                        const std::byte* data, size_t bytes);
    // `from` is another rank, or kAnySource. Throws MismatchError where a message that has come already has
    // another size, or, within a collective, another signature.
    TransferPtr receive(int from, const MessageKey& key, const Signature& signature, std::byte* data,
                        size_t bytes);

    // A collective has ended here: what comes, or has come, for it is of a rank that called something else.
    // Throws MismatchError.
    void end_of(uint64_t operation, const Signature& signature);
    // What this rank called as that operation, if it has ended, and not long ago.
    std::optional<Signature> ended(uint64_t operation) const;

    // ---- connections ----
    // Asks for a connection to a rank of another host, unless there is one, or it has been asked for.
    void call(int to);
    // For both directions.
    void attach_local(int rank, std::unique_ptr<Pipe> pipe, std::unique_ptr<PeerMemory> memory);
    MessageLink& attach_out(int rank, std::unique_ptr<Pipe> pipe);
    MessageLink& attach_in(int rank, std::unique_ptr<Pipe> pipe);
    // Something has come from this rank, says the kernel.
    void mark_readable(int rank);

    // ---- driving ----
    bool progress();
    bool busy() const;                         // transfers are under way, or something is still to be written
    bool writes() const { return to_write_; }  // the latter
    bool ready() const;  // progress() could move something that the kernel does not tell of
    bool slow() const;
    const std::vector<int>& active() const { return active_; }  // the ranks with a connection, each once
    // A connection that a transfer needs has ended.
    struct Lost {
        int rank;
        std::string why;
        bool left;  // in good order
    };
    std::optional<Lost> lost() const;
    // The tag of a message of the user's that has come from this rank (or any), or asks to, and that nobody
    // receives. `asks`: only one whose sender waits until it is received.
    std::optional<int64_t> unreceived(int from, bool asks) const;
    // The ranks that a transfer needs, but to whom there is no connection (yet).
    std::vector<int> unconnected() const;
    bool receives() const;  // waits for any message
    // The ranks of other hosts that receives wait for.
    std::set<int> awaited() const;
    // There is a connection to, or from, this rank.
    bool connected(int rank) const;
    // What the connections to and from this rank tell of its end, if it has ended. That which it opened tells
    // when all that came over it has been received.
    std::optional<Lost> end_of(int rank) const;
    // A receive from any source waits.
    bool awaits_any() const;
    // Whether this rank has left, and all that it had sent has been received; nothing where no connection
    // tells.
    std::optional<bool> finished(int rank) const;
    // The operation of a transfer that needs this rank, 0 for the user's own: the lowest one. A receive from
    // any source needs every rank.
    std::optional<uint64_t> needs(int rank) const;
    void abort();
    // After abort(): leaves the peers on other hosts in good order; those that do not have all that was sent.
    std::vector<int> leave();

  private:
    struct Peer {
        std::unique_ptr<MessageLink> out;  // local: both directions
        std::unique_ptr<MessageLink> in;
        bool local = false;
        bool readable = false;  // something may have come
        bool awaited = false;   // see find_interest()
    };
    // Whose messages the unfinished receives wait for: the others' connections are left alone, until the
    // kernel says that something has come.
    struct Interest {
        bool any = false;  // everybody's
    };

    Destination place(MessageLink& link, const MessageHeader& header) override;
    void requested(MessageLink& link, const MessageHeader& header) override;
    // Takes the first posted receive that matches; null for none.
    TransferPtr match(int source, const MessageHeader& header);
    void check(int source, const MessageHeader& header, const Transfer& receive) const;
    ArrivalPtr keep(MessageLink& link, const MessageHeader& header);
    [[noreturn]] void refuse(int source, const MessageHeader& header) const;
    void take(Arrival& arrival, const TransferPtr& transfer);
    // Whether a requested message is worth reading out of its sender's memory.
    bool copies_once(const MessageHeader& header);
    bool kernel_is_cheap();
    bool sends_in_host() const;  // something large
    Interest find_interest();
    bool awaits(int rank) const;  // a message of this rank

    int self_;
    uint64_t group_;
    HostCopies copies_;
    Dial dial_;
    Describe describe_;
    std::vector<Peer> peers_;  // by rank
    std::vector<int> active_;  // those with a link
    int local_peers_ = 0;
    std::map<MessageKey, std::list<TransferPtr>> posted_;
    std::map<MessageKey, std::list<ArrivalPtr>> arrivals_;
    std::vector<TransferPtr> unfinished_;
    // The last collectives that ended: number k is in place k % kRemembered.
    static constexpr size_t kRemembered = 64;
    struct Ended {
        uint64_t operation = 0;
        Signature signature;
    };
    std::array<Ended, kRemembered> ended_;
    uint64_t last_ended_ = 0;
    bool to_read_ = false;
    bool to_write_ = false;
    unsigned read_by_kernel_ = 0;  // messages
};

}  // namespace ring
