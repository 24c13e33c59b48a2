// What each rank of a group knows of all, and how rank 0 tells it: as text, host by host, so that it takes
// some ten bytes per rank and a hundred per host. Used by bootstrap.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ring/base/endpoint.h"
#include "ring/engine/rendezvous.h"
#include "ring/topology/layout.h"

namespace ring {

struct Roster {
    std::string keys;    // what the group's keys in the store begin with
    uint64_t group = 0;  // a random number that rank 0 drew
    std::string secret;  // what connections prove knowledge of
    std::vector<Member> members;
    // By rank, of those of this host; "" of others, as their Member::process.
    std::vector<std::string> doorbells;
    std::vector<std::string> lifelines;  // of their processes
    std::vector<std::string> networks;   // stand for network_identity(), by rank
    bool barriers = true;                // every rank of the host has membarrier_supported()

    std::vector<int> ranks_of_host(int rank) const;
    // What only the ranks of one host need of each other.
    void add_local(int rank, const Card& card);
};

// Of the cards of all ranks, by rank. What only the ranks of one host need is left out, unless there is one
// host only.
std::string encode_roster(const std::vector<Card>& cards);
// Without Roster::keys. Throws Error where it makes no sense. `whole`: nothing has been left out.
Roster decode_roster(const std::string& text, const Party& party, bool& whole);

// Where all ranks can be called, by rank, best first.
using Addresses = std::vector<std::vector<Endpoint>>;
std::string encode_addresses(const Addresses& addresses);
Addresses decode_addresses(const std::string& text, size_t ranks);  // throws Error where it makes no sense

}  // namespace ring
