// Small messages that end in begin(), without an operation: beside those that have one, with peers that come
// late, send something else, or are gone.
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "group.h"
#include "ring/base/error.h"
#include "ring/transport/message/message.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// Longer than begin() polls.
constexpr milliseconds kLate{20};

class MessagesAtOnce : public ::testing::TestWithParam<Hosts> {
  protected:
    int size() const { return ranks_of(GetParam()); }
    int next(Communicator& group) const { return (group.layout().rank() + 1) % size(); }
    int before(Communicator& group) const { return (group.layout().rank() + size() - 1) % size(); }
};

TEST_P(MessagesAtOnce, MostNeedNoOperation) {
    constexpr int kCalls = 1000;
    std::atomic<int> sends{0};
    std::atomic<int> receives{0};
    run_group(GetParam(), [&](Communicator& group) {
        for (int call = 0; call < kCalls; ++call) {
            std::vector<int32_t> out(10, call);
            std::vector<int32_t> in(10);
            std::atomic<int> told{0};
            const auto tell = [&](std::exception_ptr) { ++told; };
            const auto sent =
                group.begin(message_of(Collective::kSend, out, next(group)), std::nullopt, tell);
            if (!sent) ++sends;
            const auto received =
                group.begin(message_of(Collective::kRecv, in, before(group)), std::nullopt, tell);
            if (!received) ++receives;
            if (received) group.wait(received);
            if (sent) group.wait(sent);
            ASSERT_EQ(in, std::vector<int32_t>(10, call));
            EXPECT_TRUE(eventually([&] { return told == (sent ? 1 : 0) + (received ? 1 : 0); }));
        }
        EXPECT_EQ(group.operations_posted(), 0u);
    });
    EXPECT_GT(sends, kCalls / 2 * size());
    EXPECT_GT(receives, 0);
}

// Those of one tag arrive in the order in which they were sent, however they were.
TEST_P(MessagesAtOnce, KeepTheirOrderBesideOthers) {
    run_group(GetParam(), [&](Communicator& group) {
        constexpr int kCalls = 300;
        const auto size_of_call = [](int call) {
            return static_cast<size_t>(call % 7 == 3 ? 60'000 : 5 + call);
        };
        std::vector<std::vector<int32_t>> out;
        std::vector<OperationPtr> sent;
        out.reserve(kCalls);
        for (int call = 0; call < kCalls; ++call) {
            out.emplace_back(size_of_call(call), call);
            const Arguments arguments = message_of(Collective::kSend, out.back(), next(group));
            auto operation = call % 2 == 0 ? group.begin(arguments) : group.post(arguments);
            if (!operation) continue;
            group.hand_over({&operation, 1});
            sent.push_back(operation);
        }
        for (int call = 0; call < kCalls; ++call) {
            std::vector<int32_t> in(size_of_call(call));
            const Arguments arguments = message_of(Collective::kRecv, in, before(group));
            if (call % 3 == 0) {
                group.wait(group.post(arguments));
            } else {
                group.run(arguments);
            }
            ASSERT_EQ(in, out[static_cast<size_t>(call)]);
        }
        for (const auto& operation : sent) group.wait(operation);
    });
}

TEST_P(MessagesAtOnce, WaitForASenderThatIsLate) {
    run_group(GetParam(), [&](Communicator& group) {
        for (int call = 0; call < 5; ++call) {
            std::vector<int32_t> out(10, call);
            std::vector<int32_t> in(10);
            if (group.layout().rank() == call % size()) std::this_thread::sleep_for(kLate);
            const auto received = group.begin(message_of(Collective::kRecv, in, before(group)));
            group.run(message_of(Collective::kSend, out, next(group)));
            if (received) group.wait(received);
            ASSERT_EQ(in, std::vector<int32_t>(10, call));
        }
    });
}

// More than the connection holds: what does not go at once is not lost, and memory is the caller's again.
TEST_P(MessagesAtOnce, WaitForAReceiverThatIsLate) {
    run_group(GetParam(), [&](Communicator& group) {
        constexpr int kCalls = 600;
        std::vector<std::vector<int32_t>> waiting(kCalls, std::vector<int32_t>(4000));
        std::vector<OperationPtr> sent;
        for (int call = 0; call < kCalls; ++call) {
            auto& data = waiting[static_cast<size_t>(call)];
            std::fill(data.begin(), data.end(), call);
            const auto operation = group.begin(message_of(Collective::kSend, data, next(group)));
            if (operation) {
                sent.push_back(operation);
            } else {
                std::fill(data.begin(), data.end(), -1);
            }
        }
        std::vector<int32_t> in(4000);
        for (int call = 0; call < kCalls; ++call) {
            group.run(message_of(Collective::kRecv, in, before(group)));
            ASSERT_EQ(in, std::vector<int32_t>(4000, call));
        }
        for (const auto& operation : sent) group.wait(operation);
    });
}

// The others may owe a rank credit that it has not read, while all are in send.
TEST_P(MessagesAtOnce, GoRoundARingForAsLongAsTheyAreReceived) {
    run_group(GetParam(), [&](Communicator& group) {
        for (int call = 0; call < 300; ++call) {
            std::vector<int32_t> out(4000, call);
            std::vector<int32_t> in(4000);
            group.run(message_of(Collective::kSend, out, next(group)));
            group.run(message_of(Collective::kRecv, in, before(group)));
            ASSERT_EQ(in, out);
        }
    });
}

// What has been received is the sender's credit again, though its receiver does nothing more.
TEST_P(MessagesAtOnce, GiveBackTheirCredit) {
    run_group(GetParam(), [&](Communicator& group) {
        constexpr int kCalls = 60;
        std::vector<int32_t> data(15'000, 3);
        std::vector<int32_t> in(15'000);
        const int me = group.layout().rank();
        for (int call = 0; me == 0 && call < kCalls; ++call)
            group.run(message_of(Collective::kSend, data, 1));
        for (int call = 0; me == 1 && call < kCalls; ++call) {
            // So that several wait when the first of them is received.
            if (call % 15 == 0) std::this_thread::sleep_for(kLate);
            group.run(message_of(Collective::kRecv, in, 0));
            ASSERT_EQ(in, data);
        }
        // Rank 1 is idle meanwhile.
        const auto start = Clock::now();
        for (int call = 0; me == 0 && call < 3; ++call) group.run(message_of(Collective::kSend, data, 1));
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(1));
        if (me == 1) std::this_thread::sleep_for(std::chrono::seconds(2));
        for (int call = 0; me == 1 && call < 3; ++call) group.run(message_of(Collective::kRecv, in, 0));
    });
}

TEST_P(MessagesAtOnce, PassBesideCollectives) {
    run_group(GetParam(), [&](Communicator& group) {
        for (int call = 0; call < 100; ++call) {
            std::vector<float> sum(call % 2 == 0 ? 10 : 100'000, 1.0f);
            const auto reduced = group.post(all_reduce_of(sum, DType::kFloat32));
            group.hand_over({&reduced, 1});
            std::vector<int32_t> out(10, call);
            std::vector<int32_t> in(10);
            group.run(message_of(Collective::kSend, out, next(group)));
            group.run(message_of(Collective::kRecv, in, before(group)));
            ASSERT_EQ(in, out);
            group.wait(reduced);
            ASSERT_EQ(sum.back(), static_cast<float>(size()));
        }
    });
}

TEST_P(MessagesAtOnce, FromSeveralThreads) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<std::thread> threads;
        for (int64_t tag = 0; tag < 3; ++tag)
            threads.emplace_back([&, tag] {
                for (int call = 0; call < 200; ++call) {
                    std::vector<int32_t> out(10, call);
                    std::vector<int32_t> in(10);
                    const auto sent = group.begin(message_of(Collective::kSend, out, next(group), tag));
                    group.run(message_of(Collective::kRecv, in, before(group), tag));
                    if (sent) group.wait(sent);
                    EXPECT_EQ(in, out);
                }
            });
        for (std::thread& thread : threads) thread.join();
    });
}

