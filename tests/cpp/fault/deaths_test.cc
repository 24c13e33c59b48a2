// Processes as ranks, which end without a word: what they had done before counts, and who needs more fails
// soon.
#include <csignal>

#include "processes.h"

namespace ring {
namespace {

using namespace ring::testing;

Arguments call_of(Collective kind, std::vector<float>& data, std::vector<float>& all, int rank, int size) {
    const size_t count = data.size();
    const bool sums = kind == Collective::kAllReduce || kind == Collective::kReduce;
    const bool rooted = kind == Collective::kReduce || kind == Collective::kBroadcast ||
                        kind == Collective::kGather || kind == Collective::kScatter;
    Arguments made{.signature = signature(kind, DType::kFloat32, kind == Collective::kBarrier ? 0 : count,
                                          sums ? ReduceOp::kSum : ReduceOp::kNone, rooted ? 0 : -1),
                   .input = data.data(),
                   .output = data.data(),
                   .inputs = {},
                   .outputs = {}};
    all.resize(count * static_cast<size_t>(size));
    for (int r = 0; r < size; ++r) {
        float* const part = all.data() + static_cast<size_t>(r) * count;
        if (kind == Collective::kScatter && rank == 0) made.inputs.push_back(part);
        if (kind == Collective::kGather && rank == 0) made.outputs.push_back(part);
    }
    return made;
}

// So late comes what it says.
class LateStore : public FileStore {
  public:
    using FileStore::FileStore;
    std::vector<std::string> get_all(const std::vector<std::string>& keys, Deadline deadline) override {
        auto values = FileStore::get_all(keys, deadline);
        std::this_thread::sleep_for(milliseconds(200));
        return values;
    }
};

class Deaths : public ::testing::TestWithParam<Hosts> {};

// A rank that has formed the group, sent what it had to send, and ended, while the other still forms it.
TEST_P(Deaths, DoNotSpoilWhatStillForms) {
    const int size = ranks_of(GetParam());
    for (int sender = 0; sender < size; ++sender) {
        const int receiver = (sender + 1) % size;
        const TemporaryFolder folder;
        const auto codes = run_rank_processes(GetParam(), [&](const Communicator::Settings& settings) {
            FileStore store(folder.path());
            LateStore late(folder.path());
            const int rank = settings.rank;
            const auto group = Communicator::create(
                Engine::of_process(), rank == sender ? static_cast<Store&>(store) : late, settings);
            std::vector<float> data(10, static_cast<float>(rank));
            Arguments message{.signature = signature(Collective::kSend, DType::kFloat32, data.size()),
                              .input = data.data(),
                              .output = data.data(),
                              .inputs = {},
                              .outputs = {}};
            message.signature.root = receiver;
            if (rank == sender) run(*group, message);
            if (rank != receiver) end_process(kFine);
            message.signature.kind = Collective::kRecv;
            message.signature.root = sender;
            run(*group, message);
            end_process(data == std::vector<float>(data.size(), static_cast<float>(sender)) ? kFine : kWrong);
            return kThrown;
        });
        EXPECT_EQ(codes, std::vector<int>(static_cast<size_t>(size), kFine)) << "from rank " << sender;
    }
}

// Each rank is gone as soon as its own call has returned.
TEST_P(Deaths, DoNotSpoilTheLastCall) {
    const auto kinds = {Collective::kAllReduce, Collective::kBroadcast, Collective::kReduce,
                        Collective::kScatter,   Collective::kGather,    Collective::kBarrier};
    const int size = ranks_of(GetParam());
    for (const Collective kind : kinds)
        for (const size_t count : {size_t{10}, size_t{10'000}, size_t{500'000}})
            for (const int late : {0, 1}) {
                const auto codes = run_processes(GetParam(), [&](Communicator& group) {
                    const int rank = group.layout().rank();
                    std::vector<float> data(count, 1.0f);
                    std::vector<float> all;
                    const Arguments call = call_of(kind, data, all, rank, size);
                    run(group, {.signature = signature(Collective::kBarrier, DType::kUInt8, 0),
                                .inputs = {},
                                .outputs = {}});
                    if (rank >= 1 && late == 1) std::this_thread::sleep_for(milliseconds(20 * rank));
                    run(group, call);
                    return kFine;
                });
                ASSERT_EQ(codes, std::vector<int>(static_cast<size_t>(size), kFine))
                    << name_of(kind) << " of " << count << (late != 0 ? ", late" : "");
            }
}

// What was sent is received long after its sender is gone; what was not, is missed soon.
TEST_P(Deaths, DoNotSpoilWhatWasSent) {
    const int size = ranks_of(GetParam());
    const int last = size - 1;
    const auto codes = run_processes(GetParam(), [&](Communicator& group) {
        std::vector<float> data(1000, static_cast<float>(group.layout().rank()));
        Arguments message{.signature = signature(Collective::kSend, DType::kFloat32, data.size()),
                          .input = data.data(),
                          .output = data.data(),
                          .inputs = {},
                          .outputs = {}};
        if (group.layout().rank() == last) {
            message.signature.root = 0;
            run(group, message);
            ::raise(SIGKILL);
        }
        if (group.layout().rank() != 0) {
            std::this_thread::sleep_for(milliseconds(900));
            return kFine;
        }
        std::this_thread::sleep_for(milliseconds(300));
        message.signature.kind = Collective::kRecv;
        message.signature.root = last;
        run(group, message);
        if (data != std::vector<float>(data.size(), static_cast<float>(last))) return kWrong;
        return check_death([&] { run(group, message); }, last);
    });
    std::vector<int> expected(static_cast<size_t>(size), kFine);
    expected.back() = 1000 + SIGKILL;
    EXPECT_EQ(codes, expected);
}

// A rank that is killed between two calls is missed in the next one, by all, whatever they wait for.
TEST_P(Deaths, AreNoticedInTheNextCall) {
    const int size = ranks_of(GetParam());
    for (int victim = 0; victim < size; ++victim) {
        const auto codes = run_processes(GetParam(), [&](Communicator& group) {
            const int rank = group.layout().rank();
            std::vector<float> data(100'000, 1.0f);
            run(group, all_reduce_of(data, DType::kFloat32));
            if (rank == victim) ::raise(SIGKILL);
            if (rank % 2 == 1) std::this_thread::sleep_for(milliseconds(100));
            return check_death([&] { run(group, all_reduce_of(data, DType::kFloat32)); }, victim);
        });
        std::vector<int> expected(static_cast<size_t>(size), kFine);
        expected[static_cast<size_t>(victim)] = 1000 + SIGKILL;
        EXPECT_EQ(codes, expected);
    }
}

// In the midst of a large one, all of which it owes to somebody.
TEST_P(Deaths, AreNoticedInTheMidst) {
    const int size = ranks_of(GetParam());
    const auto codes = run_processes(GetParam(), [&](Communicator& group) {
        std::vector<float> data(4'000'000, 1.0f);
        const int victim = size - 1;
        if (group.layout().rank() == victim) {
            const auto operation = group.post(all_reduce_of(data, DType::kFloat32));
            try {
                group.wait(operation, milliseconds(2));
            } catch (const TimeoutError&) {
            }
            ::raise(SIGKILL);
        }
        return check_death(
            [&] {
                while (true) run(group, all_reduce_of(data, DType::kFloat32));
            },
            victim);
    });
    std::vector<int> expected(static_cast<size_t>(size), kFine);
    expected.back() = 1000 + SIGKILL;
    EXPECT_EQ(codes, expected);
}

// Rank 1 has no connection to the last rank, which ends on the other host; rank 0 has, and waits for nothing.
TEST(DeathsElsewhere, AreHeardOfFromTheRanksOfTheOwnHost) {
    for (const bool leaves : {false, true}) {
        const auto codes = run_processes({2, 1}, [&](Communicator& group) {
            const int rank = group.layout().rank();
            if (rank == 2 && leaves) group.shutdown();
            if (rank == 2) return kFine;
            if (rank == 0) {
                std::this_thread::sleep_for(milliseconds(2500));
                return kFine;
            }
            std::vector<float> data(1000);
            Arguments message{.signature = signature(Collective::kRecv, DType::kFloat32, data.size()),
                              .output = data.data(),
                              .inputs = {},
                              .outputs = {}};
            message.signature.root = 2;
            if (!leaves) return check_death([&] { run(group, message); }, 2);
            try {
                run(group, message);
            } catch (const PeerError& error) {
                const std::string text = error.what();
                return text.find("rank 2 (host") != std::string::npos &&
                               text.find("left the group") != std::string::npos
                           ? kFine
                           : kWrong;
            }
            return kWrong;
        });
        EXPECT_EQ(codes, std::vector<int>(3, kFine)) << (leaves ? "left" : "died");
    }
}

// Who is the last one that has a connection to the other host has left, and then the rank there ends.
class EndsElsewhere : public ::testing::TestWithParam<std::tuple<bool, bool, bool>> {};

TEST_P(EndsElsewhere, AreNoticedWhereNobodyIsLeftToTell) {
    const auto [dies, late, from_any] = GetParam();
    const auto codes =
        run_processes({2, 1}, [&, dies = dies, late = late, from_any = from_any](Communicator& group) {
            const int rank = group.layout().rank();
            if (rank == 0) {
                group.shutdown();
                return kFine;
            }
            if (rank == 2) {
                std::this_thread::sleep_for(milliseconds(late ? 1600 : 300));
                if (dies) return kFine;
                group.shutdown();
                std::this_thread::sleep_for(milliseconds(1400));  // its process still listens
                return kFine;
            }
            float data = 0;
            const auto start = Clock::now();
            try {
                run(group, {.signature = signature(Collective::kRecv, DType::kFloat32, 1, ReduceOp::kNone,
                                                   from_any ? -1 : 2),
                            .output = reinterpret_cast<std::byte*>(&data),
                            .inputs = {},
                            .outputs = {}});
            } catch (const PeerError& error) {
                const std::string text = error.what();
                const std::string what = !dies ? " left the group" : late ? " died: " : "cannot reach rank 2";
                if (text.find("rank 2 (host") != std::string::npos && text.find(what) != std::string::npos &&
                    Clock::now() - start < milliseconds(8000))
                    return kFine;
                std::fprintf(stderr, "%s\n", text.c_str());
            }
            return kWrong;
        });
    EXPECT_EQ(codes, std::vector<int>(3, kFine));
}

INSTANTIATE_TEST_SUITE_P(Some, EndsElsewhere,
                         ::testing::Values(std::tuple(false, false, true), std::tuple(false, true, false),
                                           std::tuple(true, false, false), std::tuple(true, true, true)),
                         [](const auto& info) {
                             return std::string(std::get<0>(info.param) ? "dies" : "leaves") +
                                    (std::get<1>(info.param) ? "_late" : "_early") +
                                    (std::get<2>(info.param) ? "_any" : "");
                         });

INSTANTIATE_TEST_SUITE_P(Layouts, Deaths,
                         ::testing::Values(Hosts{2}, Hosts{4}, Hosts{1, 1}, Hosts{2, 2}, Hosts{1, 1, 1},
                                           Hosts{1, 1, 1, 1}, Hosts{2, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
