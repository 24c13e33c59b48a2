// By which addresses this rank reaches the others over the network: all that it knows of theirs and of its
// own. Used by TcpFabric.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ring/base/endpoint.h"
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

// A rank, as far as its card says how to reach it.
struct Station {
    std::string name;     // for messages: "rank 2 (host lab1, pid 4711)"
    std::string host;     // its host_identity()
    std::string network;  // its network_identity()
};

// Not thread-safe: used by the one thread that forms or drives the group.
class Dialer {
  public:
    // `reach`: this rank's, which is `self`; `stations`: all ranks.
    Dialer(ReachedAddresses& reached, Reach reach, int self, std::vector<Station> stations)
        : reached_(reached), reach_(std::move(reach)), self_(self), stations_(std::move(stations)) {}

    int self() const { return self_; }
    const Station& station(int rank) const { return stations_[rank]; }

    // Lets the acceptor listen for the group; returns where, best first, as the others shall be told. Throws
    // Error or, where TORCH_RING_ADVERTISE names a host that nobody knows, ConfigError.
    std::vector<Endpoint> listen(Acceptor& acceptor) const;
    // What all ranks have published.
    void learn(std::vector<std::vector<Endpoint>> addresses);

    // The ways to `peer`, the best first; those that cannot be gone are among them, for the error.
    std::vector<Route> routes(int peer) const;
    // This address led to the peer: the next call to its machine tries the same one first.
    void remember(int peer, const Endpoint& reached);

  private:
    ReachedAddresses& reached_;
    Reach reach_;
    int self_;
    std::vector<Station> stations_;                   // by rank
    std::vector<std::vector<Endpoint>> addresses_;    // by rank
    std::map<std::string, std::vector<int>> shared_;  // addresses that several machines have, and their ranks
};

}  // namespace ring
