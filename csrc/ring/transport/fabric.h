// How a pipe to a peer is made: the interface of a way to reach the ranks on other hosts, as TCP is one.
//
// Of two ranks one calls and the other accepts; each proves to the other that it belongs to the group before
// either gets a pipe. Nothing in here blocks: who drives goes on whenever a descriptor, or `arrived`, tells
// that it can. Used by engine/connector for what a group has from the start, and by engine/p2p for messages;
// implemented by engine/tcp_fabric.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/error.h"
#include "ring/transport/pipe.h"

namespace ring {

// What a connection is for.
enum class Purpose : uint8_t { kControl = 1, kData = 2, kMessages = 3 };

// From one rank to another there is one connection of each use, at most.
struct Use {
    Purpose purpose = Purpose::kData;
    int stream = 0;  // which of the data connections of a link
};

// The peer has left the group in good order.
class PeerLeft : public PeerError {
  public:
    using PeerError::PeerError;
};

// A connection that is being opened. Not thread-safe. Who destroys it gives it up.
class Call {
  public:
    virtual ~Call() = default;
    // Goes on as far as it can without waiting. The pipe, once the peer has been told that it is in use; null
    // before. Not to be called after that. Throws PeerError where nothing leads to the peer, TimeoutError
    // where its deadline has passed, both with what has been tried; PeerLeft where the peer says so.
    virtual std::unique_ptr<Pipe> advance() = 0;
    // When it must go on at the latest, though no descriptor tells.
    virtual Clock::time_point next() const = 0;
};

// Of one rank in one group. Not thread-safe: used by the one thread that forms or drives the group.
class Fabric {
  public:
    // Called with each descriptor that is opened on the way to a pipe, that of the pipe among them. It may be
    // watched edge-triggered: advance() goes on until the kernel has no more.
    using Watch = std::function<void(int fd)>;

    struct Accepted {
        int from;  // this rank has proven that it is of the group; not, that it was expected to call
        int stream;
        std::unique_ptr<Pipe> pipe;
    };

    virtual ~Fabric() = default;

    // Whether the two ranks reach each other this way, by what their cards say. Both come to the same answer;
    // it promises nothing about the network.
    virtual bool viable(int peer) const = 0;
    // Begins to call a peer that is viable(). With a lookout the deadline would block: see Deadline.
    virtual std::unique_ptr<Call> call(int peer, Use use, Deadline deadline, Watch watch) = 0;
    // Those who have called for this purpose, and have not been accepted yet.
    virtual std::vector<Accepted> accept(Purpose purpose) = 0;
    // From now on `arrived` is called after each arrival that accept() can take, and now, if there are some
    // already; by any thread, so it must not call this fabric. It replaces an earlier one, which is not
    // called any more when this returns. Null: nobody is told.
    virtual void watch(std::function<void()> arrived) = 0;
    // For an error about a peer that does not come: where it was to come, and what may keep it away.
    virtual std::string absence() const = 0;
    // Why nobody can be accepted at the moment, to be appended to an error; "" while all is well.
    virtual std::string trouble() const = 0;
    // This rank leaves the group in good order: who still calls it is told so. It accepts nobody any more.
    virtual void leave() = 0;
};

}  // namespace ring
