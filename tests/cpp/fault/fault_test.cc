// What the survivors see: mismatches, ranks that do not come, leave, or abort. Kills of real processes are in
// tests/fault.
#include <sys/wait.h>

#include <chrono>
#include <future>

#include "end_process.h"
#include "group.h"
#include "ring/base/error.h"

namespace ring {
namespace {

using namespace ring::testing;
using std::chrono::seconds;

class Faults : public ::testing::TestWithParam<Hosts> {
  protected:
    int size() const {
        int ranks = 0;
        for (const int local : GetParam()) ranks += local;
        return ranks;
    }
};

// What this process has spent of the CPU.
std::chrono::nanoseconds cpu() {
    timespec spent{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

template <typename Expected>
std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Expected& error) {
        return error.what();
    }
    return "";
}

TEST_P(Faults, AMismatchIsAnErrorOnEveryRank) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(10);
        run(group, all_reduce_of(data, DType::kFloat32));
        std::vector<float> wrong(group.layout().rank() == size() - 1 ? 12 : 10);
        const auto start = Clock::now();
        const std::string text =
            error_of<MismatchError>([&] { run(group, all_reduce_of(wrong, DType::kFloat32)); });
        EXPECT_LT(Clock::now() - start, seconds(1));
        for (const char* part : {"all_reduce(float32[10])", "all_reduce(float32[12])", "operation 2"})
            EXPECT_NE(text.find(part), std::string::npos) << text;
        // The group is of no more use, and says so at once.
        EXPECT_NE(error_of<MismatchError>([&] { run(group, all_reduce_of(data, DType::kFloat32)); }), "");
    });
}

TEST_P(Faults, DifferentCollectivesAreAMismatchToo) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(100'000);
        EXPECT_THROW(
            {
                if (group.layout().rank() == 0) {
                    run(group, {.signature = signature(Collective::kBarrier, DType::kUInt8, 0),
                                .inputs = {},
                                .outputs = {}});
                } else {
                    run(group, all_reduce_of(data, DType::kFloat32));
                }
            },
            MismatchError);
    });
}

TEST_P(Faults, DifferentRootsAreAMismatchToo) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(1000);
        EXPECT_THROW(
            {
                run(group, {.signature = signature(Collective::kBroadcast, DType::kFloat32, data.size(),
                                                   ReduceOp::kNone, group.layout().rank() == 0 ? 0 : 1),
                            .output = data.data(),
                            .inputs = {},
                            .outputs = {}});
                // Over several hosts a rank between two that agree with it may have its data before it hears
                // of the mismatch; then the next call raises.
                run(group, all_reduce_of(data, DType::kFloat32));
            },
            MismatchError);
    });
}

TEST_P(Faults, ATimeoutNamesWhoDidNotCall) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(100'000);
        run(group, all_reduce_of(data, DType::kFloat32));
        if (group.layout().rank() == size() - 1) {
            std::this_thread::sleep_for(milliseconds(2500));
            EXPECT_THROW(run(group, all_reduce_of(data, DType::kFloat32)), TimeoutError);
            return;
        }
        const auto operation = group.post(all_reduce_of(data, DType::kFloat32), seconds(1));
        const auto start = Clock::now();
        const std::string text = error_of<TimeoutError>([&] { group.wait(operation); });
        EXPECT_LT(Clock::now() - start, milliseconds(1900));
        EXPECT_NE(text.find("rank " + std::to_string(size() - 1) + " (host"), std::string::npos) << text;
        EXPECT_NE(text.find("did not call it"), std::string::npos) << text;
        // Nobody who did call is blamed.
        for (int r = 0; r < size() - 1; ++r)
            EXPECT_EQ(text.find("rank " + std::to_string(r) + " (host"), std::string::npos) << text;
    });
}

TEST_P(Faults, ARankThatLeavesFailsThoseWhoNeedIt) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(1000);
        run(group, all_reduce_of(data, DType::kFloat32));
        if (group.layout().rank() == 1) {
            group.shutdown();
            return;
        }
        const std::string text =
            error_of<PeerError>([&] { run(group, all_reduce_of(data, DType::kFloat32)); });
        EXPECT_NE(text.find("rank 1 (host"), std::string::npos) << text;
        EXPECT_NE(text.find("left the group"), std::string::npos) << text;
        // Nobody is busy with what is over.
        std::this_thread::sleep_for(milliseconds(100));
        const auto before = cpu();
        std::this_thread::sleep_for(milliseconds(300));
        EXPECT_LT(cpu() - before, milliseconds(100));
    });
}

TEST_P(Faults, AnAbortWakesWaitersOnEveryRank) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(1000);
        if (group.layout().rank() == 0) {
            std::this_thread::sleep_for(milliseconds(100));
            group.abort("the test says so");
        }
        const std::string text =
            error_of<AbortedError>([&] { run(group, all_reduce_of(data, DType::kFloat32)); });
        EXPECT_NE(text.find("rank 0 aborted the group: the test says so"), std::string::npos) << text;
    });
}

TEST_P(Faults, BadArgumentsSendNothing) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(10, 1.0f);
        const std::string text =
            error_of<ConfigError>([&] { run(group, all_reduce_of(data, DType::kFloat32, ReduceOp::kBxor)); });
        EXPECT_NE(text.find("BXOR is not defined for float32"), std::string::npos) << text;
        run(group, all_reduce_of(data, DType::kFloat32));
        EXPECT_EQ(data[0], static_cast<float>(size()));
    });
}

