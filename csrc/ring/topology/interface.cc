// See interface.h.
#include "ring/topology/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string_view>

#include "ring/base/error.h"
#include "ring/base/fd.h"

namespace ring {
namespace {

std::string numeric(const sockaddr* address, socklen_t length) {
    char host[NI_MAXHOST];
    if (::getnameinfo(address, length, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) != 0) return "";
    return host;
}

// Asks the driver, which also works where /sys is another namespace's.
bool is_bridge(const UniqueFd& socket, const std::string& name) {
    ethtool_drvinfo driver{};
    driver.cmd = ETHTOOL_GDRVINFO;
    ifreq request{};
    std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&driver);
    return ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0 && std::string_view(driver.driver) == "bridge";
}

std::optional<size_t> match_words(const std::string& words, const std::string& name, bool exact) {
    std::istringstream list(words);
    size_t position = 0;
    for (std::string word; std::getline(list, word, ','); ++position) {
        const bool whole = exact || word.starts_with('=');
        if (word.starts_with('=')) word.erase(0, 1);
        if (word.empty()) continue;
        if (whole ? name == word : name.starts_with(word)) return position;
    }
    return std::nullopt;
}

}  // namespace

std::vector<Interface> interfaces() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) throw_errno("getifaddrs");
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
    const UniqueFd socket = checked_fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    std::map<std::string, bool> bridges;
    std::vector<Interface> found;
    for (const int family : {AF_INET, AF_INET6})
        for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
            if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != family) continue;
            if ((entry->ifa_flags & IFF_UP) == 0) continue;
            const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
            Interface one;
            // An alias of old, "eth0:1", is a second address of eth0.
            one.name = entry->ifa_name;
            one.address = numeric(entry->ifa_addr, length);
            one.loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0;
            one.carrier = (entry->ifa_flags & IFF_RUNNING) != 0;
            const std::string device = one.name.substr(0, one.name.find(':'));
            if (bridges.count(device) == 0) bridges[device] = !one.loopback && is_bridge(socket, device);
            one.indirect = bridges[device] || (entry->ifa_flags & IFF_POINTOPOINT) != 0;
            one.link_local = is_link_local(one.address);
            found.push_back(std::move(one));
        }
    return found;
}

std::optional<size_t> match_prefixes(std::string pattern, const std::string& name) {
    const bool exclude = is_exclusion(pattern);
    if (exclude) pattern.erase(0, 1);
    // As NCCL reads it: an = in front is for all of them.
    const bool exact = pattern.starts_with('=');
    const auto position = match_words(pattern, name, exact);
    if (exclude) return position ? std::nullopt : std::optional<size_t>(0);
    return position;
}

std::optional<size_t> match_names(const std::string& names, const std::string& name) {
    return match_words(names, name, true);
}

bool is_exclusion(const std::string& pattern) {
    return pattern.starts_with('^');
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

bool is_loopback(const std::string& address) {
    return address.starts_with("127.") || address == "::1";
}

bool is_link_local(const std::string& address) {
    in6_addr parsed;
    if (::inet_pton(AF_INET6, without_zone(address).c_str(), &parsed) == 1)
        return IN6_IS_ADDR_LINKLOCAL(&parsed);
    return address.starts_with("169.254.");
}

std::string without_zone(const std::string& address) {
    return address.substr(0, address.find('%'));
}

}  // namespace ring
