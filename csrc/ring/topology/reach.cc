// See reach.h.
#include "ring/topology/reach.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/log.h"

namespace ring {
namespace {

// Beyond it a caller that has to try them all would take too long: a host of containers may have hundreds.
constexpr size_t kMostAddresses = 16;
constexpr size_t kMostLinks = 4;  // whose link-local addresses are published, or on which one is looked for

struct Candidate {
    Interface at;
    size_t position = 0;  // of the user's word that chose it
};

using Match = std::optional<size_t> (*)(const std::string& pattern, const std::string& name);

std::optional<size_t> by_prefixes(const std::string& pattern, const std::string& name) {
    return match_prefixes(pattern, name);
}

std::string names_of(const std::vector<Interface>& all) {
    std::string names;
    for (const Interface& one : all)
        names += (names.empty() ? "" : ", ") + one.name + " (" + one.address + ")";
    return names.empty() ? "none" : names;
}

std::optional<size_t> all_alike(const std::string&, const std::string&) {
    return 0;
}

std::vector<Candidate> matching(const std::vector<Interface>& all, const std::string& pattern, Match match) {
    std::vector<Candidate> found;
    for (const Interface& one : all)
        if (const auto position = match(pattern, one.name)) found.push_back({one, *position});
    return found;
}

// Why these cannot be used; "" where they can.
std::string objection(const std::vector<Candidate>& chosen, const std::vector<Interface>& all,
                      bool one_machine) {
    if (chosen.empty()) return "matches no interface that is up; there are: " + names_of(all);
    const bool inside =
        std::all_of(chosen.begin(), chosen.end(), [](const auto& c) { return c.at.loopback; });
    if (inside && !one_machine)
        return "chooses loopback alone, but the group has ranks on other machines, which cannot reach that; "
               "there are: " +
               names_of(all);
    return "";
}

// Each group asks, and they all find the same.
void warn_once(const std::string& text) {
    static std::mutex mutex;
    static std::set<std::string> said;
    const std::lock_guard lock(mutex);
    if (said.insert(text).second) log(LogLevel::kWarning, text);
}

std::pair<std::vector<Candidate>, std::string> choose_interfaces(const std::vector<Interface>& all,
                                                                 const Wishes& wishes) {
    struct Wish {
        const char* variable;
        const std::string& pattern;
        Match match;
        bool binding;
    };
    for (const auto& [variable, pattern, match, binding] :
         {Wish{"TORCH_RING_IFNAME", wishes.ifname, by_prefixes, true},
          Wish{"GLOO_SOCKET_IFNAME", wishes.gloo_ifname, match_names, false},
          Wish{"NCCL_SOCKET_IFNAME", wishes.nccl_ifname, by_prefixes, false}}) {
        if (pattern.empty()) continue;
        const std::string who = std::string(variable) + "='" + pattern + "'";
        std::vector<Candidate> chosen = matching(all, pattern, match);
        const std::string why = objection(chosen, all, wishes.one_machine);
        if (why.empty()) return {std::move(chosen), who};
        if (binding) throw ConfigError(who + " " + why);
        warn_once(who + " " + why + ". Going on without it; TORCH_RING_IFNAME would count instead");
    }
    return {matching(all, "", all_alike), ""};
}

// The zone of a link-local address is each host's own: the address may be on any link of this one.
std::vector<Way> ways_by_zone(const Reach& reach, const std::string& address) {
    std::vector<const Interface*> links;
    for (const Interface& one : reach.all) {
        const bool published =
            std::find(reach.addresses.begin(), reach.addresses.end(), one.address) != reach.addresses.end();
        if (one.link_local && one.ipv6() && !one.loopback && (published || reach.chosen_by.empty()))
            links.push_back(&one);
    }
    const auto order = [](const Interface* one) { return std::pair(!one->carrier, one->indirect); };
    std::stable_sort(links.begin(), links.end(),
                     [&](const auto* a, const auto* b) { return order(a) < order(b); });
    if (links.size() > kMostLinks) links.resize(kMostLinks);
    std::vector<Way> ways;
    for (const Interface* one : links) ways.push_back({address + "%" + one->name, "", ""});
    if (ways.empty()) ways.push_back({address, "", "no interface of this host has a link-local address"});
    return ways;
}

}  // namespace

Reach choose_reach(std::vector<Interface> all, const Wishes& wishes) {
    auto [candidates, chosen_by] = choose_interfaces(all, wishes);
    const auto on_route = [&](const Candidate& one) { return one.at.address == wishes.towards_store; };
    const auto drop = [&](auto unwanted) { std::erase_if(candidates, unwanted); };
    const bool store_inside =
        chosen_by.empty() && wishes.one_machine && wishes.towards_store && is_loopback(*wishes.towards_store);
    if (store_inside)
        drop([&](const Candidate& one) { return !one.at.loopback; });
    else if (!wishes.one_machine)
        drop([&](const Candidate& one) { return one.at.loopback; });
    const auto order = [&](const Candidate& one) {
        return std::tuple(one.at.loopback, one.at.link_local && !on_route(one), !one.at.carrier, one.position,
                          !on_route(one), one.at.indirect, one.at.ipv6());
    };
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](const Candidate& a, const Candidate& b) { return order(a) < order(b); });
    Reach reach{.addresses = {}, .all = std::move(all), .chosen_by = std::move(chosen_by)};
    std::set<std::string> seen;
    bool inside = false;
    size_t links = 0;
    for (const Candidate& one : candidates) {
        if (reach.addresses.size() == kMostAddresses) break;
        if (one.at.link_local && ++links > kMostLinks) continue;
        // Who can reach one loopback address can reach them all.
        if (!seen.insert(one.at.address).second || (one.at.loopback && std::exchange(inside, true))) continue;
        reach.addresses.push_back(one.at.address);
    }
    if (reach.addresses.empty())
        throw Error("this host has no network interface by which other hosts could reach it; there are: " +
                    names_of(reach.all));
    return reach;
}

