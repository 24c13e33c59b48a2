// See dialer.h.
#include "ring/engine/dialer.h"

#include <netdb.h>

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "ring/base/config.h"
#include "ring/base/error.h"

namespace ring {
namespace {

std::string numeric_address_of(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (code != 0)
        throw ConfigError("TORCH_RING_ADVERTISE names '" + host +
                          "', which this host cannot resolve: " + ::gai_strerror(code));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    char text[NI_MAXHOST];
    if (::getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0)
        throw ConfigError("TORCH_RING_ADVERTISE names '" + host + "', which has no numeric address");
    return text;
}

}  // namespace

void ReachedAddresses::add(const std::string& network, const std::string& address) {
    const std::lock_guard lock(mutex_);
    known_.emplace(network, address);
}

bool ReachedAddresses::contains(const std::string& network, const std::string& address) const {
    const std::lock_guard lock(mutex_);
    return known_.count({network, address}) != 0;
}

std::vector<Endpoint> Dialer::listen(Acceptor& acceptor) const {
    std::vector<Endpoint> endpoints = acceptor.listen(reach_.addresses);
    log(LogLevel::kInfo,
        "other hosts may call " + describe(endpoints) +
            (reach_.chosen_by.empty() ? "" : ", the interfaces that " + reach_.chosen_by + " chooses"));
    for (Endpoint& one : endpoints)
        one.address = without_zone(one.address);  // who calls has zones of its own
    if (const auto& [host, port] = config().advertise; !host.empty()) {
        const Endpoint outside{numeric_address_of(host), port != 0 ? port : endpoints.front().port};
        std::erase(endpoints, outside);
        endpoints.insert(endpoints.begin(), outside);
    }
    return endpoints;
}

void Dialer::learn(std::vector<std::vector<Endpoint>> addresses) {
    addresses_ = std::move(addresses);
    std::unordered_map<std::string, int> owners;
    for (int rank = 0; rank < static_cast<int>(addresses_.size()); ++rank)
        for (const auto& [address, _] : addresses_[rank]) {
            const auto [owner, is_new] = owners.emplace(address, rank);
            if (is_new || stations_[owner->second].network == stations_[rank].network) continue;
            auto& ranks = shared_[address];
            if (ranks.empty()) ranks.push_back(owner->second);
            ranks.push_back(rank);
        }
}

std::vector<Route> Dialer::routes(int peer) const {
    const std::string& network = stations_[peer].network;
    const bool same_machine = network == stations_[self_].network;
    std::vector<Route> routes;
    for (const auto& [address, port] : addresses_[peer]) {
        std::string remark;
        if (const auto shared = shared_.find(address); shared != shared_.end()) {
            const auto& ranks = shared->second;
            const auto other = std::find_if(ranks.begin(), ranks.end(),
                                            [&](int rank) { return stations_[rank].network != network; });
            if (other != ranks.end()) remark = "an address of " + stations_[*other].name + " too";
        }
        for (Way& way : ways_to(reach_, address, same_machine))
            routes.push_back(
                {{std::move(way.to), port}, std::move(way.from), std::move(way.obstacle), remark});
    }
    std::stable_partition(routes.begin(), routes.end(),
                          [&](const Route& route) { return reached_.contains(network, route.to.address); });
    return routes;
}

void Dialer::remember(int peer, const Endpoint& reached) {
    reached_.add(stations_[peer].network, reached.address);
}

}  // namespace ring
