// Who may receive from another host, and when.
#include <gtest/gtest.h>

#include "ring/collectives/link_turns.h"
#include "segments.h"

namespace ring {
namespace {

using namespace ring::testing;
using Part = LinkTurns::Part;

// The turns of one operation as all local ranks have them.
class Turns {
  public:
    Turns(const std::vector<Part>& parts, int streams) : parts_(parts), streams_(streams) {}

    void enter(uint64_t operation, uint64_t rounds) {
        turns_.clear();
        counts_.resize(parts_.size());
        const auto size = static_cast<int>(parts_.size());
        for (int l = 0; l < size; ++l)
            segments_.of(l).enter({operation, {}}, &parts_[static_cast<size_t>(l)], sizeof(Part));
        for (int l = 0; l < size; ++l) {
            turns_.emplace_back(&segments_.of(l), operation, streams_);
            turns_.back().begin(counts_[static_cast<size_t>(l)], rounds);
        }
    }
    bool needed(int local) const { return of(local).needed(); }
    bool may_go(int local, uint64_t round) const { return of(local).turn(round).ready(); }
    std::vector<int> awaited(int local, uint64_t round) const { return of(local).turn(round).awaited(); }
    void pass(int local, uint64_t round) const { of(local).pass(round); }

  private:
    const LinkTurns& of(int local) const { return turns_[static_cast<size_t>(local)]; }

    std::vector<Part> parts_;
    int streams_;
    Segments segments_{static_cast<int>(parts_.size())};
    std::vector<uint64_t> counts_;
    std::vector<LinkTurns> turns_;
};

TEST(LinkTurns, ComeOneAfterTheOtherInEachRound) {
    Turns turns({Part::kTakesTurns, Part::kNone, Part::kTakesTurns}, 1);
    for (const uint64_t operation : {1, 2, 3}) {
        turns.enter(operation, 2);
        EXPECT_TRUE(turns.needed(0));
        EXPECT_FALSE(turns.needed(1));
        EXPECT_TRUE(turns.needed(2));
        for (const uint64_t round : {0, 1}) {
            EXPECT_TRUE(turns.may_go(0, round));
            EXPECT_FALSE(turns.may_go(2, round));
            EXPECT_EQ(turns.awaited(2, round), std::vector<int>{0});
            turns.pass(0, round);
            EXPECT_TRUE(turns.may_go(2, round));
            if (round == 0) {
                EXPECT_FALSE(turns.may_go(0, 1));
                EXPECT_EQ(turns.awaited(0, 1), std::vector<int>{2});
            }
            turns.pass(2, round);
        }
    }
}

TEST(LinkTurns, AreAsManyAtATimeAsALinkHasStreams) {
    Turns turns({Part::kTakesTurns, Part::kTakesTurns, Part::kTakesTurns}, 2);
    turns.enter(1, 2);
    EXPECT_TRUE(turns.may_go(0, 0));
    EXPECT_TRUE(turns.may_go(1, 0));
    EXPECT_FALSE(turns.may_go(2, 0));
    turns.pass(1, 0);
    EXPECT_TRUE(turns.may_go(0, 1));
    EXPECT_FALSE(turns.may_go(2, 0));
    turns.pass(0, 0);
    EXPECT_TRUE(turns.may_go(2, 0));
    EXPECT_FALSE(turns.may_go(1, 1));
}

TEST(LinkTurns, AreNotNeededByOneAlone) {
    Turns turns({Part::kNone, Part::kTakesTurns}, 1);
    turns.enter(1, 3);
    EXPECT_FALSE(turns.needed(0));
    EXPECT_FALSE(turns.needed(1));
    LinkTurns alone(nullptr, 1, 1);
    uint64_t count = 0;
    alone.begin(count, 3);
    EXPECT_FALSE(alone.needed());
    EXPECT_EQ(count, 0u);
}

}  // namespace
}  // namespace ring
