// By which of its addresses a host can be reached, and the search for one that works.
#include <gtest/gtest.h>

#include <map>

#include "ring/base/config.h"
#include "ring/base/endpoint.h"
#include "ring/base/error.h"
#include "ring/topology/reach.h"
#include "ring/transport/tcp/listeners.h"

namespace ring {
namespace {

using Addresses = std::vector<std::string>;

Interface at(const std::string& name, const std::string& address) {
    return {.name = name,
            .address = address,
            .loopback = is_loopback(address),
            .link_local = is_link_local(address)};
}

Interface bridge(const std::string& name, const std::string& address, bool carrier) {
    Interface made = at(name, address);
    made.indirect = true;
    made.carrier = carrier;
    return made;
}

// A host with a bridge for containers, two networks, and both families.
std::vector<Interface> host() {
    return {at("lo", "127.0.0.1"),
            bridge("docker0", "172.17.0.1", false),
            at("mgmt0", "10.79.0.1"),
            at("eth0", "10.78.0.1"),
            at("lo", "::1"),
            at("eth0", "fd78::1"),
            at("mgmt0", "fe80::2%mgmt0"),
            at("eth0", "fe80::1%eth0")};
}

std::string refusal(const Wishes& wishes) {
    try {
        choose_reach(host(), wishes);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

TEST(Reach, HasAllAddressesThatOthersMayKnowTheHostBy) {
    EXPECT_EQ(choose_reach(host(), {}).addresses, (Addresses{"10.79.0.1", "10.78.0.1", "fd78::1",
                                                             "172.17.0.1", "fe80::2%mgmt0", "fe80::1%eth0"}));
}

TEST(Reach, BeginsWithTheRouteToTheStore) {
    EXPECT_EQ(
        choose_reach(host(), {.towards_store = "10.78.0.1"}).addresses,
        (Addresses{"10.78.0.1", "10.79.0.1", "fd78::1", "172.17.0.1", "fe80::2%mgmt0", "fe80::1%eth0"}));
    EXPECT_EQ(choose_reach(host(), {.towards_store = "fe80::1%eth0"}).addresses.front(), "fe80::1%eth0");
}

TEST(Reach, OffersNoLoopbackToOtherMachines) {
    for (const char* store : {"127.0.0.1", "127.0.1.1", "::1"})
        EXPECT_EQ(choose_reach(host(), {.towards_store = store}).addresses,
                  choose_reach(host(), {}).addresses);
}

TEST(Reach, OffersLoopbackLastWhereAllAreOnOneMachine) {
    EXPECT_EQ(choose_reach(host(), {.one_machine = true}).addresses,
              (Addresses{"10.79.0.1", "10.78.0.1", "fd78::1", "172.17.0.1", "fe80::2%mgmt0", "fe80::1%eth0",
                         "127.0.0.1"}));
}

TEST(Reach, ListensInsideTheMachineAloneWhereItsStoreDoes) {
    EXPECT_EQ(choose_reach(host(), {.towards_store = "127.0.0.1", .one_machine = true}).addresses,
              (Addresses{"127.0.0.1"}));
}

TEST(Reach, HasLinkLocalAddressesAfterAllOthersAndNotTooMany) {
    EXPECT_EQ(choose_reach({at("lo", "::1"), at("eth0", "fe80::1%eth0")}, {}).addresses,
              (Addresses{"fe80::1%eth0"}));
    std::vector<Interface> containers;
    for (const std::string number : {"0", "1", "2", "3", "4", "5"})
        containers.push_back(at("veth" + number, "fe80::" + number + "%veth" + number));
    containers.push_back(bridge("docker0", "172.17.0.1", false));
    const Addresses found = choose_reach(containers, {}).addresses;
    EXPECT_EQ(found.front(), "172.17.0.1");
    EXPECT_EQ(found.size(), 5u);
}

TEST(Reach, KeepsToTheInterfacesThatWereChosenInTheirOrder) {
    const std::map<std::string, Addresses> expected{
        {"eth0", {"10.78.0.1", "fd78::1", "fe80::1%eth0"}},
        {"=eth0", {"10.78.0.1", "fd78::1", "fe80::1%eth0"}},
        {"eth,mgmt", {"10.78.0.1", "fd78::1", "10.79.0.1", "fe80::1%eth0", "fe80::2%mgmt0"}},
        {"mgmt,eth", {"10.79.0.1", "10.78.0.1", "fd78::1", "fe80::2%mgmt0", "fe80::1%eth0"}},
        {"=mgmt0,eth0", {"10.79.0.1", "10.78.0.1", "fd78::1", "fe80::2%mgmt0", "fe80::1%eth0"}},
        {"docker,eth",
         {"10.78.0.1", "fd78::1", "172.17.0.1", "fe80::1%eth0"}},  // nobody is at the other end of docker0
        {"^docker,lo", {"10.79.0.1", "10.78.0.1", "fd78::1", "fe80::2%mgmt0", "fe80::1%eth0"}},
        {"^=docker0,=mgmt0", {"10.78.0.1", "fd78::1", "fe80::1%eth0"}}};
    for (const auto& [pattern, addresses] : expected)
        EXPECT_EQ(choose_reach(host(), {.ifname = pattern}).addresses, addresses) << pattern;
    EXPECT_EQ(choose_reach(host(), {.ifname = "lo", .one_machine = true}).addresses,
              (Addresses{"127.0.0.1"}));
}

TEST(Reach, RefusesAChoiceByWhichNobodyCanReachTheHost) {
    EXPECT_NE(refusal({.ifname = "nope"}).find("TORCH_RING_IFNAME='nope' matches no interface"),
              std::string::npos);
    EXPECT_NE(refusal({.ifname = "=eth"}).find("docker0 (172.17.0.1)"), std::string::npos);
    EXPECT_NE(refusal({.ifname = "lo"}).find("TORCH_RING_IFNAME='lo' chooses loopback alone"),
              std::string::npos);
}

TEST(Reach, HeedsWhatGlooAndNcclAreToldWhereItIsToldNothing) {
    const Reach gloo = choose_reach(host(), {.gloo_ifname = "mgmt0,eth0", .nccl_ifname = "eth0"});
    EXPECT_EQ(gloo.addresses,
              (Addresses{"10.79.0.1", "10.78.0.1", "fd78::1", "fe80::2%mgmt0", "fe80::1%eth0"}));
    EXPECT_EQ(gloo.chosen_by, "GLOO_SOCKET_IFNAME='mgmt0,eth0'");
    // Its names are whole ones.
    const Reach nccl = choose_reach(host(), {.gloo_ifname = "eth", .nccl_ifname = "^mgmt,docker,lo"});
    EXPECT_EQ(nccl.addresses, (Addresses{"10.78.0.1", "fd78::1", "fe80::1%eth0"}));
    EXPECT_EQ(nccl.chosen_by, "NCCL_SOCKET_IFNAME='^mgmt,docker,lo'");
    EXPECT_EQ(choose_reach(host(), {.ifname = "=mgmt0", .gloo_ifname = "eth0"}).addresses,
              (Addresses{"10.79.0.1", "fe80::2%mgmt0"}));
}

TEST(Reach, GoesOnWithoutWhatGlooWasToldForOneMachine) {
    EXPECT_EQ(choose_reach(host(), {.gloo_ifname = "lo"}).addresses, choose_reach(host(), {}).addresses);
    EXPECT_EQ(choose_reach(host(), {.gloo_ifname = "lo", .one_machine = true}).addresses,
              (Addresses{"127.0.0.1"}));
}

TEST(Ways, LeadNowhereWhereTheHostItselfHasTheAddress) {
    const Reach reach = choose_reach(host(), {});
    EXPECT_EQ(ways_to(reach, "172.17.0.1", false).front().obstacle, "this host has that address too");
    EXPECT_EQ(ways_to(reach, "172.17.0.1", true).front().obstacle, "");
    EXPECT_EQ(ways_to(reach, "10.78.0.2", false).front().obstacle, "");
}

TEST(Ways, NeedAnAddressOfTheFamily) {
    const Reach reach = choose_reach({at("lo", "127.0.0.1"), at("eth0", "10.78.0.1"), at("lo", "::1")}, {});
    EXPECT_EQ(ways_to(reach, "fd78::2", false).front().obstacle, "this host has no IPv6 address");
    const Reach chosen = choose_reach(host(), {.ifname = "mgmt0"});
    EXPECT_EQ(ways_to(chosen, "fd78::2", false).front().obstacle,
              "this host has no IPv6 address on what TORCH_RING_IFNAME='mgmt0' chooses");
}

TEST(Ways, GiveALinkLocalAddressEachZoneOfThisHost) {
    const auto ways = ways_to(choose_reach(host(), {}), "fe80::9", false);
    ASSERT_EQ(ways.size(), 2u);
    EXPECT_EQ(ways[0].to, "fe80::9%mgmt0");
    EXPECT_EQ(ways[1].to, "fe80::9%eth0");
    EXPECT_EQ(ways_to(choose_reach(host(), {}), "fe80::9%eth0", false).size(), 1u);
    const auto chosen =
        ways_to(choose_reach({at("eth0", "fe80::1%eth0"), at("eth1", "fe80::2%eth1")}, {.ifname = "=eth1"}),
                "fe80::9", false);
    ASSERT_EQ(chosen.size(), 1u);
    EXPECT_EQ(chosen[0].to, "fe80::9%eth1");
}

TEST(Ways, BeginAtAChosenInterface) {
    // The kernel would send from 127.0.0.1.
    const Reach reach =
        choose_reach({at("lo", "127.0.0.1"), at("x0", "127.0.0.7")}, {.ifname = "x0", .one_machine = true});
    EXPECT_EQ(ways_to(reach, "127.0.0.9", true).front().from, "127.0.0.7");
}

TEST(Endpoints, AreReadAsUsersWriteThem) {
    EXPECT_EQ(parse_endpoint("10.0.0.3"), (Endpoint{"10.0.0.3", 0}));
    EXPECT_EQ(parse_endpoint("node7.example:4000"), (Endpoint{"node7.example", 4000}));
    EXPECT_EQ(parse_endpoint("fd00::3"), (Endpoint{"fd00::3", 0}));
    EXPECT_EQ(parse_endpoint("[fd00::3]:4000"), (Endpoint{"fd00::3", 4000}));
    for (const char* wrong :
         {"", ":4000", "host:", "host:0", "host:65536", "host:x", "[fd00::3", "[]:1", "a b"})
        EXPECT_FALSE(parse_endpoint(wrong)) << wrong;
}

TEST(Listeners, AreOnOnePort) {
    Listeners listeners(PortRange{});
    listeners.add({"127.0.0.1", "127.0.0.2", "127.0.0.3"});
    ASSERT_EQ(listeners.all().size(), 3u);
    for (const auto& one : listeners.all()) EXPECT_EQ(one.at.port, listeners.all().front().at.port);
    EXPECT_TRUE(listeners.add({"127.0.0.2"}).empty());
    ASSERT_EQ(listeners.add({"127.0.0.2", "127.0.0.4"}).size(), 1u);
    EXPECT_EQ(listeners.find("127.0.0.4")->at.port, listeners.find("127.0.0.1")->at.port);
}

// The first of two neighbouring ports that are free. Below those that the kernel gives to others meanwhile.
uint16_t two_free_ports() {
    for (uint16_t port = 20'000; port < 30'000; port += 2) {
        try {
            Listeners both[] = {Listeners({port, port}), Listeners({static_cast<uint16_t>(port + 1),
                                                                    static_cast<uint16_t>(port + 1)})};
            for (Listeners& one : both) one.add({"127.0.0.1", "127.0.0.2"});
            return port;
        } catch (const Error&) {
        }
    }
    throw std::runtime_error("no two neighbouring ports are free");
}

TEST(Listeners, KeepToTheRangeOnePortEach) {
    const uint16_t taken = two_free_ports();
    const PortRange range{taken, static_cast<uint16_t>(taken + 1)};
    Listeners any({taken, taken});
    any.add({"127.0.0.1"});
    Listeners first(range);
    first.add({"127.0.0.2", "127.0.0.1"});
    EXPECT_EQ(first.find("127.0.0.2")->at.port, taken + 1);
    EXPECT_EQ(first.find("127.0.0.1")->at.port, taken + 1);
    Listeners second(range);
    try {
        second.add({"127.0.0.1"});
        ADD_FAILURE() << "a third process found a port in a range of two";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("TORCH_RING_PORT_RANGE"), std::string::npos) << error.what();
    }
}

TEST(Listeners, LeaveOutWhatIsNoAddressOfThisHost) {
    Listeners listeners(PortRange{});
    listeners.add({"198.51.100.1", "127.0.0.1"});
    EXPECT_EQ(listeners.all().size(), 1u);
    EXPECT_THROW(listeners.add({"198.51.100.1"}), Error);
}

}  // namespace
}  // namespace ring
