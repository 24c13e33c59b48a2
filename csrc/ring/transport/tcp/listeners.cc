// See listeners.h.
#include "ring/transport/tcp/listeners.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "ring/base/error.h"
#include "ring/base/log.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

// How often the kernel is asked for a port that is free on one address, until one is so on all of them.
constexpr size_t kTries = 64;

}  // namespace

std::vector<uint16_t> Listeners::ports_to_try() const {
    std::vector<uint16_t> ports(ports_.first == 0 ? kTries : ports_.last - ports_.first + size_t{1}, 0);
    if (ports_.first != 0) std::iota(ports.begin(), ports.end(), ports_.first);
    if (!all_.empty()) ports.insert(ports.begin(), all_.front().at.port);  // one per process, if possible
    return ports;
}

bool Listeners::listen(std::vector<std::string>& addresses, uint16_t port, std::vector<Listener>& made) {
    made.clear();
    for (auto address = addresses.begin(); address != addresses.end();) {
        UniqueFd socket = tcp_try_listen({*address, port});
        if (!socket && errno == EADDRINUSE) return false;
        if (!socket) {
            refusal_ = *address + ": " + std::strerror(errno);
            log(LogLevel::kInfo, "cannot listen on " + refusal_);
            address = addresses.erase(address);
            continue;
        }
        if (port == 0) port = tcp_port(socket);
        made.push_back({{*address, port}, std::move(socket)});
        ++address;
    }
    return true;
}

std::vector<const Listeners::Listener*> Listeners::add(const std::vector<std::string>& addresses) {
    std::vector<std::string> missing;
    std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(missing),
                 [&](const std::string& one) { return find(one) == nullptr; });
    if (missing.empty()) return {};
    const bool nothing_else = missing.size() == addresses.size();
    std::vector<Listener> made;
    const auto ports = ports_to_try();
    if (std::none_of(ports.begin(), ports.end(),
                     [&](uint16_t port) { return listen(missing, port, made); })) {
        const std::string range = std::to_string(ports_.first) + "-" + std::to_string(ports_.last);
        throw Error(ports_.first == 0
                        ? "no TCP port is free on " + missing.front()
                        : "none of the ports TORCH_RING_PORT_RANGE=" + range + " is free on " +
                              missing.front() +
                              ": each process on this host needs one to listen on, and connections to "
                              "elsewhere may have taken some if they are in net.ipv4.ip_local_port_range");
    }
    if (made.empty() && nothing_else) throw Error("cannot listen on " + refusal_);
    const size_t old = all_.size();
    std::move(made.begin(), made.end(), std::back_inserter(all_));
    std::vector<const Listener*> added;
    for (size_t i = old; i < all_.size(); ++i) added.push_back(&all_[i]);
    return added;
}

const Listeners::Listener* Listeners::find(const std::string& address) const {
    const auto at = std::find_if(all_.begin(), all_.end(),
                                 [&](const Listener& one) { return one.at.address == address; });
    return at == all_.end() ? nullptr : &*at;
}

std::vector<Endpoint> Listeners::endpoints() const {
    std::vector<Endpoint> endpoints;
    for (const Listener& one : all_) endpoints.push_back(one.at);
    return endpoints;
}

}  // namespace ring
