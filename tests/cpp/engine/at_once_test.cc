// Small collectives of one host that end in begin(), without an operation: beside those that have one, with
// others that come late, call something else, or are gone.
#include <atomic>

#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// Longer than begin() polls for the others.
constexpr milliseconds kLate{20};

class AtOnce : public ::testing::TestWithParam<Hosts> {
  protected:
    int size() const { return ranks_of(GetParam()); }
    std::vector<float> sum() const {
        return std::vector<float>(10, static_cast<float>(size() * (size() + 1) / 2));
    }
    std::vector<float> mine(Communicator& group) const {
        return std::vector<float>(10, static_cast<float>(group.layout().rank() + 1));
    }
};

TEST_P(AtOnce, SomeNeedNoOperation) {
    std::atomic<int> without{0};
    run_group(GetParam(), [&](Communicator& group) {
        for (int call = 0; call < 2000; ++call) {
            auto data = mine(group);
            std::atomic<int> told{0};
            const auto operation = group.begin(all_reduce_of(data, DType::kFloat32), std::nullopt,
                                               [&](std::exception_ptr) { ++told; });
            if (operation != nullptr) group.wait(operation);
            // Whoever has an operation is told by it, and nobody else is.
            EXPECT_TRUE(eventually([&] { return told == (operation == nullptr ? 0 : 1); }));
            if (operation == nullptr) ++without;
            ASSERT_EQ(data, sum());
        }
        EXPECT_EQ(group.operations_posted(), 2000u);
    });
    EXPECT_GT(without, 0);
}

TEST_P(AtOnce, SomeRanksHaveAnOperationAndOthersNot) {
    run_group(GetParam(), [&](Communicator& group) {
        for (int call = 0; call < 300; ++call) {
            auto data = mine(group);
            const Arguments arguments = all_reduce_of(data, DType::kFloat32);
            switch ((call + group.layout().rank()) % 3) {
                case 0:
                    group.run(arguments);
                    break;
                case 1:
                    group.wait(group.post(arguments));
                    break;
                default: {
                    const auto operation = group.post(arguments);
                    group.hand_over({&operation, 1});
                    look_on(operation);
                }
            }
            ASSERT_EQ(data, sum());
        }
    });
}

TEST_P(AtOnce, GoesOnAsAnOperationWhereARankIsLate) {
    run_group(GetParam(), [&](Communicator& group) {
        const int me = group.layout().rank();
        for (int late = 0; late < size(); ++late) {
            if (me == late) std::this_thread::sleep_for(kLate);
            auto data = mine(group);
            // Not adjacent, so that what this rank enters with lies in temporary memory.
            std::vector<std::vector<float>> shares(static_cast<size_t>(size()), mine(group));
            std::vector<float> share(10);
            Arguments scatter{
                .signature = signature(Collective::kReduceScatter, DType::kFloat32, 10, ReduceOp::kSum),
                .output = share.data(),
                .inputs = {},
                .outputs = {}};
            for (auto& one : shares) scatter.inputs.push_back(one.data());
            if (const auto operation = group.begin(scatter)) group.wait(operation);
            EXPECT_EQ(share, sum());
            const auto operation = group.begin(all_reduce_of(data, DType::kFloat32));
            auto next = mine(group);
            const auto after = group.post(all_reduce_of(next, DType::kFloat32));
            group.wait(after);
            EXPECT_TRUE(operation == nullptr || operation->done());
            EXPECT_EQ(data, sum());
            EXPECT_EQ(next, sum());
        }
    });
}

// An all_to_all in which rank r sends counts[r][s] to rank s, and expects counts[s][r].
class Exchange {
  public:
    using Counts = std::vector<std::vector<uint64_t>>;

    Exchange(const Counts& sent, const Counts& expected, int rank) : rank_(rank) {
        const auto me = static_cast<size_t>(rank);
        arguments_.signature = signature(Collective::kAllToAll, DType::kInt32, 0);
        for (size_t other = 0; other < sent.size(); ++other) {
            inputs_.emplace_back(sent[me][other], value(rank, static_cast<int>(other)));
            outputs_.emplace_back(expected[other][me]);
            arguments_.input_counts.push_back(sent[me][other]);
            arguments_.output_counts.push_back(expected[other][me]);
        }
        for (auto& one : inputs_) arguments_.inputs.push_back(one.data());
        for (auto& one : outputs_) arguments_.outputs.push_back(one.data());
    }

    const Arguments& arguments() const { return arguments_; }
    void expect_right() const {
        for (size_t other = 0; other < outputs_.size(); ++other)
            for (const int32_t one : outputs_[other]) ASSERT_EQ(one, value(static_cast<int>(other), rank_));
    }

  private:
    static int32_t value(int from, int to) { return 100 * from + to; }

    int rank_;
    std::vector<std::vector<int32_t>> inputs_;
    std::vector<std::vector<int32_t>> outputs_;
    Arguments arguments_;
};

