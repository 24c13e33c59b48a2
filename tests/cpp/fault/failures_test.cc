// Which failure ends what, where one follows another; and that each reaches every rank.
#include "ring/fault/failures.h"

#include <atomic>

#include "group.h"
#include "segments.h"

namespace ring {
namespace {

using namespace ring::testing;

TEST(Failures, TheFirstStaysTheReasonForWhatItEnded) {
    Failures failures;
    EXPECT_EQ(failures.of(3), nullptr);
    EXPECT_TRUE(failures.add({FailureKind::kMismatch, "mismatch", 10}));
    EXPECT_FALSE(failures.add({FailureKind::kMismatch, "as wide", 10}));
    EXPECT_TRUE(failures.add({FailureKind::kPeer, "death", 9}));
    EXPECT_FALSE(failures.add({FailureKind::kPeer, "narrower", 11}));
    EXPECT_EQ(failures.from(), 9U);
    EXPECT_EQ(failures.of(12)->text, "mismatch");
    EXPECT_EQ(failures.of(9)->text, "death");
    EXPECT_EQ(failures.of(8)->text, "mismatch") << "what nobody ended fails with the group";
}

TEST(Failures, OfAHostAreSeenByAllOfItsRanks) {
    Segments segments(2);
    EXPECT_EQ(segments.of(1).fails_from(), UINT64_MAX);
    segments.of(0).post_failure({FailureKind::kMismatch, "from 10 on", 10});
    segments.of(1).post_failure({FailureKind::kMismatch, "from 12 on", 12});
    EXPECT_EQ(segments.of(1).fails_from(), 10U);
    EXPECT_EQ(segments.of(1).failures().size(), 1U);
    // More than there is room for: the last one ends what it ends all the same.
    for (uint64_t operation = 9; operation-- > 0;)
        for (const int local : {1, 0})
            segments.of(local).post_failure({FailureKind::kPeer, "more", 3 * operation + local});
    for (const int local : {0, 1}) {
        EXPECT_EQ(segments.of(local).fails_from(), 0U);
        const auto failures = segments.of(local).failures();
        EXPECT_EQ(failures.front().text, "from 10 on");
        EXPECT_EQ(failures.back().operation, 0U);
    }
}

// Whoever looks while one is being posted sees none, or that one with its own words.
TEST(Failures, OfAHostKeepTheirWordsWhileTheyArePosted) {
    for (int round = 0; round < 300; ++round) {
        Segments segments(2);
        std::atomic<bool> begun{false};
        std::jthread poster([&] {
            begun.store(true);
            for (uint64_t operation = 10; operation-- > 0;)
                segments.of(0).post_failure({FailureKind::kPeer, "its own", operation});
        });
        while (!begun.load()) std::this_thread::yield();
        while (segments.of(1).fails_from() > 0)
            for (const Failure& failure : segments.of(1).failures()) ASSERT_EQ(failure.text, "its own");
    }
}

class Spreading : public ::testing::TestWithParam<Hosts> {};

// A mismatch from operation 3 on, then a death while operation 2 is still under way.
TEST_P(Spreading, ALaterFailureThatEndsMoreReachesEveryRank) {
    const int last = ranks_of(GetParam()) - 1;
    std::atomic<int> arrived{0};
    run_group(GetParam(), [&](Communicator& group) {
        const int me = group.layout().rank();
        int meetings = 0;
        const auto meet = [&] {  // not through the group, which has failed
            ++arrived;
            ++meetings;
            return eventually([&] { return arrived.load() >= meetings * (last + 1); });
        };
        std::vector<float> data(100'000);
        std::vector<float> more(100);
        run(group, all_reduce_of(data, DType::kFloat32));
        // The last rank does not call it, so it cannot end.
        std::shared_ptr<Operation> second;
        if (me != last) second = group.post(all_reduce_of(data, DType::kFloat32));
        ASSERT_TRUE(meet());
        if (me == 0) group.fail({FailureKind::kMismatch, "the first failure", 3});
        ASSERT_TRUE(eventually([&] { return group.failure().has_value(); }));
        if (second != nullptr) {
            EXPECT_FALSE(second->done());
        }
        ASSERT_TRUE(meet());
        const auto start = Clock::now();
        if (me == 0) group.fail({FailureKind::kPeer, "the second failure", 0});
        const auto error_of = [&](const std::shared_ptr<Operation>& operation) -> std::string {
            try {
                look_on(operation);
            } catch (const Error& error) {
                return error.what();
            }
            return "";
        };
        if (second != nullptr) {
            EXPECT_TRUE(error_of(second).starts_with("the second failure")) << error_of(second);
            EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << "long before its deadline";
            EXPECT_TRUE(
                error_of(group.post(all_reduce_of(more, DType::kFloat32))).starts_with("the first failure"));
        }
        ASSERT_TRUE(meet());
    });
}

// What ends operations from 2 on leaves one waiting in operation 1 for another that calls it only afterwards,
// which is refused.
TEST_P(Spreading, ARefusedCallEndsItForThoseWhoWaitInIt) {
    const int last = ranks_of(GetParam()) - 1;
    std::atomic<int> arrived{0};
    run_group(GetParam(), [&](Communicator& group) {
        const int me = group.layout().rank();
        std::vector<float> data(100);
        const auto start = Clock::now();
        std::shared_ptr<Operation> first;
        if (me != last) first = group.post(all_reduce_of(data, DType::kFloat32));
        if (me == 0) group.fail({FailureKind::kPeer, "a later failure", 2});
        ASSERT_TRUE(eventually([&] { return group.failure().has_value(); }));
        if (me == last) first = group.post(all_reduce_of(data, DType::kFloat32));
        EXPECT_THROW(look_on(first), PeerError);
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << "long before its deadline";
        ++arrived;
        ASSERT_TRUE(eventually([&] { return arrived.load() == last + 1; }));
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, Spreading,
                         ::testing::Values(Hosts{2}, Hosts{4}, Hosts{1, 1}, Hosts{1, 1, 1}, Hosts{2, 2},
                                           Hosts{1, 1, 1, 1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
