// send and recv between any two ranks of a group, waited for and handed over.
#include <atomic>
#include <random>
#include <thread>

#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;
using Operations = std::vector<std::shared_ptr<Operation>>;

// What the rank `from` sends to `to`.
std::vector<int32_t> tokens(int from, int to, size_t count) {
    return repeated<int32_t>(count, [&](size_t i) { return from * 1'000'003 + to * 10'007 + i; });
}

struct Way {
    const char* name;
    Algorithm algorithm = Algorithm::kHierarchical;
    SingleCopy single_copy = SingleCopy::kAuto;
};

void PrintTo(const Way& way, std::ostream* out) {
    *out << way.name;
}

class Messages : public ::testing::TestWithParam<std::tuple<Hosts, Way>> {
  protected:
    void in_group(const std::function<void(Communicator&)>& body) {
        Communicator::Settings settings;
        settings.config.algorithm = std::get<1>(GetParam()).algorithm;
        settings.config.single_copy = std::get<1>(GetParam()).single_copy;
        run_group(std::get<0>(GetParam()), body, std::chrono::seconds(60), settings);
    }
    int size() const { return ranks_of(std::get<0>(GetParam())); }
};

// Every rank sends to every other one at once, small and large, and receives in the opposite order of tags.
TEST_P(Messages, MatchByRankAndTag) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        constexpr int64_t kTags = 6;
        const auto count_of = [](int64_t tag) { return static_cast<size_t>(tag == 0 ? 0 : 7 << (3 * tag)); };
        std::vector<std::vector<int32_t>> buffers;
        buffers.reserve(static_cast<size_t>(2 * kTags * size()));
        Operations operations;
        for (int r = 0; r < size(); ++r)
            for (int64_t tag = 0; r != me && tag < kTags; ++tag) {
                auto& data = buffers.emplace_back(tokens(me, r, count_of(tag)));
                operations.push_back(group.post(message_of(Collective::kSend, data, r, tag)));
            }
        for (int r = 0; r < size(); ++r)
            for (int64_t tag = kTags - 1; r != me && tag >= 0; --tag) {
                auto& data = buffers.emplace_back(count_of(tag));
                group.wait(group.post(message_of(Collective::kRecv, data, r, tag)));
                ASSERT_TRUE(same(data, tokens(r, me, data.size())));
            }
        for (const auto& operation : operations) group.wait(operation);
    });
}

// Far more than the credit for eager messages, none of which is received before the last one.
TEST_P(Messages, ManySmallOnesFromAnySource) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        constexpr int kMessages = 300;
        constexpr size_t kCount = 2000;
        if (me != 0) {
            std::vector<std::vector<int32_t>> sent;
            Operations operations;
            for (int k = 0; k < kMessages; ++k) sent.emplace_back(kCount, me * 1000 + k);
            for (auto& data : sent)
                operations.push_back(group.post(message_of(Collective::kSend, data, 0, 5)));
            std::vector<int32_t> last{me};
            operations.push_back(group.post(message_of(Collective::kSend, last, 0, 6)));
            for (const auto& operation : operations) group.wait(operation);
            return;
        }
        for (int r = 1; r < size(); ++r) {
            std::vector<int32_t> last(1);
            group.wait(group.post(message_of(Collective::kRecv, last, r, 6)));
            EXPECT_EQ(last[0], r);
        }
        std::vector<int> seen(static_cast<size_t>(size()));
        for (int k = 0; k < kMessages * (size() - 1); ++k) {
            std::vector<int32_t> data(kCount);
            const auto operation = group.post(message_of(Collective::kRecv, data, kAnySource, 5));
            group.wait(operation);
            const int from = operation->source();
            ASSERT_EQ(data, std::vector<int32_t>(kCount, from * 1000 + seen[from]++));
        }
    });
}

// Small and large ones, each handed over by itself, at any moment; whoever posted looks on, or waits for
// some.
TEST_P(Messages, GoOnByThemselvesWhenHandedOver) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        constexpr int kRounds = 12;
        std::mt19937 random(std::random_device{}());
        for (int round = 0; round < kRounds; ++round) {
            std::vector<std::vector<int32_t>> sent, received;
            sent.reserve(static_cast<size_t>(size()));
            received.reserve(static_cast<size_t>(size()));
            Operations operations;
            const size_t count = round % 4 == 3 ? 100'000 : static_cast<size_t>(round) * 100;
            const auto hand_over = [&](Collective kind, std::vector<int32_t>& data, int peer) {
                operations.push_back(group.post(message_of(kind, data, peer, round)));
                group.hand_over({&operations.back(), 1});
                if (random() % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
            };
            for (int r = 0; r < size(); ++r) {
                if (r == me) continue;
                if (round % 2 == 0) hand_over(Collective::kRecv, received.emplace_back(count), r);
                hand_over(Collective::kSend, sent.emplace_back(tokens(me, r, count)), r);
                if (round % 2 == 1) hand_over(Collective::kRecv, received.emplace_back(count), r);
            }
            if (round % 3 == 0) group.wait(operations[random() % operations.size()]);
            for (const auto& operation : operations) look_on(operation);
            for (int r = 0, k = 0; r < size(); ++r)
                if (r != me) {
                    ASSERT_TRUE(same(received[k++], tokens(r, me, count)))
                        << "from " << r << ", round " << round;
                }
        }
    });
}

