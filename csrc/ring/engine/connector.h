// Opens the connections over a network that a rank has from the start of a session: to each of some peers a
// control connection, and the streams of a link. Used by connections.h.
//
// All of them are opened at once, in whatever order the peers come: of a pair the lower rank calls, so what
// this rank accepts does not wait for what it calls. It never blocks; whoever drives it calls step() whenever
// a descriptor, or `arrived`, tells that there may be something to do, and at next().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/transport/fabric.h"

namespace ring {

// What leads to one peer.
struct Connected {
    int peer = -1;
    std::unique_ptr<Pipe> control{};
    std::vector<std::unique_ptr<Pipe>> streams{};
};

// Not thread-safe.
class Connector {
  public:
    struct Hooks {
        Fabric::Watch watch;            // a descriptor whose events count from now on
        std::function<void()> arrived;  // from any thread: step() may have something to do
        std::function<std::string(int rank)> describe;
    };

    // The fabric must outlive it. `peers`: those whom `self` connects to, each once, all of them viable();
    // they do the same for it. `streams`: per link. The deadline has no lookout: it would block.
    Connector(Fabric& fabric, int self, const std::vector<int>& peers, int streams, Deadline deadline,
              Hooks hooks);
    ~Connector();
    Connector(const Connector&) = delete;
    Connector& operator=(const Connector&) = delete;

    // Goes on as far as it can without waiting; true when all connections are there, to be taken. Throws what
    // Call::advance() throws, and Bystander where the deadline has passed and peers have not called.
    bool step();
    // When step() must be called at the latest.
    Clock::time_point next() const;
    // By the order of `peers`.
    std::vector<Connected> take() { return std::move(connected_); }

  private:
    struct Outgoing {
        std::unique_ptr<Call> call;
        std::unique_ptr<Pipe>* place;  // where its pipe belongs
    };

    void advance_calls();
    void accept(Purpose purpose);
    std::unique_ptr<Pipe>& place_of(const Fabric::Accepted& accepted, Purpose purpose);
    std::vector<int> absent() const;

    Fabric& fabric_;
    const int self_;
    const Deadline deadline_;
    const Hooks hooks_;
    std::vector<Connected> connected_;  // null pointers are connections that are still to come
    std::vector<Outgoing> calls_;       // under way
};

}  // namespace ring