TEST_P(AtOnce, AllToAllMayBeAtOnceOnSomeRanksAlone) {
    const auto ranks = static_cast<size_t>(size());
    run_group(GetParam(), [&](Communicator& group) {
        const int me = group.layout().rank();
        for (size_t call = 0; call < 60; ++call) {
            Exchange::Counts counts(ranks, std::vector<uint64_t>(ranks));
            for (size_t from = 0; from < ranks; ++from)
                for (size_t to = 0; to < ranks; ++to) {
                    // Of some calls one rank sends more than it may enter with; of some, nobody anything.
                    const bool much = call % 3 == 1 && from == call % ranks;
                    counts[from][to] = call % 5 == 4 ? 0 : much ? 30'000 + to : (from + to + call) % 7;
                }
            if (call % 10 == 0 && me == 0) std::this_thread::sleep_for(kLate);
            const Exchange exchange(counts, counts, me);
            group.run(exchange.arguments());
            exchange.expect_right();
        }
    });
}

TEST_P(AtOnce, AllToAllTellsOfASizeThatIsNotExpected) {
    const auto ranks = static_cast<size_t>(size());
    run_group(GetParam(), [&](Communicator& group) {
        const int me = group.layout().rank();
        const Exchange::Counts expected(ranks, std::vector<uint64_t>(ranks, 3));
        Exchange::Counts sent = expected;
        sent[0][1] = 4;
        const Exchange exchange(sent, expected, me);
        try {
            group.run(exchange.arguments());
            EXPECT_NE(me, 1);
        } catch (const MismatchError& error) {
            EXPECT_NE(std::string(error.what()).find("sent 16 bytes, but rank 1"), std::string::npos)
                << error.what();
            EXPECT_NE(std::string(error.what()).find("expects 12"), std::string::npos) << error.what();
        }
    });
}

TEST_P(AtOnce, TellsOfARankThatCalledSomethingElse) {
    run_group(GetParam(), [&](Communicator& group) {
        auto data = mine(group);
        group.run(all_reduce_of(data, DType::kFloat32));
        data.resize(group.layout().rank() == 0 ? 9 : 10);
        EXPECT_THROW(group.run(all_reduce_of(data, DType::kFloat32)), MismatchError);
        EXPECT_THROW(group.run(all_reduce_of(data, DType::kFloat32)), MismatchError);
    });
}

TEST_P(AtOnce, EndsWhereTheGroupIsAbortedMeanwhile) {
    run_group(GetParam(), [&](Communicator& group) {
        auto data = mine(group);
        const Arguments arguments = all_reduce_of(data, DType::kFloat32);
        group.run(arguments);
        if (group.layout().rank() == 0) {
            std::this_thread::sleep_for(kLate);
            group.abort("the test wants it");
        }
        EXPECT_THROW(group.run(arguments), AbortedError);
        EXPECT_THROW(group.run(arguments), AbortedError);
    });
}

TEST_P(AtOnce, ThrowsWhereTheGroupHasBeenLeft) {
    run_group(GetParam(), [&](Communicator& group) {
        auto data = mine(group);
        const Arguments arguments = all_reduce_of(data, DType::kFloat32);
        group.run(arguments);
        group.shutdown();
        EXPECT_THROW(group.run(arguments), AbortedError);
    });
}

TEST_P(AtOnce, ItsTimeoutIsThatOfTheCall) {
    run_group(GetParam(), [&](Communicator& group) {
        auto data = mine(group);
        const Arguments arguments = all_reduce_of(data, DType::kFloat32);
        group.run(arguments);
        if (group.layout().rank() == 0) {
            EXPECT_TRUE(eventually([&] { return group.failure().has_value(); }));
            return;
        }
        const auto operation = group.begin(arguments, milliseconds(300));
        ASSERT_NE(operation, nullptr);
        EXPECT_THROW(group.wait(operation), TimeoutError);
    });
}

// What another thread posts while begin() polls is driven without waiting for a look of the progress
// thread's.
TEST_P(AtOnce, LeavesNothingOfOtherThreadsUndone) {
    run_group(GetParam(), [&](Communicator& group) {
        const int me = group.layout().rank();
        std::vector<float> sent(10, static_cast<float>(me));
        std::vector<float> got(10);
        std::thread other([&] {
            for (int round = 0; round < 200; ++round) {
                const auto message = [&](Collective kind, std::vector<float>& data, int peer) {
                    return Arguments{.signature = signature(kind, DType::kFloat32, 10, ReduceOp::kNone, peer),
                                     .input = data.data(),
                                     .output = data.data(),
                                     .inputs = {},
                                     .outputs = {},
                                     .tag = round};
                };
                const auto send = group.post(message(Collective::kSend, sent, (me + 1) % size()));
                group.hand_over({&send, 1});
                group.run(message(Collective::kRecv, got, (me + size() - 1) % size()));
                group.wait(send);
            }
        });
        for (int call = 0; call < 200; ++call) {
            auto data = mine(group);
            group.run(all_reduce_of(data, DType::kFloat32));
            EXPECT_EQ(data, sum());
        }
        other.join();
        EXPECT_EQ(got, std::vector<float>(10, static_cast<float>((me + size() - 1) % size())));
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, AtOnce, ::testing::Values(Hosts{2}, Hosts{4}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
