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
#include "ring/base/runs.h"
#include "ring/fault/timeouts.h"
#include "ring/topology/identity.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {
namespace {

// How many ranks without addresses are named; each costs some round trips.
constexpr size_t kNamed = 16;

std::string address_key(const Roster& roster, size_t rank) {
    return roster.keys + "address/" + std::to_string(rank);
}

std::string addresses_key(const Roster& roster) {
    return roster.keys + "addresses";
}

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

void check(const Party& party, const std::vector<Card>& cards, const Config& settings) {
    require_equal(party, cards, "protocol",
                  "the protocol of torch_ring: install the same version everywhere");
    require_equal(party, cards, "secret", "TORCH_RING_SECRET: set the same secret on every rank, or on none");
    for (const auto& [name, _] : settings_alike(settings))
        for (int r = 1; r < party.size; ++r)
            if (cards[r].at(name) != cards[0].at(name))
                throw Disagreement(party.name(r) + " has " + name + "='" + cards[r].at(name) + "', " +
                                   party.name(0) + " has " + name + "='" + cards[0].at(name) +
                                   "': set it alike on every rank");
    require_one_host(party, cards);
    require_one_user(party, cards);
}

// Rank 0 may end when it has left its card and before it has told who the ranks are: then those of its host
// tell of that.
class EndOfRank0 {
  public:
    EndOfRank0(Rendezvous& meeting, const Card& mine) : meeting_(meeting), mine_(mine) {}

    void look(const Card& of_rank_0) {
        if (of_rank_0.at("host_id") != mine_.at("host_id") ||
            !process_ended(std::stoi(of_rank_0.at("pid")), of_rank_0.at("process")))
            return;
        // It may be of an earlier attempt: then it comes again, to another round.
        if (is_restarted()) meeting_.leave();
        since_ = std::min(since_, Clock::now());
        if (Clock::now() < since_ + kComesAgain) return;
        const Party& party = meeting_.party();
        throw Gone(not_on_this_host(describe(party, 0, of_rank_0), describe(party, party.rank, mine_)));
    }

  private:
    static std::string describe(const Party& party, int rank, const Card& card) {
        return party.name(rank) + " (host " + card.at("host_name") + ", pid " + card.at("pid") + ")";
    }

    Rendezvous& meeting_;
    const Card& mine_;
    Clock::time_point since_ = Clock::time_point::max();
};

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

std::string not_on_this_host(const std::string& rank, const std::string& this_rank) {
    return rank + " is not on the host of " + this_rank +
           ": it has died, or the two run on copies of one machine, such as clones of a snapshot, which have "
           "the same boot id; then set TORCH_RING_HOST_ID to another name on each";
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
              {"cpus", encode_runs(usable_cpus())},
              {"secret", own_secret.empty() ? "shared" : hex(fingerprint(own_secret))}};
    const auto alike = settings_alike(settings);
    for (const auto& [name, value] : alike) mine[name] = one_line(value);
    if (party.rank == 0) {
        uint64_t group = 0;
        const Nonce random = random_nonce();
        std::memcpy(&group, random.data(), sizeof(group));
        mine["group"] = std::to_string(group);
    }
    mine["shared_secret"] = party.rank == 0 && own_secret.empty() ? hex(random_secret()) : "";
    meeting.join(mine);
    EndOfRank0 end(meeting, mine);
    const std::string text = meeting.merge_cards(
        [&](const std::vector<Card>& cards) {
            check(party, cards, settings);
            return encode_roster(cards);
        },
        [&](const Card& of_rank_0) { end.look(of_rank_0); });
    bool whole = false;
    Roster roster = decode_roster(text, party, whole);
    roster.keys = meeting.keys();
    if (!own_secret.empty()) roster.secret = own_secret;
    if (!whole) {
        const auto ranks = roster.ranks_of_host(party.rank);
        const auto cards = meeting.cards_of(ranks);
        for (size_t i = 0; i < ranks.size(); ++i) roster.add_local(ranks[i], cards[i]);
    }
    return roster;
}

void publish_addresses(Store& store, const Roster& roster, int rank, const std::vector<Endpoint>& endpoints) {
    Addresses own(static_cast<size_t>(rank) + 1);
    own.back() = endpoints;
    store.set(address_key(roster, static_cast<size_t>(rank)), encode_addresses(own));
}

Addresses addresses(Store& store, const Roster& roster, int rank, Deadline deadline) {
    const size_t size = roster.members.size();
    const std::string merged = addresses_key(roster);
    std::vector<std::string> keys;
    for (size_t r = 0; r < size; ++r) keys.push_back(address_key(roster, r));
    try {
        Addresses all;
        if (rank == 0) {
            std::string each;
            for (const std::string& text : store.get_all(keys, deadline)) each += text;
            all = decode_addresses(each, size);
            store.set(merged, encode_addresses(all));
        } else {
            all = decode_addresses(store.get(merged, deadline), size);
        }
        store.remove({keys[static_cast<size_t>(rank)]});  // which rank 0 has read
        return all;
    } catch (const TimeoutError&) {
        if (Clock::now() < deadline.at()) throw;  // of another rank, as this one has been told
        if (store.has({merged})) throw Bystander("the store is too slow: it has the addresses of all ranks");
        std::string missing;
        for (const size_t r : find_missing(store, keys, kNamed))
            missing += (missing.empty() ? "" : ", ") + std::to_string(roster.members[r].global_rank);
        if (missing.empty())
            throw Bystander("rank " + std::to_string(roster.members[0].global_rank) +
                            " has not told the addresses of all ranks in time");
        throw Bystander("these ranks have not published their addresses in time: " + missing);
    }
}

std::vector<std::string> keys_of_addresses(const Roster& roster) {
    return {addresses_key(roster)};
}

}  // namespace ring
