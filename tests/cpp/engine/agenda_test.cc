// Which groups the progress thread looks at, and when.
#include "ring/engine/agenda.h"

#include <gtest/gtest.h>

#include <array>

namespace ring::testing {
namespace {

// Groups are only compared: any addresses do.
class Agendas : public ::testing::Test {
  protected:
    static constexpr size_t kGroups = 1000;
    const Communicator* group(size_t index) const {
        return reinterpret_cast<const Communicator*>(&places_[index]);
    }
    std::vector<const Communicator*> wanted(Clock::time_point now = Clock::now()) {
        std::vector<const Communicator*> groups;
        for (const auto& item : agenda_.items(now)) groups.push_back(item.group);
        return groups;
    }
    void finish_all(Clock::time_point due = Clock::time_point::max()) {
        for (const auto& item : agenda_.items(Clock::now())) agenda_.done(item, due);
    }

    using Groups = std::vector<const Communicator*>;
    Agenda agenda_;

  private:
    std::array<char, kGroups> places_{};
};

TEST_F(Agendas, QuietGroupsAreLeftAlone) {
    for (size_t i = 0; i < kGroups; ++i) agenda_.add(group(i));
    EXPECT_EQ(wanted().size(), kGroups);
    finish_all();
    EXPECT_TRUE(wanted().empty());
    EXPECT_EQ(agenda_.next(), Clock::time_point::max());
    agenda_.want(group(7));
    agenda_.want(group(7));
    EXPECT_EQ(wanted(), Groups{group(7)});
    EXPECT_LE(agenda_.next(), Clock::now());
}

// Who was served may have been wanted while it was: that is not lost.
TEST_F(Agendas, WhatIsWantedMeanwhileStays) {
    agenda_.add(group(0));
    const auto items = agenda_.items(Clock::now());
    agenda_.want(group(0));
    agenda_.done(items.at(0), Clock::time_point::max());
    EXPECT_EQ(wanted(), Groups{group(0)});
    finish_all();
    EXPECT_TRUE(wanted().empty());
}

// A thread that does not come to the end of what it took leaves it to the next one.
TEST_F(Agendas, WhatIsNotDoneIsTheNextThreads) {
    for (const size_t i : {0, 1, 2}) agenda_.add(group(i));
    const auto items = agenda_.items(Clock::now());
    agenda_.done(items.at(0), Clock::time_point::max());
    EXPECT_EQ(wanted().size(), 2U);
    EXPECT_LE(agenda_.next(), Clock::now());
}

TEST_F(Agendas, AGroupIsWantedWhenItIsDue) {
    const auto now = Clock::now();
    for (const size_t i : {0, 1}) agenda_.add(group(i));
    const auto items = agenda_.items(now);
    agenda_.done(items.at(0), now + std::chrono::hours(2));
    agenda_.done(items.at(1), now + std::chrono::hours(1));
    EXPECT_TRUE(wanted(now).empty());
    EXPECT_EQ(agenda_.next(), now + std::chrono::hours(1));
    EXPECT_EQ(wanted(now + std::chrono::hours(1)), Groups{group(1)});
    finish_all();
    EXPECT_EQ(agenda_.next(), now + std::chrono::hours(2));
    EXPECT_EQ(wanted(now + std::chrono::hours(2)), Groups{group(0)});
}

TEST_F(Agendas, TheTimerWantsThoseThatAskedForIt) {
    for (const size_t i : {0, 1, 2}) agenda_.add(group(i));
    finish_all();
    agenda_.want_soon(group(0));
    agenda_.want_soon(group(1));
    agenda_.want_soon(group(1));
    EXPECT_TRUE(wanted().empty());
    agenda_.want(group(1));
    agenda_.timer_has_run_out();
    const auto items = agenda_.items(Clock::now());
    ASSERT_EQ(items.size(), 2U);
    for (const auto& item : items) EXPECT_EQ(item.by_timer, item.group == group(0));
    // Asked for in another way meanwhile.
    agenda_.want(group(0));
    for (const auto& item : agenda_.items(Clock::now())) EXPECT_FALSE(item.by_timer);
}

TEST_F(Agendas, AGroupThatIsRemovedIsForgotten) {
    for (const size_t i : {0, 1}) agenda_.add(group(i));
    const auto items = agenda_.items(Clock::now());
    agenda_.want_soon(group(0));
    agenda_.done(items.at(1), Clock::now());
    for (const size_t i : {0, 1}) agenda_.remove(group(i));
    agenda_.timer_has_run_out();
    agenda_.want(group(0));
    agenda_.done(items.at(0), Clock::now());
    EXPECT_TRUE(wanted(Clock::now() + std::chrono::hours(1)).empty());
    EXPECT_EQ(agenda_.next(), Clock::time_point::max());
}

}  // namespace
}  // namespace ring::testing