Reach reach_of_this_host(const std::string& store_host, bool one_machine) {
    const auto variable = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value == nullptr ? "" : value);
    };
    return choose_reach(
        interfaces(),
        {.ifname = config().ifname,
         .gloo_ifname = variable("GLOO_SOCKET_IFNAME"),
         .nccl_ifname = variable("NCCL_SOCKET_IFNAME"),
         .towards_store = store_host.empty() ? std::nullopt : source_address_towards(store_host),
         .one_machine = one_machine});
}

std::vector<Way> ways_to(const Reach& reach, const std::string& address, bool same_machine) {
    const auto of_family = [&](const std::string& own) {
        return (own.find(':') != std::string::npos) == (address.find(':') != std::string::npos);
    };
    const std::string family = of_family("::") ? "IPv6" : "IPv4";
    const auto blocked = [&](const std::string& why) { return std::vector<Way>{{address, "", why}}; };
    const bool usable = std::any_of(reach.all.begin(), reach.all.end(), [&](const Interface& one) {
        return of_family(one.address) && (same_machine || !one.loopback);
    });
    if (!usable) return blocked("this host has no " + family + " address");
    if (!same_machine && std::any_of(reach.all.begin(), reach.all.end(), [&](const Interface& one) {
            return without_zone(one.address) == address;
        }))
        return blocked("this host has that address too");
    const bool chosen = !reach.chosen_by.empty();
    const auto of_its_kind = [&](const std::string& own) {
        return of_family(own) && (is_link_local(address) || !is_link_local(own));
    };
    if (chosen && std::none_of(reach.addresses.begin(), reach.addresses.end(), of_its_kind))
        return blocked("this host has no " + family + " address on what " + reach.chosen_by + " chooses");
    const bool zoned = address.find('%') != std::string::npos;  // as one is that has worked
    if (of_family("::") && is_link_local(address) && !zoned) return ways_by_zone(reach, address);
    if (!chosen || zoned) return {{address, "", ""}};
    const std::string source = source_address_towards(address).value_or("");
    const auto& own = reach.addresses;
    if (std::find(own.begin(), own.end(), source) != own.end()) return {{address, "", ""}};
    const auto other = std::find_if(own.begin(), own.end(),
                                    [&](const auto& one) { return of_family(one) && !is_link_local(one); });
    return {{address, other == own.end() ? "" : *other, ""}};
}

}  // namespace ring
