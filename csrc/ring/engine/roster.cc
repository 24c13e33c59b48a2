// See roster.h.
//
// The roster: a line with the group's number and its secret; then one line per host, of its ranks, what
// stands for the host and for its network, the ranks' processes, and the host's name; then, if that was the
// only host, a line for each rank. The addresses: a line for all ranks that have the same ones, with a port
// for each rank.
#include "ring/engine/roster.h"

#include <map>
#include <sstream>

#include "ring/base/error.h"
#include "ring/base/hex.h"
#include "ring/base/runs.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {
namespace {

// Identities are long, and only compared.
std::string digest(const std::string& identity) {
    return hex(fingerprint(identity));
}

[[noreturn]] void refuse(const std::string& text) {
    throw Error("what rank 0 told of the ranks makes no sense: '" + text.substr(0, 80) +
                "': torch_ring is broken, please report it");
}

std::string join(const std::vector<std::string>& numbers) {
    std::string text;
    for (const std::string& number : numbers) text += (text.empty() ? "" : ",") + number;
    return text;
}

std::vector<int> split_numbers(const std::string& text) {
    std::vector<int> numbers;
    std::istringstream words(text);
    for (int number = 0; words >> number; words.ignore(1, ',')) numbers.push_back(number);
    return numbers;
}

// Which may have spaces in it, or be empty.
constexpr const char* kBeforeName = " =";
constexpr size_t kMostCpus = 1 << 16;
constexpr const char* kLocalFields[] = {"process", "doorbell", "lifeline", "membarrier", "cpus"};

}  // namespace

std::vector<int> Roster::ranks_of_host(int rank) const {
    std::vector<int> ranks;
    for (int other = 0; other < static_cast<int>(members.size()); ++other)
        if (members[other].host_id == members[rank].host_id) ranks.push_back(other);
    return ranks;
}

void Roster::add_local(int rank, const Card& card) {
    members[rank].process = card.at("process");
    members[rank].cpus = decode_runs(card.at("cpus"), kMostCpus);
    doorbells[rank] = card.at("doorbell");
    lifelines[rank] = card.at("lifeline");
    barriers = barriers && card.at("membarrier") == "1";
}

std::string encode_roster(const std::vector<Card>& cards) {
    struct Host {
        std::vector<int> ranks;
        std::vector<std::string> pids;
    };
    std::map<std::string, size_t> numbers;
    std::vector<Host> hosts;  // in the order of their first ranks
    for (size_t rank = 0; rank < cards.size(); ++rank) {
        const auto [host, added] = numbers.try_emplace(cards[rank].at("host_id"), hosts.size());
        if (added) hosts.emplace_back();
        hosts[host->second].ranks.push_back(static_cast<int>(rank));
        hosts[host->second].pids.push_back(cards[rank].at("pid"));
    }
    std::string text = cards[0].at("group") + " " + cards[0].at("shared_secret") + "\n";
    for (const Host& host : hosts) {
        const Card& first = cards[static_cast<size_t>(host.ranks.front())];
        text += encode_runs(host.ranks) + " " + digest(first.at("host_id")) + " " +
                digest(first.at("network")) + " " + join(host.pids) + kBeforeName + first.at("host_name") +
                "\n";
    }
    if (hosts.size() > 1) return text;
    for (const Card& card : cards) {
        for (const char* field : kLocalFields) text += card.at(field) + "\t";
        text += "\n";
    }
    return text;
}

Roster decode_roster(const std::string& text, const Party& party, bool& whole) {
    Roster roster;
    const auto size = static_cast<size_t>(party.size);
    roster.members.resize(size);
    roster.networks.resize(size);
    roster.doorbells.resize(size);
    roster.lifelines.resize(size);
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    std::istringstream head(line);
    if (!(head >> roster.group)) refuse(line);
    head >> roster.secret;  // none where all ranks have it of the user
    size_t hosts = 0;
    for (size_t known = 0; known < size; ++hosts) {
        std::string ranks, pids;
        Member member;
        std::string network;
        if (!std::getline(lines, line)) refuse(text);
        std::istringstream fields(line);
        fields >> ranks >> member.host_id >> network >> pids;
        std::string name;
        std::getline(fields, name);
        if (!name.starts_with(kBeforeName)) refuse(line);
        member.host_name = name.substr(std::string(kBeforeName).size());
        const auto of_host = decode_runs(ranks, size);
        const auto processes = split_numbers(pids);
        if (of_host.empty() || of_host.size() != processes.size()) refuse(line);
        for (size_t i = 0; i < of_host.size(); ++i) {
            const auto rank = static_cast<size_t>(of_host[i]);
            if (rank >= size || roster.members[rank].pid != 0) refuse(line);
            member.pid = processes[i];
            member.global_rank = party.global(of_host[i]);
            roster.members[rank] = member;
            roster.networks[rank] = network;
        }
        known += of_host.size();
    }
    whole = hosts == 1;
    for (int rank = 0; whole && rank < party.size; ++rank) {
        if (!std::getline(lines, line)) refuse(text);
        std::istringstream fields(line);
        Card card;
        for (const char* field : kLocalFields)
            if (!std::getline(fields, card[field], '\t')) refuse(line);
        roster.add_local(rank, card);
    }
    return roster;
}

std::string encode_addresses(const Addresses& addresses) {
    struct Alike {
        std::vector<int> ranks;
        std::vector<std::string> ports;
    };
    std::map<std::string, Alike> lists;
    for (size_t rank = 0; rank < addresses.size(); ++rank) {
        if (addresses[rank].empty()) continue;
        // All but what TORCH_RING_ADVERTISE names, which comes first, have one port.
        const uint16_t port = addresses[rank].back().port;
        std::string list;
        for (const Endpoint& one : addresses[rank])
            list += " " + one.address + (one.port == port ? "" : "@" + std::to_string(one.port));
        lists[list].ranks.push_back(static_cast<int>(rank));
        lists[list].ports.push_back(std::to_string(port));
    }
    std::string text;
    for (const auto& [list, alike] : lists)
        text += encode_runs(alike.ranks) + " " + join(alike.ports) + list + "\n";
    return text;
}

Addresses decode_addresses(const std::string& text, size_t ranks) {
    Addresses addresses(ranks);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string runs, numbers;
        words >> runs >> numbers;
        const auto alike = decode_runs(runs, ranks);
        const auto ports = split_numbers(numbers);
        if (alike.empty() || alike.size() != ports.size()) refuse(line);
        for (std::string word; words >> word;) {
            const size_t at = word.find('@');
            for (size_t i = 0; i < alike.size(); ++i) {
                const auto port =
                    parse_port(at == std::string::npos ? std::to_string(ports[i]) : word.substr(at + 1));
                const auto rank = static_cast<size_t>(alike[i]);
                if (rank >= ranks || !port) refuse(line);
                addresses[rank].push_back({word.substr(0, at), *port});
            }
        }
    }
    return addresses;
}

}  // namespace ring