// The progress thread sleeps towards the end of the first one, which is far off, when the second is handed
// over.
TEST_P(Messages, HandedOverEndInTime) {
    in_group([&](Communicator& group) {
        std::vector<int32_t> data(10);
        const int peer = (group.layout().rank() + 1) % size();
        Operations operations{group.post(message_of(Collective::kRecv, data, peer, 1))};
        group.hand_over(operations);
        std::this_thread::sleep_for(milliseconds(100));
        const auto posted = Clock::now();
        operations.push_back(group.post(message_of(Collective::kRecv, data, peer, 2), milliseconds(200)));
        group.hand_over({&operations.back(), 1});
        while (!operations.back()->done() && Clock::now() < posted + std::chrono::seconds(20))
            std::this_thread::sleep_for(milliseconds(1));
        ASSERT_TRUE(operations.back()->done());
        EXPECT_LT(Clock::now() - posted, std::chrono::seconds(5));
        // The first rank whose time is over ends it for all.
        for (const auto& operation : operations) EXPECT_THROW(group.wait(operation), TimeoutError);
    });
}

// It ends, and calls back, without its sender waiting.
TEST_P(Messages, SmallOneNeedsNobodyElse) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        const bool sends = me < 2;
        const int peer = 1 - me;
        for (int round = 0; sends && round < 50; ++round) {
            std::vector<int32_t> data = tokens(me, peer, 100), got(100);
            const auto receive = group.post(message_of(Collective::kRecv, got, peer, round));
            std::atomic<bool> called_back{false};
            const Operations sent{group.post(message_of(Collective::kSend, data, peer, round), std::nullopt,
                                             [&](std::exception_ptr) { called_back = true; })};
            group.hand_over(sent);
            look_on(sent[0]);
            group.wait(receive);
            ASSERT_EQ(got, tokens(peer, me, 100));
            // Where the progress thread drove, it may be about to call.
            ASSERT_TRUE(eventually([&] { return called_back.load(); }));
        }
    });
}

// A wait that has gone to sleep, in a group where nobody else does anything, ends when another thread fails
// it.
TEST_P(Messages, ThatFailEndTheirWaits) {
    std::atomic<bool> over{false};
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        if (me != 0) {
            EXPECT_TRUE(eventually([&] { return over.load(); }));
            return;
        }
        std::vector<int32_t> got(10);
        const auto receive = group.post(message_of(Collective::kRecv, got, 1, 1));
        std::thread other([&] {
            std::this_thread::sleep_for(milliseconds(300));
            group.abort("the test wants it");
        });
        const auto start = Clock::now();
        EXPECT_THROW(group.wait(receive), AbortedError);
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
        other.join();
        over = true;
    });
}

class LeftAlone : public Messages {};

// When all others have left, nobody sends what a rank would take from any; what was sent before is received.
TEST_P(LeftAlone, WhoReceivesFromAnyoneIsToldSoon) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        if (me == 1) {
            std::vector<int32_t> data = tokens(1, 0, 100);
            group.wait(group.post(message_of(Collective::kSend, data, 0, 1)));
        }
        if (me != 0) return;
        std::vector<int32_t> got(100);
        group.wait(group.post(message_of(Collective::kRecv, got, kAnySource, 1)));
        ASSERT_EQ(got, tokens(1, 0, 100));
        const auto start = Clock::now();
        try {
            group.wait(group.post(message_of(Collective::kRecv, got, kAnySource, 1)));
            ADD_FAILURE() << "nobody sent it";
        } catch (const PeerError& error) {
            EXPECT_NE(std::string(error.what()).find("left the group"), std::string::npos) << error.what();
        }
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << "long before its deadline";
    });
}

// The same where the others keep the group that they have left, and with it their connections.
TEST_P(LeftAlone, WhoReceivesIsToldThoughTheOthersKeepTheirGroup) {
    for (const int from : {1, kAnySource}) {
        std::atomic<bool> over{false};
        in_group([&](Communicator& group) {
            if (group.layout().rank() == 1) {
                std::vector<int32_t> data = tokens(1, 0, 100);
                group.wait(group.post(message_of(Collective::kSend, data, 0, 1)));
            }
            if (group.layout().rank() > 0) {
                group.shutdown();
                EXPECT_TRUE(eventually([&] { return over.load(); }));
                return;
            }
            std::vector<int32_t> got(100);
            group.run(message_of(Collective::kRecv, got, from, 1));
            const auto start = Clock::now();
            EXPECT_THROW(group.run(message_of(Collective::kRecv, got, from, 1)), PeerError);
            EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << "long before its deadline";
            over = true;
        });
    }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, Messages,
    ::testing::Combine(::testing::Values(Hosts{2}, Hosts{4}, Hosts{1, 1}, Hosts{1, 1, 1, 1}, Hosts{2, 2},
                                         Hosts{2, 1}, Hosts{1, 2}, Hosts{3, 1, 2}, Hosts{2, 2, 2}),
                       ::testing::Values(Way{"by_default"}, Way{"flat", Algorithm::kFlat})),
    name_of_case<Way>);

// Where each has a connection to all others: who has none may never hear that the last one has left.
INSTANTIATE_TEST_SUITE_P(Layouts, LeftAlone,
                         ::testing::Combine(::testing::Values(Hosts{2}, Hosts{4}, Hosts{1, 1},
                                                              Hosts{1, 1, 1}),
                                            ::testing::Values(Way{"by_default"})),
                         name_of_case<Way>);

INSTANTIATE_TEST_SUITE_P(
    Copies, Messages,
    ::testing::Combine(::testing::Values(Hosts{3}, Hosts{2, 2}),
                       ::testing::Values(Way{.name = "one_copy", .single_copy = SingleCopy::kAll},
                                         Way{.name = "two_copies", .single_copy = SingleCopy::kNone})),
    name_of_case<Way>);

}  // namespace
}  // namespace ring
