// The network interfaces of this host, and the patterns by which users choose among them.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ring {

// One address of an interface that is up.
struct Interface {
    std::string name{};
    std::string address{};  // numeric, with the zone where it needs one: "10.0.0.3", "fe80::1%eth0"
    bool loopback = false;
    bool carrier = true;    // somebody is at the other end of the cable
    bool indirect = false;  // a bridge or a tunnel: likelier to lead to containers than to the peers
    bool link_local = false;

    bool ipv6() const { return address.find(':') != std::string::npos; }
};

// All there are, in the kernel's order, IPv4 before IPv6. Throws Error.
std::vector<Interface> interfaces();

// Whether a pattern in NCCL's syntax chooses an interface, and by which of its words: prefixes "eth,ib",
// exact names "=eth0,eth1" (here each word may also have its own "="), exclusions "^lo,docker", "^=eth0".
std::optional<size_t> match_prefixes(std::string pattern, const std::string& name);
// The same for gloo's: exact names with commas between.
std::optional<size_t> match_names(const std::string& names, const std::string& name);
// Whether the pattern says what it does not want.
bool is_exclusion(const std::string& pattern);

// The address from which the kernel sends to `host`, a name or an address; none where it knows no way, or no
// such name. Sends nothing, though a name may have to be looked up.
std::optional<std::string> source_address_towards(const std::string& host);

bool is_loopback(const std::string& address);
bool is_link_local(const std::string& address);
// "fe80::1%eth0" -> "fe80::1"
std::string without_zone(const std::string& address);

}  // namespace ring
