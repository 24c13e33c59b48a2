// How this rank reaches the others over the network: all that it knows of their addresses and of its own.
//
// Part of a group's Connections; used while the group forms, and later for messages.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ring/engine/bootstrap.h"
#include "ring/topology/layout.h"
#include "ring/topology/reach.h"
#include "ring/transport/tcp/acceptor.h"
#include "ring/transport/tcp/call.h"

namespace ring {

// Where the acceptor listens for the group from now on, best first, as the others shall be told. `reach`:
// this rank's. Throws Error or, where TORCH_RING_ADVERTISE names a host that nobody knows, ConfigError.
std::vector<Endpoint> open_to_others(Acceptor& acceptor, const Reach& reach);

// Not thread-safe: used by the one thread that forms or drives the group.
class Dialer {
  public:
    Dialer() = default;
    // `addresses`: of all ranks, as they published them.
    Dialer(Reach reach, std::vector<std::vector<Endpoint>> addresses, const Roster& roster);

    // A connection to `peer` for this purpose, number `stream` of those, to be advanced until it is there.
    Call call(const Layout& layout, const Roster& roster, int peer, Purpose purpose, int stream,
              Deadline deadline, std::function<void(int fd)> watch) const;
    // That one is there: the next call tries the same address first.
    void remember(int peer, const Call& done);

  private:
    std::vector<Route> routes(const Layout& layout, const Roster& roster, int peer) const;

    Reach reach_;
    std::vector<std::vector<Endpoint>> addresses_;    // by rank
    std::map<std::string, std::vector<int>> shared_;  // addresses that several machines have, and their ranks
};

}  // namespace ring