TEST_P(MessagesAtOnce, OfAnotherSizeAreRefused) {
    for (const milliseconds late : {milliseconds(0), kLate})
        run_group(GetParam(), [&](Communicator& group) {
            std::vector<int32_t> out(10);
            std::vector<int32_t> in(11);
            const int me = group.layout().rank();
            if (me == 0) {
                std::this_thread::sleep_for(late);
                group.run(message_of(Collective::kSend, out, 1));
            }
            if (me == 1) {
                EXPECT_THROW(group.run(message_of(Collective::kRecv, in, 0)), MismatchError);
            }
            // The group has failed for all.
            std::vector<float> sum(10, 1.0f);
            EXPECT_THROW(group.run(all_reduce_of(sum, DType::kFloat32)), MismatchError);
        });
}

TEST_P(MessagesAtOnce, OfWhoHasLeftAreNotWaitedFor) {
    std::promise<void> left;
    const auto gone = left.get_future().share();
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<int32_t> data(10, 7);
        const int me = group.layout().rank();
        if (me == 0) {
            group.run(message_of(Collective::kSend, data, 1));
            group.shutdown();
            left.set_value();
        }
        if (me != 1) return;
        gone.wait();
        std::vector<int32_t> in(10);
        group.run(message_of(Collective::kRecv, in, 0));
        EXPECT_EQ(in, data) << "what it had sent before";
        EXPECT_THROW(group.run(message_of(Collective::kRecv, in, 0)), PeerError);
        EXPECT_THROW(
            {
                // A send may have gone before the connection tells.
                for (int call = 0; call < 1000; ++call) {
                    group.run(message_of(Collective::kSend, data, 0));
                    std::this_thread::sleep_for(milliseconds(1));
                }
            },
            PeerError);
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, MessagesAtOnce,
                         ::testing::Values(Hosts{2}, Hosts{3}, Hosts{1, 1}, Hosts{2, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
