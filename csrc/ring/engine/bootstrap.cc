// See bootstrap.h.
#include "ring/engine/bootstrap.h"

#include <unistd.h>

#include <cstring>
#include <map>
#include <sstream>

#include "ring/base/error.h"
#include "ring/base/hex.h"
#include "ring/base/membarrier.h"
#include "ring/base/process.h"
#include "ring/topology/identity.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {
namespace {

// All find the same, since all have the same cards.
void require_equal(const Party& party, const std::vector<Card>& cards, const char* field,
                   const std::string& meaning) {
    for (size_t r = 1; r < cards.size(); ++r)
        if (cards[r].at(field) != cards[0].at(field))
            throw Disagreement(party.name(static_cast<int>(r)) + " and " + party.name(0) + " differ in " +
                               meaning);
}

std::string text_of(const Party& party, const std::vector<Card>& cards, int rank) {
    return party.name(rank) + " (machine " + cards[rank].at("machine") + ", pid " + cards[rank].at("pid") +
           ")";
}

// Whoever counts as one host must reach each other inside of it.
void require_one_host(const Party& party, const std::vector<Card>& cards) {
    std::map<std::string, int> first_of_host;
    for (int r = 0; r < party.size; ++r) {
        const Card& card = cards[r];
        const int first = first_of_host.try_emplace(card.at("host_id"), r).first->second;
        if (cards[first].at("network") == card.at("network")) continue;
        throw Disagreement(text_of(party, cards, first) + " and " + text_of(party, cards, r) +
                           " call their host by one name, TORCH_RING_HOST_ID=" + card.at("host_name") +
                           ", but are on different machines, or in different network namespaces of one, and "
                           "cannot share memory. Unset TORCH_RING_HOST_ID, or set another one on each host");
    }
}

// Ranks of one host share memory, which is passed to the same user only.
void require_one_user(const Party& party, const std::vector<Card>& cards) {
    std::map<std::string, size_t> first;  // of each host
    for (size_t r = 0; r < cards.size(); ++r) {
        const size_t other = first.emplace(cards[r].at("host_id"), r).first->second;
        if (cards[r].at("user") != cards[other].at("user"))
            throw Disagreement("ranks " + std::to_string(party.global(static_cast<int>(other))) + " and " +
                               std::to_string(party.global(static_cast<int>(r))) + " of host " +
                               cards[r].at("host_name") + " run under different users (uid " +
                               cards[other].at("user") + " and " + cards[r].at("user") +
                               "), who share no memory: start all ranks of a host as one user");
    }
}

}  // namespace

std::string describe_self(const Party& party) {
    std::string host = machine_name();
    try {
        host = host_name();
    } catch (const ConfigError&) {
        // A wrong setting may be what this rank is about to tell of.
    }
    return party.name(party.rank) + " (host " + host + ", pid " + std::to_string(::getpid()) + ")";
}

Roster exchange_cards(Rendezvous& meeting, const Config& settings, const std::string& host_id,
                      const std::string& doorbell, const std::string& lifeline) {
    const Party& party = meeting.party();
    const std::string& own_secret = settings.secret;
    Card mine{{"protocol", std::to_string(kProtocolVersion)},
              {"host_id", host_id.empty() ? host_identity() : host_id},
              {"host_name", host_id.empty() ? host_name() : host_id},
              {"machine", machine_name()},
              {"network", network_identity()},
              {"pid", std::to_string(::getpid())},
              {"process", process_identity()},
              {"doorbell", doorbell},
              {"lifeline", lifeline},
              {"user", std::to_string(::geteuid())},
              {"membarrier", membarrier_supported() ? "1" : "0"},
              {"secret", own_secret.empty() ? "shared" : hex(fingerprint(own_secret))}};
    const auto alike = settings_alike(settings);
    for (const auto& [name, value] : alike) mine[name] = one_line(value);
    if (party.rank == 0) {
        uint64_t group = 0;
        const Nonce random = random_nonce();
        std::memcpy(&group, random.data(), sizeof(group));
        mine["group"] = std::to_string(group);
        if (own_secret.empty()) mine["shared_secret"] = hex(random_secret());
    }
    meeting.join(mine);
    const std::vector<Card> cards = meeting.cards();
    require_equal(party, cards, "protocol",
                  "the protocol of torch_ring: install the same version everywhere");
    require_equal(party, cards, "secret", "TORCH_RING_SECRET: set the same secret on every rank, or on none");
    for (const auto& [name, _] : alike)
        for (int r = 1; r < party.size; ++r)
            if (cards[r].at(name) != cards[0].at(name))
                throw Disagreement(party.name(r) + " has " + name + "='" + cards[r].at(name) + "', " +
                                   party.name(0) + " has " + name + "='" + cards[0].at(name) +
                                   "': set it alike on every rank");
    require_one_host(party, cards);
    require_one_user(party, cards);

    Roster roster;
    roster.keys = meeting.keys();
    roster.group = std::stoull(cards[0].at("group"));
    roster.secret = own_secret.empty() ? cards[0].at("shared_secret") : own_secret;
    for (int r = 0; r < party.size; ++r) {
        const Card& card = cards[r];
        roster.members.push_back({.host_id = card.at("host_id"),
                                  .host_name = card.at("host_name"),
                                  .pid = std::stoi(card.at("pid")),
                                  .process = card.at("process"),
                                  .global_rank = party.global(r)});
        roster.doorbells.push_back(card.at("doorbell"));
        roster.networks.push_back(card.at("network"));
        roster.lifelines.push_back(card.at("lifeline"));
        if (card.at("host_id") == mine.at("host_id") && card.at("membarrier") != "1") roster.barriers = false;
    }
    return roster;
}

void publish_addresses(Store& store, const Roster& roster, int rank, const std::vector<Endpoint>& endpoints) {
    std::string text;
    for (const auto& [address, port] : endpoints) text += address + " " + std::to_string(port) + "\n";
    store.set(roster.keys + "address/" + std::to_string(rank), text);
}

std::vector<std::vector<Endpoint>> addresses(Store& store, const Roster& roster, Deadline deadline) {
    std::vector<std::string> keys;
    for (size_t r = 0; r < roster.members.size(); ++r)
        keys.push_back(roster.keys + "address/" + std::to_string(r));
    std::vector<std::vector<Endpoint>> all;
    try {
        for (const std::string& text : store.get_all(keys, deadline)) {
            std::istringstream lines(text);
            all.emplace_back();
            for (Endpoint one; lines >> one.address >> one.port;) all.back().push_back(one);
        }
    } catch (const TimeoutError&) {
        std::string missing;
        for (size_t r = 0; r < keys.size(); ++r)
            if (!store.has({keys[r]}))
                missing += (missing.empty() ? "" : ", ") + std::to_string(roster.members[r].global_rank);
        throw Bystander("these ranks have not published their addresses in time: " + missing);
    }
    return all;
}

}  // namespace ring