TEST_P(Faults, AWaitMayGiveUpWhileTheOperationGoesOn) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(1000, 1.0f);
        const bool late = group.layout().rank() == 0;
        if (late) std::this_thread::sleep_for(milliseconds(200));
        const auto operation = group.post(all_reduce_of(data, DType::kFloat32));
        if (!late) {
            EXPECT_THROW(group.wait(operation, milliseconds(20)), TimeoutError);
        }
        group.wait(operation);
        EXPECT_EQ(data[999], static_cast<float>(size()));
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, Faults,
                         ::testing::Values(Hosts{2}, Hosts{4}, Hosts{1, 1}, Hosts{1, 1, 1, 1}, Hosts{2, 2},
                                           Hosts{2, 1}, Hosts{3, 1, 2}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

TEST_P(Faults, AForkedChildLeavesTheGroupOfItsParentAlone) {
    run_group(GetParam(), [&](Communicator& group) {
        std::vector<float> data(1000, 1.0f);
        if (group.layout().rank() == 0) {
            const pid_t child = ::fork();
            if (child == 0) {
                const std::string text =
                    error_of<ConfigError>([&] { run(group, all_reduce_of(data, DType::kFloat32)); });
                group.shutdown();
                end_process(text.find("belongs to the parent") == std::string::npos ? 1 : 0);
            }
            int status = -1;
            ASSERT_EQ(::waitpid(child, &status, 0), child);
            EXPECT_EQ(status, 0);
        }
        run(group, all_reduce_of(data, DType::kFloat32));
        EXPECT_EQ(data[0], static_cast<float>(size()));
    });
}

// What ranks tell each other while they wait must not keep them awake.
TEST(Waiting, ForALateRankUsesNoCpu) {
    for (const Hosts& hosts : {Hosts{1, 1, 1, 1, 1}, Hosts{2, 1, 2}}) {
        run_group(
            hosts,
            [](Communicator& group) {
                if (group.layout().rank() == 1) {
                    std::this_thread::sleep_for(milliseconds(1200));  // until they have begun to tell
                    const auto before = cpu();
                    std::this_thread::sleep_for(milliseconds(500));
                    EXPECT_LT(cpu() - before, milliseconds(150));
                }
                std::vector<float> data(1000, 1.0f);
                run(group, all_reduce_of(data, DType::kFloat32));
            },
            seconds(10));
    }
}

TEST(Bootstrap, NamesTheRanksThatDoNotCome) {
    const TemporaryFolder folder;
    FileStore store(folder.path());
    Engine engine;
    try {
        Communicator::create(engine, store,
                             {.rank = 1, .size = 4, .timeout = milliseconds(300), .host_id = "h"});
        FAIL() << "no error";
    } catch (const TimeoutError& error) {
        EXPECT_NE(std::string(error.what()).find("did not join in time: 0, 2, 3"), std::string::npos)
            << error.what();
    }
}

TEST(Engine, AnIdleGroupSleeps) {
    run_group({2, 1}, [](Communicator& group) {
        std::vector<float> data(1000);
        for (int k = 0; k < 20; ++k) run(group, all_reduce_of(data, DType::kFloat32));
        std::this_thread::sleep_for(milliseconds(300));  // until the progress thread has taken over
        const auto before = cpu();
        std::this_thread::sleep_for(milliseconds(1000));
        EXPECT_LT(cpu() - before, milliseconds(30));
    });
}

// What a rank sent before it left is delivered, however late the others look.
TEST(Departures, DoNotSpoilWhatHasBeenSent) {
    Communicator::Settings settings;
    settings.config.algorithm = Algorithm::kFlat;  // over links between the ranks of the host, too
    for (int round = 0; round < 100; ++round)
        run_group(
            {3, 1},
            [](Communicator& group) {
                std::vector<float> data(20'000, 1.0f);
                std::vector<float> all(4 * data.size());
                Arguments gather{.signature = signature(Collective::kGather, DType::kFloat32, data.size(),
                                                        ReduceOp::kNone, 0),
                                 .input = data.data(),
                                 .inputs = {},
                                 .outputs = {}};
                for (size_t rank = 0; rank < 4; ++rank) gather.outputs.push_back(&all[rank * data.size()]);
                run(group, gather);
                run(group, all_reduce_of(data, DType::kFloat32));
                EXPECT_EQ(data.back(), 4.0f);
                if (group.layout().rank() == 0) {
                    EXPECT_EQ(all.back(), 1.0f);
                }
            },
            seconds(20), settings);
}

// Its request has come, but what it announced belongs to its user again.
TEST(Messages, OfASenderThatLeftAreNotRead) {
    Communicator::Settings settings;
    settings.config.single_copy = SingleCopy::kAll;
    std::promise<void> left;
    const auto body = [&](Communicator& group) {
        constexpr size_t kCount = 300'000;
        std::vector<int32_t> data(kCount);
        Arguments arguments{.signature = {}, .inputs = {}, .outputs = {}};
        if (group.layout().rank() == 0) {
            arguments.signature = signature(Collective::kSend, DType::kInt32, kCount, ReduceOp::kNone, 1);
            arguments.input = data.data();
            EXPECT_THROW(group.wait(group.post(arguments), milliseconds(200)), TimeoutError);
            group.shutdown();
            left.set_value();
        } else {
            arguments.signature = signature(Collective::kRecv, DType::kInt32, kCount, ReduceOp::kNone, 0);
            arguments.output = data.data();
            left.get_future().wait();
            EXPECT_THROW(run(group, arguments), PeerError);
        }
    };
    run_group({2}, body, seconds(20), settings);
}

}  // namespace
}  // namespace ring
