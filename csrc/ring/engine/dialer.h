// How this rank reaches the others over the network: all that it knows of their addresses and of its own.
//
// Part of a group's Connections; used while the group forms, and later for messages.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ring/engine/bootstrap.h"
#include "ring/topology/layout.h"
#include "ring/topology/reach.h"
#include "ring/transport/tcp/acceptor.h"
#include "ring/transport/tcp/connecting.h"

namespace ring {

// By which addresses this process has reached other machines: a later group tries those first. Thread-safe.
class ReachedAddresses {
  public:
    // `network`: the machine's network_identity().
    void add(const std::string& network, const std::string& address);
    bool contains(const std::string& network, const std::string& address) const;

  private:
    mutable std::mutex mutex_;
    std::set<std::pair<std::string, std::string>> known_;
};

// Not thread-safe: used by the one thread that forms or drives the group.
class Dialer {
  public:
    Dialer() = default;  // where all ranks are on one host
    // `reach`: this rank's.
    Dialer(ReachedAddresses& reached, Reach reach) : reached_(&reached), reach_(std::move(reach)) {}

    // Lets the acceptor listen for the group; returns where, best first, as the others shall be told. Throws
    // Error or, where TORCH_RING_ADVERTISE names a host that nobody knows, ConfigError.
    std::vector<Endpoint> listen(Acceptor& acceptor) const;
    // What all ranks have published.
    void learn(std::vector<std::vector<Endpoint>> addresses, const Roster& roster);

    // A connection to `peer` for this purpose, number `stream` of those, to be advanced until it is there.
    Connecting dial(const Layout& layout, const Roster& roster, int peer, Purpose purpose, int stream,
                    Deadline deadline, std::function<void(int fd)> watch) const;
    // That one is there: the next call to the peer's machine tries the same address first.
    void remember(const Roster& roster, int peer, const Connecting& done);

  private:
    std::vector<Route> routes(const Layout& layout, const Roster& roster, int peer) const;

    ReachedAddresses* reached_ = nullptr;
    Reach reach_;
    std::vector<std::vector<Endpoint>> addresses_;    // by rank
    std::map<std::string, std::vector<int>> shared_;  // addresses that several machines have, and their ranks
};

}  // namespace ring
