// What rank 0 tells of all ranks: all that is needed of it comes back, and nonsense is refused.
#include "ring/engine/roster.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ring/base/error.h"

namespace ring {
namespace {

Card card_of(int rank, const std::string& host) {
    const std::string number = std::to_string(rank);
    return {{"group", "17"},
            {"shared_secret", rank == 0 ? "5ec4e7" : ""},
            {"host_id", host + " id"},
            {"host_name", host + " by name"},
            {"network", host + " network"},
            {"pid", std::to_string(1000 + rank)},
            {"process", "process " + number},
            {"doorbell", "doorbell " + number},
            {"lifeline", rank == 1 ? "" : "lifeline " + number},
            {"membarrier", rank == 2 ? "0" : "1"},
            {"cpus", "0-" + number}};
}

TEST(Roster, OfOneHostHasAll) {
    const std::vector<Card> cards{card_of(0, "a"), card_of(1, "a"), card_of(2, "a")};
    bool whole = false;
    const Roster roster = decode_roster(encode_roster(cards), {.rank = 1, .size = 3}, whole);
    EXPECT_TRUE(whole);
    EXPECT_EQ(roster.group, 17u);
    EXPECT_EQ(roster.secret, "5ec4e7");
    EXPECT_FALSE(roster.barriers);
    for (size_t rank = 0; rank < cards.size(); ++rank) {
        EXPECT_EQ(roster.members[rank].host_name, "a by name");
        EXPECT_EQ(std::to_string(roster.members[rank].pid), cards[rank].at("pid"));
        EXPECT_EQ(roster.members[rank].process, cards[rank].at("process"));
        EXPECT_EQ(roster.members[rank].global_rank, static_cast<int>(rank));
        EXPECT_EQ(roster.doorbells[rank], cards[rank].at("doorbell"));
        EXPECT_EQ(roster.lifelines[rank], cards[rank].at("lifeline"));
        EXPECT_EQ(roster.members[rank].cpus.size(), rank + 1);
    }
}

TEST(Roster, OfSeveralHostsLeavesOutWhatOnlyTheirOwnRanksNeed) {
    const std::vector<Card> cards{card_of(0, "a"), card_of(1, "b"), card_of(2, "a"), card_of(3, "b"),
                                  card_of(4, "a")};
    const std::string text = encode_roster(cards);
    EXPECT_EQ(text.find("doorbell"), std::string::npos);
    const Party party{.rank = 3, .size = 5, .global_ranks = {10, 11, 12, 13, 14}};
    bool whole = true;
    Roster roster = decode_roster(text, party, whole);
    EXPECT_FALSE(whole);
    EXPECT_EQ(roster.ranks_of_host(3), (std::vector<int>{1, 3}));
    EXPECT_EQ(roster.ranks_of_host(0), (std::vector<int>{0, 2, 4}));
    EXPECT_EQ(roster.networks[1], roster.networks[3]);
    EXPECT_NE(roster.networks[1], roster.networks[2]);
    EXPECT_EQ(roster.members[4].pid, 1004);
    EXPECT_EQ(roster.members[4].host_name, "a by name");
    EXPECT_EQ(roster.members[4].global_rank, 14);
    for (const int rank : {1, 3}) roster.add_local(rank, cards[static_cast<size_t>(rank)]);
    EXPECT_TRUE(roster.barriers);
    EXPECT_EQ(roster.doorbells, (std::vector<std::string>{"", "doorbell 1", "", "doorbell 3", ""}));
    // Without a secret of rank 0's.
    std::vector<Card> without = cards;
    without[0]["shared_secret"] = "";
    EXPECT_EQ(decode_roster(encode_roster(without), party, whole).secret, "");
}

TEST(Roster, ThatMakesNoSenseIsRefused) {
    const std::vector<Card> cards{card_of(0, "a"), card_of(1, "b")};
    const std::string text = encode_roster(cards);
    bool whole = false;
    for (size_t length = 0; length < text.rfind("=b by name"); ++length)
        EXPECT_THROW(decode_roster(text.substr(0, length), {.rank = 0, .size = 2}, whole), Error) << length;
    EXPECT_THROW(decode_roster(text, {.rank = 0, .size = 3}, whole), Error);
    EXPECT_THROW(decode_roster("17 s\n0-1 h n 5 =name\n", {.rank = 0, .size = 2}, whole), Error);
    EXPECT_THROW(decode_roster("17 s\n0 h n 5 =a\n0 i n 6 =b\n", {.rank = 0, .size = 2}, whole), Error);
    EXPECT_THROW(decode_roster("17 s\n0,1 h n 5,6 =a\n", {.rank = 0, .size = 2}, whole), Error);
}

TEST(Roster, AddressesComeBackAsTheyWere) {
    const Addresses all{{{"203.0.113.9", 7000}, {"10.0.0.1", 41000}, {"fd00::1", 41000}},
                        {{"203.0.113.9", 7000}, {"10.0.0.1", 41001}, {"fd00::1", 41001}},
                        {{"10.0.0.2", 40000}},
                        {},
                        {{"203.0.113.9", 7001}, {"10.0.0.1", 41002}, {"fd00::1", 41002}}};
    const std::string text = encode_addresses(all);
    EXPECT_EQ(decode_addresses(text, all.size()), all) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
    // Of all ranks one by one, as they publish them.
    std::string parts;
    for (size_t rank = 0; rank < all.size(); ++rank) {
        Addresses one(rank + 1);
        one[rank] = all[rank];
        parts += encode_addresses(one);
    }
    EXPECT_EQ(decode_addresses(parts, all.size()), all);
    for (const char* wrong : {"0", "0 x 10.0.0.1", "0-1 5 10.0.0.1", "9 5 10.0.0.1", "0 0 10.0.0.1",
                              "0 99999 10.0.0.1", "0 5 10.0.0.1@", "0 5 10.0.0.1@x"})
        EXPECT_THROW(decode_addresses(wrong, 2), Error) << wrong;
}

}  // namespace
}  // namespace ring
