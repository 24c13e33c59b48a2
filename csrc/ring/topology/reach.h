// Which of this host's addresses the peers on other hosts shall try, and from which it calls them.
//
// A rank cannot know by which of its addresses another can reach it, so it publishes all, best first, and who
// calls tries them (transport/tcp/connecting.h). Asked once per group, by Communicator::create().
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ring/topology/interface.h"

namespace ring {

struct Reach {
    std::vector<std::string> addresses;  // to listen on and to publish, best first
    std::vector<Interface> all;          // of this host
    std::string chosen_by;               // "TORCH_RING_IFNAME='eth0'"; "" where nobody chose
};

// What the choice depends on besides the interfaces.
struct Wishes {
    std::string ifname{};  // TORCH_RING_IFNAME
    // How other libraries are told, which every cluster's manifest does: what counts where the first is
    // unset.
    std::string gloo_ifname{};                   // GLOO_SOCKET_IFNAME
    std::string nccl_ifname{};                   // NCCL_SOCKET_IFNAME
    std::optional<std::string> towards_store{};  // the address from which the kernel reaches the store
    bool one_machine = false;                    // all ranks of the group share one loopback interface
};

// Best first: carrier before none, the user's order, the route to the store before others, bridges and
// tunnels late, IPv4 before IPv6. After those come link-local addresses, unless the store is reached by one:
// two hosts may have no other network in common. Loopback is last, and there only where all ranks are on one
// machine; where the store is reached by it too, nothing else is.
//
// Throws ConfigError where TORCH_RING_IFNAME chooses nothing by which other hosts could be reached, Error
// where there is nothing at all. GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME were not meant for this library:
// where they choose nothing of use, a warning says so, and they do not count.
Reach choose_reach(std::vector<Interface> all, const Wishes& wishes);

// The same for this host, this process's environment, and the store on `store_host` ("" if unknown).
Reach reach_of_this_host(const std::string& store_host, bool one_machine);

// One way to call an address.
struct Way {
    std::string to;        // with a zone of this host's, where it needs one
    std::string from;      // the source address; "" where any will do, as it mostly does
    std::string obstacle;  // why it cannot be gone; "" where it can
};
// Those that this rank has to an address that a peer has published. `same_machine`: it may be this host's
// own.
std::vector<Way> ways_to(const Reach& reach, const std::string& address, bool same_machine);

}  // namespace ring
