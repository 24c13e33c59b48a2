// See bootstrap.h.
#include "ring/engine/bootstrap.h"

#include <unistd.h>

#include <cstring>
#include <map>
#include <sstream>

#include "ring/base/error.h"
#include "ring/base/hex.h"
#include "ring/base/membarrier.h"
#include "ring/topology/identity.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {
namespace {

// A card is lines of "field=value"; values are one line each.
using Card = std::map<std::string, std::string>;

std::string encode(const Card& card) {
    std::string text;
    for (const auto& [field, value] : card) text += field + "=" + value + "\n";
    return text;
}

Card decode(const std::string& text) {
    Card card;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (const size_t at = line.find('='); at != std::string::npos)
            card[line.substr(0, at)] = line.substr(at + 1);
    return card;
}

std::string key_of(const std::string& keys, const char* what, int rank) {
    return keys + what + "/" + std::to_string(rank);
}

std::vector<std::string> keys_of(const std::string& keys, const char* what, int size) {
    std::vector<std::string> all;
    for (int r = 0; r < size; ++r) all.push_back(key_of(keys, what, r));
    return all;
}

// The ranks that have not put theirs into the store: "2, 3".
std::string missing_ranks(Store& store, const std::string& keys, const char* what, int size) {
    std::string missing;
    for (int r = 0; r < size; ++r)
        if (!store.has(key_of(keys, what, r))) missing += (missing.empty() ? "" : ", ") + std::to_string(r);
    return missing;
}

[[noreturn]] void throw_missing(Store& store, const std::string& keys, int rank, int size) {
    const std::string missing = missing_ranks(store, keys, "card", size);
    throw TimeoutError("rank " + std::to_string(rank) + " of " + std::to_string(size) +
                       " waited for the group to form, but these ranks did not join in time: " +
                       (missing.empty() ? "none; the store is too slow" : missing) +
                       ". Are they running, and do they create the same group?");
}

void require_equal(const std::vector<Card>& cards, const char* field, const std::string& meaning) {
    for (size_t r = 1; r < cards.size(); ++r)
        if (cards[r].at(field) != cards[0].at(field))
            throw ConfigError("rank " + std::to_string(r) + " and rank 0 differ in " + meaning);
}

// Ranks of one host share memory, which is passed to the same user only.
void require_one_user(const std::vector<Card>& cards) {
    std::map<std::string, size_t> first;  // of each host
    for (size_t r = 0; r < cards.size(); ++r) {
        const size_t other = first.emplace(cards[r].at("host_id"), r).first->second;
        if (cards[r].at("user") != cards[other].at("user"))
            throw ConfigError("ranks " + std::to_string(other) + " and " + std::to_string(r) + " of host " +
                              cards[r].at("host_name") + " run under different users (uid " +
                              cards[other].at("user") + " and " + cards[r].at("user") +
                              "), who share no memory: start all ranks of a host as one user");
    }
}

}  // namespace

Roster exchange_cards(Store& store, int rank, int size, const Config& settings, const std::string& host_id,
                      const std::string& doorbell, const std::string& lifeline, Deadline deadline) {
    // Nobody comes a second time before all have come a first, so this tells which start it is.
    const uint64_t start = (store.count("ring/starts") - 1) / static_cast<uint64_t>(size);
    const std::string keys = "ring/" + std::to_string(start) + "/";
    const std::string& own_secret = settings.secret;
    Card mine{{"protocol", std::to_string(kProtocolVersion)},
              {"host_id", host_id.empty() ? host_identity() : host_id},
              {"host_name", host_id.empty() ? host_name() : host_id},
              {"network", network_identity()},
              {"pid", std::to_string(::getpid())},
              {"doorbell", doorbell},
              {"lifeline", lifeline},
              {"user", std::to_string(::geteuid())},
              {"membarrier", membarrier_supported() ? "1" : "0"},
              {"settings", settings_alike(settings)},
              {"secret", own_secret.empty() ? "shared" : hex(fingerprint(own_secret))}};
    if (rank == 0) {
        uint64_t group = 0;
        const Nonce random = random_nonce();
        std::memcpy(&group, random.data(), sizeof(group));
        mine["group"] = std::to_string(group);
        if (own_secret.empty()) mine["shared_secret"] = hex(random_secret());
    }
    store.set(key_of(keys, "card", rank), encode(mine));

    std::vector<Card> cards;
    try {
        for (const std::string& text : store.get_all(keys_of(keys, "card", size), deadline))
            cards.push_back(decode(text));
    } catch (const TimeoutError&) {
        throw_missing(store, keys, rank, size);
    }
    require_equal(cards, "protocol", "the protocol of torch_ring: install the same version everywhere");
    require_equal(cards, "secret", "TORCH_RING_SECRET: set the same secret on every rank, or on none");
    for (int r = 1; r < size; ++r)
        if (cards[r].at("settings") != cards[0].at("settings"))
            throw ConfigError("rank " + std::to_string(r) + " has " + cards[r].at("settings") +
                              ", rank 0 has " + cards[0].at("settings") + ": set them alike on every rank");

    require_one_user(cards);

    Roster roster;
    roster.keys = keys;
    roster.group = std::stoull(cards[0].at("group"));
    roster.secret = own_secret.empty() ? cards[0].at("shared_secret") : own_secret;
    for (const Card& card : cards) {
        roster.members.push_back({card.at("host_id"), card.at("host_name"), std::stoi(card.at("pid"))});
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
    store.set(key_of(roster.keys, "address", rank), text);
}

std::vector<std::vector<Endpoint>> addresses(Store& store, const Roster& roster, Deadline deadline) {
    const int size = static_cast<int>(roster.members.size());
    std::vector<std::vector<Endpoint>> all;
    try {
        for (const std::string& text : store.get_all(keys_of(roster.keys, "address", size), deadline)) {
            std::istringstream lines(text);
            all.emplace_back();
            for (Endpoint one; lines >> one.address >> one.port;) all.back().push_back(one);
        }
    } catch (const TimeoutError&) {
        throw TimeoutError("these ranks have not published their addresses in time; they failed to start: " +
                           missing_ranks(store, roster.keys, "address", size));
    }
    return all;
}

}  // namespace ring
