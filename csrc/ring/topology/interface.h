// Which of this host's addresses the peers on other hosts shall connect to.
#pragma once

#include <string>

namespace ring {

// A numeric address, IPv4 or IPv6 ("10.0.0.3", "fe80::1%eth0").
//
// TORCH_RING_IFNAME, in NCCL's syntax, chooses an interface: prefixes "eth,ib", exact "=eth0", exclusion
// "^lo,docker"; the first that is up and matches wins. Without it: the address from which the kernel reaches
// `store_host`, the machine of the store (a name or an address). Without either: the first address that is up
// and not loopback, else loopback. Throws ConfigError that lists the interfaces there are when
// TORCH_RING_IFNAME matches none.
std::string choose_address(const std::string& store_host);

// Whether the address can only be reached from this host.
bool is_loopback(const std::string& address);

}  // namespace ring
