// How the ranks of a new group find out about each other: one card per rank in the store, O(N) keys in all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/config.h"
#include "ring/base/endpoint.h"
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

// Publishes this rank's card and reads all others'. `host_id` stands for this host, "" for host_identity().
// Throws TimeoutError that names the ranks that did not come, and ConfigError, on every rank, where the
// ranks' settings, secrets or versions differ, or the users that the ranks of one host run under.
//
// A store may serve one group after the other (a process group that is destroyed and made again): each has
// keys of its own, which the roster's `keys` begins.
Roster exchange_cards(Store& store, int rank, int size, const Config& settings, const std::string& host_id,
                      const std::string& doorbell, const std::string& lifeline, Deadline deadline);

// The second round, only where ranks must connect over the network: where this rank can be called.
void publish_addresses(Store& store, const Roster& roster, int rank, const std::vector<Endpoint>& endpoints);
// Of all ranks, best first. Throws TimeoutError that names those which have not published theirs.
std::vector<std::vector<Endpoint>> addresses(Store& store, const Roster& roster, Deadline deadline);

}  // namespace ring
