// Who drives a group, through interleavings that are chosen: another thread acts exactly where the driver is.
#include "ring/engine/baton.h"

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <random>

#include "engine/fake_group.h"
#include "group.h"

namespace ring::testing {
namespace {

using std::chrono::seconds;
using OperationPtr = std::shared_ptr<Operation>;

constexpr seconds kLong{20};

std::future<void> waiter(FakeGroup& group, const OperationPtr& operation) {
    return std::async(std::launch::async, [&group, operation] { group.wait(operation); });
}

bool ends(std::future<void>& wait) {
    if (wait.wait_for(kLong) != std::future_status::ready) return false;
    wait.get();
    return true;
}

// As the engine does: again while there is more to do than a turn takes.
Baton::Served serve(FakeGroup& group) {
    auto served = Baton::Served::kAtWork;
    while (served == Baton::Served::kAtWork) served = group.baton().serve();
    return served;
}

std::string name_of(Point point) {
    constexpr std::array kNames{"step",  "look_up", "doze", "ready",    "listen",
                                "waits", "awake",   "arm",  "call_back"};
    return kNames.at(static_cast<size_t>(point));
}

class BatonAt : public ::testing::TestWithParam<Point> {
  protected:
    ~BatonAt() override {
        EXPECT_EQ(group_.overslept(), 0);
        EXPECT_EQ(group_.collisions(), 0);
    }
    FakeGroup group_;
};

using WaiterAt = BatonAt;

// What it waits for comes just there.
TEST_P(WaiterAt, SeesWhatArrives) {
    const auto operation = group_.post();
    group_.at(GetParam(), [&] { group_.arrive(operation); });
    auto wait = waiter(group_, operation);
    ASSERT_TRUE(ends(wait));
}

// Another thread posts something, and waits for it: the one that sleeps drives for both.
TEST_P(WaiterAt, DrivesForAnotherWaiter) {
    const auto late = group_.post();
    std::future<void> other;
    std::atomic<bool> waits{false};
    group_.at(GetParam(), [&] {
        other = waiter(group_, group_.post_arrived());
        waits = true;
    });
    auto wait = waiter(group_, late);
    ASSERT_TRUE(eventually([&] { return waits.load(); }));
    ASSERT_TRUE(ends(other));
    EXPECT_FALSE(late->done());
    group_.arrive(late);
    ASSERT_TRUE(ends(wait));
}

// The same, where the other has nobody to drive for it once the first one has what it wanted.
TEST_P(WaiterAt, LeavesTheBatonToAnotherWaiter) {
    const auto early = group_.post();
    const auto late = group_.post();
    std::future<void> other;
    group_.at(GetParam(), [&] {
        other = waiter(group_, late);
        group_.arrive(early);
    });
    auto wait = waiter(group_, early);
    ASSERT_TRUE(ends(wait));
    EXPECT_FALSE(late->done());
    group_.arrive(late);
    ASSERT_TRUE(ends(other));
}

TEST(Waiter, DoesNotSleepWhileItIsToPollOn) {
    FakeGroup group;
    std::atomic<bool> slept{false};
    group.at(Point::kWaits, [&] { slept = true; });
    group.poll_on(true);
    const auto operation = group.post();
    auto wait = waiter(group, operation);
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_FALSE(slept.load());
    group.poll_on(false);
    EXPECT_TRUE(eventually([&] { return slept.load(); }));
    group.arrive(operation);
    ASSERT_TRUE(ends(wait));
}

// Ranks that wait for long hear from each other all the time.
TEST(Waiter, DoesNotPollOnOnceItHasSlept) {
    FakeGroup group;
    std::atomic<int> slept{0};
    group.at(Point::kWaits, [&] { ++slept; });
    const auto operation = group.post();
    auto wait = waiter(group, operation);
    ASSERT_TRUE(eventually([&] { return slept.load() == 1; }));
    group.poll_on(true);
    group.at(Point::kWaits, [&] { ++slept; });
    group.tell_news();
    EXPECT_TRUE(eventually([&] { return slept.load() == 2; }));
    group.arrive(operation);
    ASSERT_TRUE(ends(wait));
}

INSTANTIATE_TEST_SUITE_P(Points, WaiterAt,
                         ::testing::Values(Point::kStep, Point::kLookUp, Point::kDoze, Point::kReady,
                                           Point::kListen, Point::kWaits, Point::kAwake),
                         [](const auto& info) { return name_of(info.param); });

using ServerAt = BatonAt;

// What comes while the progress thread is about to rest is done in this turn, or it will be told of it.
TEST_P(ServerAt, SeesWhatArrives) {
    const FakeGroup::Leading leading;
    const auto operation = group_.post();
    group_.at(GetParam(), [&] { group_.arrive(operation); });
    EXPECT_EQ(serve(group_), Baton::Served::kArmed);
    EXPECT_TRUE(operation->done() || group_.told());
}

TEST_P(ServerAt, SeesNews) {
    const FakeGroup::Leading leading;
    const auto operation = group_.post();
    group_.at(GetParam(), [&] { group_.tell_news(); });
    EXPECT_EQ(serve(group_), Baton::Served::kArmed);
    EXPECT_TRUE(!group_.has_news() || group_.told());
}

// The waiter that comes drives, at the latest after the step that is under way.
TEST_P(ServerAt, GivesWayToAWaiter) {
    const FakeGroup::Leading leading;
    const auto operation = group_.post();
    std::future<void> wait;
    group_.at(GetParam(), [&] {
        wait = waiter(group_, operation);
        std::this_thread::sleep_for(milliseconds(5));
    });
    serve(group_);
    ASSERT_TRUE(eventually([&] { return group_.last_driver() != std::this_thread::get_id(); }));
    group_.arrive(operation);
    ASSERT_TRUE(ends(wait));
}

INSTANTIATE_TEST_SUITE_P(Points, ServerAt,
                         ::testing::Values(Point::kStep, Point::kLookUp, Point::kListen, Point::kDoze,
                                           Point::kReady, Point::kArm),
                         [](const auto& info) { return name_of(info.param); });

TEST(Baton, ProgressThreadLeavesAGroupThatIsAlwaysAtWork) {
    FakeGroup group;
    const FakeGroup::Leading leading;
    group.keep_busy(true);
    EXPECT_EQ(group.baton().serve(), Baton::Served::kAtWork);
    EXPECT_TRUE(group.baton().try_take().owns_lock());
    group.keep_busy(false);
    EXPECT_EQ(serve(group), Baton::Served::kArmed);
}

// Though it has not come to rest, and would not for long.
TEST(Baton, ProgressThreadThatPollsGivesWayToAWaiter) {
    constexpr int kPollsFor = 10'000'000;  // us
    FakeGroup group(kPollsFor);
    const FakeGroup::Leading leading;
    const auto operation = group.post();
    std::future<void> wait;
    // In a step that moves nothing, so that its turn does not end there.
    group.at(Point::kStep, [&] { group.at(Point::kStep, [&] { wait = waiter(group, operation); }); });
    EXPECT_EQ(serve(group), Baton::Served::kTaken);
    EXPECT_TRUE(wait.valid());
    group.arrive(operation);
    ASSERT_TRUE(ends(wait));
}

TEST(Baton, ProgressThreadKeepsOffWhileSomebodyWaits) {
    FakeGroup group;
    const FakeGroup::Leading leading;
    const auto operation = group.post();
    auto wait = waiter(group, operation);
    ASSERT_TRUE(eventually([&] { return group.last_driver() != std::thread::id(); }));
    EXPECT_EQ(serve(group), Baton::Served::kTaken);
    EXPECT_EQ(group.baton().due(), Clock::time_point::max());
    EXPECT_NE(group.last_driver(), std::this_thread::get_id());
    group.arrive(operation);
    ASSERT_TRUE(ends(wait));
    EXPECT_EQ(serve(group), Baton::Served::kArmed);
}

// It was told of an event, and has lost the lead before the group's turn came: its successor is not told
// again.
TEST(Baton, ALeaderThatIsReplacedPassesOnWhatItWasTold) {
    FakeGroup group;
    {
        const FakeGroup::Leading leading;
        ASSERT_EQ(serve(group), Baton::Served::kArmed);
        group.tell_news();
        ASSERT_TRUE(group.wait_told(Clock::now() + kLong));
        FakeGroup::lose_lead();
        EXPECT_EQ(serve(group), Baton::Served::kTaken);
        EXPECT_TRUE(group.has_news());
    }
    auto successor = std::async(std::launch::async, [&] {
        const FakeGroup::Leading leading;
        return serve(group);
    });
    EXPECT_EQ(successor.get(), Baton::Served::kArmed);
    EXPECT_FALSE(group.has_news());
}

// A leader that is replaced in the midst, by a callback that takes long, leaves the group to its successor.
TEST(Baton, ALeaderThatIsReplacedInACallbackLeavesTheGroup) {
    FakeGroup group;
    const auto second = group.post();
    const auto first = group.post([&](std::exception_ptr) {
        FakeGroup::lose_lead();
        std::thread([&] {
            const FakeGroup::Leading leading;
            group.arrive(second);
            EXPECT_EQ(serve(group), Baton::Served::kArmed);
        }).join();
        EXPECT_TRUE(second->done());
    });
    group.arrive(first);
    const FakeGroup::Leading leading;
    EXPECT_EQ(serve(group), Baton::Served::kTaken);
    EXPECT_TRUE(first->done());
    EXPECT_EQ(group.collisions(), 0);
}

// While a callback keeps the driver, whoever waits drives itself; the first one has to ask for the baton
// again.
TEST(Baton, AnotherWaiterDrivesWhileACallbackIsRun) {
    FakeGroup group;
    const auto second = group.post();
    const auto third = group.post();
    const auto first = group.post([&](std::exception_ptr) {
        auto other = waiter(group, second);
        group.arrive(second);
        EXPECT_TRUE(ends(other));
    });
    group.arrive(first);
    auto wait = waiter(group, third);
    ASSERT_TRUE(eventually([&] { return second->done(); }));
    EXPECT_FALSE(third->done());
    group.arrive(third);
    ASSERT_TRUE(ends(wait));
    EXPECT_EQ(group.collisions(), 0);
    EXPECT_EQ(group.overslept(), 0);
}

// A callback that waits without end for what others do: its thread does not count as a waiter, so that the
// progress thread drives.
TEST(Baton, ProgressThreadDrivesWhileAWaiterRunsCodeOfTheUsers) {
    FakeGroup group;
    const auto second = group.post();
    const auto first = group.post([&](std::exception_ptr) {
        const Baton::Foreign foreign(group.baton());
        EXPECT_TRUE(eventually([&] { return second->done(); }));
    });
    auto wait = waiter(group, first);
    group.arrive(first);
    const FakeGroup::Leading leading;
    ASSERT_TRUE(group.wait_told(Clock::now() + kLong));  // kicked, as there is more to do
    group.arrive(second);
    ASSERT_TRUE(eventually([&] { return serve(group) == Baton::Served::kArmed; }));
    ASSERT_TRUE(ends(wait));
    EXPECT_TRUE(second->done());
    EXPECT_EQ(group.collisions(), 0);
}

// Code of the user's that waits itself, in the same group.
TEST(Baton, ACallbackMayWait) {
    FakeGroup group;
    const auto second = group.post();
    const auto first = group.post([&](std::exception_ptr) {
        const Baton::Foreign foreign(group.baton());
        group.wait(second);
    });
    const auto third = group.post();
    group.at(Point::kCallBack, [&] { group.arrive(second); });
    group.arrive(first);
    auto wait = waiter(group, third);
    ASSERT_TRUE(eventually([&] { return second->done(); }));
    group.arrive(third);
    ASSERT_TRUE(ends(wait));
    EXPECT_EQ(group.overslept(), 0);
    EXPECT_EQ(group.collisions(), 0);
}

// What a waiter leaves undone is the progress thread's.
TEST(Baton, AWaiterLeavesTheRestToTheProgressThread) {
    FakeGroup group;
    const auto first = group.post();
    const auto second = group.post();
    group.arrive(first);
    group.wait(first);
    EXPECT_TRUE(group.told());
    group.arrive(second);
    const FakeGroup::Leading leading;
    EXPECT_EQ(serve(group), Baton::Served::kArmed);
    EXPECT_TRUE(second->done());
}

TEST(Baton, AWaiterGivesUpAtItsLimit) {
    FakeGroup group;
    const auto operation = group.post();
    const auto start = Clock::now();
    group.baton().wait(*operation, start + milliseconds(50));
    EXPECT_FALSE(operation->done());
    EXPECT_GE(Clock::now(), start + milliseconds(50));
    // Not so one that follows.
    std::atomic<bool> over{false};
    auto other = waiter(group, operation);
    auto follower = std::async(std::launch::async, [&] {
        group.baton().wait(*operation, Clock::now() + milliseconds(50));
        over = true;
    });
    ASSERT_TRUE(eventually([&] { return over.load(); }));
    EXPECT_FALSE(operation->done());
    group.arrive(operation);
    ASSERT_TRUE(ends(other));
}

// Many threads at once, as fast as they can, with a progress thread beside them.
TEST(Baton, NobodyIsForgotten) {
    FakeGroup group(20);
    constexpr int kWaiters = 4;
    constexpr int kOperations = 400;
    std::atomic<bool> over{false};
    std::thread progress([&] {
        const FakeGroup::Leading leading;
        auto served = Baton::Served::kAtWork;
        while (!over.load()) {
            const auto patience = served == Baton::Served::kArmed ? milliseconds(50) : milliseconds(1);
            if (served != Baton::Served::kAtWork) group.wait_told(Clock::now() + patience);
            served = group.baton().serve();
        }
    });
    std::vector<std::future<void>> threads;
    for (int t = 0; t < kWaiters; ++t)
        threads.push_back(std::async(std::launch::async, [&, t] {
            std::mt19937 random(static_cast<unsigned>(t));
            for (int i = 0; i < kOperations; ++i) {
                std::atomic<int> called{0};
                const bool calls_back = random() % 3 == 0;
                const auto operation =
                    calls_back ? group.post([&](std::exception_ptr) { ++called; }) : group.post();
                std::thread peer;
                if (random() % 4 == 0)
                    peer = std::thread([&] { group.arrive(operation); });
                else
                    group.arrive(operation);
                group.wait(operation);
                if (peer.joinable()) peer.join();
                if (!calls_back) continue;
                ASSERT_TRUE(eventually([&] { return called.load() == 1; }));
            }
        }));
    for (auto& thread : threads) EXPECT_TRUE(ends(thread));
    over = true;
    progress.join();
    EXPECT_EQ(group.overslept(), 0);
    EXPECT_EQ(group.collisions(), 0);
}

}  // namespace
}  // namespace ring::testing
