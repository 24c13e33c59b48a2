// How the ranks of a new group find out about each other: one card per rank in the store, O(N) keys in all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/config.h"
#include "ring/base/endpoint.h"
#include "ring/engine/rendezvous.h"
#include "ring/topology/layout.h"
#include "ring/topology/store.h"

namespace ring {

struct Roster {
    std::string keys;    // what the group's keys in the store begin with
    uint64_t group = 0;  // a random number that rank 0 drew
    std::string secret;  // what connections prove knowledge of
    std::vector<Member> members;
    std::vector<std::string> doorbells;  // by rank
    std::vector<std::string> lifelines;  // of the ranks' processes, by rank
    std::vector<std::string> networks;   // network_identity(), by rank
    bool barriers = true;                // every rank of the host has membarrier_supported()
};

// "rank 2 (host lab1, pid 4711)": this rank, before there is a layout.
std::string describe_self(const Party& party);

// Publishes this rank's card in the store and reads all others'. `host_id` stands for this host, "" for
// host_identity(). Throws what Rendezvous throws, and Disagreement, on every rank, where the ranks' settings,
// secrets or versions differ, or the users that the ranks of one host run under, or where some that call
// their host by one name cannot be on one.
Roster exchange_cards(Rendezvous& meeting, const Config& settings, const std::string& host_id,
                      const std::string& doorbell, const std::string& lifeline);

// The second round, only where ranks must connect over the network: where this rank can be called.
void publish_addresses(Store& store, const Roster& roster, int rank, const std::vector<Endpoint>& endpoints);
// Of all ranks, best first. Throws Bystander that names those which have not published theirs.
std::vector<std::vector<Endpoint>> addresses(Store& store, const Roster& roster, Deadline deadline);

}  // namespace ring
