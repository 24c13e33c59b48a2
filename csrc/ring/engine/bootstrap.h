// How the ranks of a new group find out about each other: each leaves a card in the store, rank 0 makes one
// roster of all cards, which all ranks read; and the same again for their addresses, where they need some.
// See docs/decisions/0014-rank-0-merges-the-cards.md.
#pragma once

#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/config.h"
#include "ring/base/endpoint.h"
#include "ring/engine/rendezvous.h"
#include "ring/engine/roster.h"
#include "ring/topology/store.h"

namespace ring {

// "rank 2 (host lab1, pid 4711)": this rank, before there is a layout.
std::string describe_self(const Party& party);

// The words for a rank that should be on this rank's host, and whose process is not there.
std::string not_on_this_host(const std::string& rank, const std::string& this_rank);

// Publishes this rank's card in the store; returns what rank 0 makes of all. `host_id` stands for this host,
// "" for host_identity(). Throws what Rendezvous throws, and Disagreement, on every rank, where the ranks'
// settings, secrets or versions differ, or the users that the ranks of one host run under, or where some that
// call their host by one name cannot be on one.
Roster exchange_cards(Rendezvous& meeting, const Config& settings, const std::string& host_id,
                      const std::string& doorbell, const std::string& lifeline);

// The second round, only where ranks must connect over the network: where this rank can be called.
void publish_addresses(Store& store, const Roster& roster, int rank, const std::vector<Endpoint>& endpoints);
// Of all ranks. Throws Bystander that names those which have not published theirs.
Addresses addresses(Store& store, const Roster& roster, int rank, Deadline deadline);

// The keys that nobody needs once the group has formed on all ranks.
std::vector<std::string> keys_of_addresses(const Roster& roster);

}  // namespace ring
