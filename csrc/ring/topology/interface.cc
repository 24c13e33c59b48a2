// See interface.h.
#include "ring/topology/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/fd.h"

namespace ring {
namespace {

struct Interface {
    std::string name;
    std::string address;
    bool loopback;
};

std::string numeric(const sockaddr* address, socklen_t length) {
    char host[NI_MAXHOST];
    if (::getnameinfo(address, length, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) != 0) return "";
    return host;
}

std::vector<Interface> interfaces() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) throw_errno("getifaddrs");
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
    std::vector<Interface> found;
    // IPv4 before IPv6, so that a host with both uses the family that peers are likelier to have.
    for (const int family : {AF_INET, AF_INET6})
        for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
            if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != family) continue;
            if ((entry->ifa_flags & IFF_UP) == 0) continue;
            const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
            found.push_back(
                {entry->ifa_name, numeric(entry->ifa_addr, length), (entry->ifa_flags & IFF_LOOPBACK) != 0});
        }
    return found;
}

bool matches(std::string pattern, const std::string& name) {
    const bool exclude = pattern.starts_with('^');
    if (exclude) pattern.erase(0, 1);
    bool hit = false;
    std::stringstream words(pattern);
    for (std::string word; std::getline(words, word, ',');) {
        if (word.empty()) continue;
        hit = hit || (word.starts_with('=') ? name == word.substr(1) : name.starts_with(word));
    }
    return hit != exclude;
}

std::optional<std::string> source_address_towards(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* list = nullptr;
    if (::getaddrinfo(host.c_str(), "9", &hints, &list) != 0) return std::nullopt;
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        // Connecting a datagram socket sends nothing: it only asks the kernel for the route.
        const UniqueFd probe(::socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_storage source{};
        socklen_t length = sizeof(source);
        if (!probe || ::connect(probe.get(), entry->ai_addr, entry->ai_addrlen) != 0) continue;
        if (::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&source), &length) != 0) continue;
        return numeric(reinterpret_cast<sockaddr*>(&source), length);
    }
    return std::nullopt;
}

}  // namespace

std::string choose_address(const std::string& store_host) {
    const std::vector<Interface> all = interfaces();
    const std::string& wanted = config().ifname;
    if (!wanted.empty()) {
        for (const Interface& one : all)
            if (matches(wanted, one.name)) return one.address;
        std::string names;
        for (const Interface& one : all)
            names += (names.empty() ? "" : ", ") + one.name + " (" + one.address + ")";
        throw ConfigError("TORCH_RING_IFNAME='" + wanted +
                          "' matches no interface that is up; there are: " + names);
    }
    if (!store_host.empty())
        if (auto address = source_address_towards(store_host)) return *address;
    const auto outside =
        std::find_if(all.begin(), all.end(), [](const Interface& one) { return !one.loopback; });
    if (outside != all.end()) return outside->address;
    if (!all.empty()) return all.front().address;
    throw Error("this host has no network interface that is up");
}

bool is_loopback(const std::string& address) {
    return address.starts_with("127.") || address == "::1";
}

}  // namespace ring
