// Messages from rank to rank, the user's send and recv, and the connections that all messages go over, also
// those of collectives. Used by Session.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ring/base/clock.h"
#include "ring/engine/connections.h"
#include "ring/engine/operation.h"
#include "ring/fault/watch.h"
#include "ring/transport/fabric.h"
#include "ring/transport/message/mailbox.h"

namespace ring {

// Used by the thread that holds the baton, but for has_visitors().
class P2p {
  public:
    struct Hooks {
        std::function<void(int fd)> watch;               // a descriptor whose events count from now on
        std::function<milliseconds()> timeout;           // for opening a connection
        std::function<void(const OperationPtr&)> ended;  // without an error
        std::function<void()> visited;                   // from any thread: has_visitors()
    };

    // `layout` and `connections` must outlive it.
    P2p(const Layout& layout, uint64_t group, Connections& connections, HostCopies copies, Hooks hooks);
    ~P2p();
    P2p(const P2p&) = delete;
    P2p& operator=(const P2p&) = delete;

    Mailbox& mailbox() { return mailbox_; }
    const Mailbox& mailbox() const { return mailbox_; }

    // A message of the user's begins.
    void post(OperationPtr operation);
    // The same without an operation, for a caller that holds the baton until it has ended, or is adopted.
    // Throws what post() throws.
    void begin(const Arguments& arguments);
    // Whether it has ended; polls for it. Throws what progress() throws.
    bool ends();
    // Goes on with it as an operation.
    void adopt(OperationPtr operation);
    // True if anything moved. Throws what is wrong with a message, PeerError.
    bool progress(Watch& watch);
    // Connections have come that progress() has not taken yet.
    bool has_visitors() const { return visitors_.load(std::memory_order_acquire); }
    // Takes them while the group is left: who has called would take the end of its connection for a death.
    void greet_late_visitors();
    // An event of a descriptor, which need not be of a message's connection.
    void has_event(int fd);

    bool busy() const { return mailbox_.busy() || !dialing_.empty(); }
    // When it has to go on though nothing happens: connections to be opened, deadlines.
    Clock::time_point next() const;
    // A message of the user's whose deadline has passed, and why that is.
    struct Late {
        OperationPtr operation;
        std::string why;
    };
    std::optional<Late> late() const;

    // Takes out all that are under way.
    std::vector<OperationPtr> abandon();

  private:
    struct Message {
        OperationPtr operation;
        TransferPtr transfer;
    };

    TransferPtr start(const Arguments& arguments);
    void dial(int rank);
    bool finish_messages();
    bool take_visitors();
    bool advance_dialing(Watch& watch);

    const Layout& layout_;
    Fabric* const fabric_;  // null where all ranks are on one host
    const Hooks hooks_;
    Mailbox mailbox_;
    std::vector<Message> messages_;     // the user's, under way
    std::optional<TransferPtr> begun_;  // by begin(), and neither ended nor adopted; null: refused
    std::map<int, std::unique_ptr<Call>> dialing_;  // connections that are being opened, by rank
    std::map<int, int> ranks_;                      // of connections, by descriptor
    std::atomic<bool> visitors_{false};             // connections have come
};

}  // namespace ring
