// Every collective on every layout, against sums that are exact in float32 and int64.
#include <cstring>
#include <map>
#include <mutex>
#include <random>

#include "group.h"

namespace ring {
namespace {

using namespace ring::testing;

// How the ranks go about it, by a name.
struct Way {
    const char* name;
    Algorithm algorithm = Algorithm::kHierarchical;
    const char* size_table = "";
    int streams = 1;
};

void PrintTo(const Way& way, std::ostream* out) {
    *out << way.name;
}

class Collectives : public ::testing::TestWithParam<std::tuple<Hosts, Way>> {
  protected:
    void in_group(const std::function<void(Communicator&)>& body) {
        const Way& way = std::get<1>(GetParam());
        Communicator::Settings settings;
        settings.algorithm = way.algorithm;
        settings.size_table = way.size_table;
        settings.streams = way.streams;
        run_group(std::get<0>(GetParam()), body, std::chrono::seconds(60), settings);
    }
    int size() const {
        int ranks = 0;
        for (const int local : std::get<0>(GetParam())) ranks += local;
        return ranks;
    }
};

// Whatever the size, so that each algorithm meets every kind of message.
constexpr const char* kRings =
    "all_reduce: 0- ring; broadcast: 0- ring; all_gather: 0- ring; reduce_scatter: 0- ring";
constexpr const char* kCubes =
    "all_reduce: 0- halving_doubling; broadcast: 0- tree; all_gather: 0- doubling; "
    "reduce_scatter: 0- halving_doubling";
constexpr const char* kDoubling = "all_reduce: 0- doubling";

// Small, around the one-shot limits, and large enough for several chunks on every path.
constexpr uint64_t kCounts[] = {0, 1, 2, 63, 1000, 2048, 2049, 8192, 8193, 100'003, 700'001};

// Integers small enough for every sum to be exact.
float value(int rank, uint64_t i) {
    return static_cast<float>((i * 7 + static_cast<uint64_t>(rank) * 13) % 101);
}

TEST_P(Collectives, AllReduceSums) {
    in_group([&](Communicator& group) {
        for (const uint64_t count : kCounts) {
            std::vector<float> data(count);
            for (uint64_t i = 0; i < count; ++i) data[i] = value(group.layout().rank(), i);
            run(group, all_reduce_of(data, DType::kFloat32));
            for (uint64_t i = 0; i < count; ++i) {
                float expected = 0;
                for (int r = 0; r < size(); ++r) expected += value(r, i);
                ASSERT_EQ(data[i], expected) << "count " << count << ", element " << i;
            }
        }
    });
}

TEST_P(Collectives, AllReduceAveragesOutOfPlace) {
    in_group([&](Communicator& group) {
        for (const uint64_t count : kCounts) {
            std::vector<double> input(count);
            std::vector<double> output(count);
            for (uint64_t i = 0; i < count; ++i) input[i] = value(group.layout().rank(), i);
            const std::vector<double> kept = input;
            Arguments arguments = all_reduce_of(input, DType::kFloat64, ReduceOp::kAvg);
            arguments.output = output.data();
            run(group, arguments);
            EXPECT_EQ(input, kept);
            for (uint64_t i = 0; i < count; ++i) {
                double sum = 0;
                for (int r = 0; r < size(); ++r) sum += value(r, i);
                ASSERT_EQ(output[i], sum / size());
            }
        }
    });
}

TEST_P(Collectives, BroadcastFromEveryRoot) {
    in_group([&](Communicator& group) {
        for (int root = 0; root < size(); ++root)
            for (const uint64_t count : kCounts) {
                std::vector<int64_t> data(count, -1);
                if (group.layout().rank() == root)
                    for (uint64_t i = 0; i < count; ++i) data[i] = static_cast<int64_t>(i) * 3 + root;
                run(group, {.signature = signature(Collective::kBroadcast, DType::kInt64, count,
                                                   ReduceOp::kNone, root),
                            .output = data.data(),
                            .inputs = {},
                            .outputs = {}});
                for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(data[i], static_cast<int64_t>(i) * 3 + root);
            }
    });
}

TEST_P(Collectives, AllGather) {
    in_group([&](Communicator& group) {
        for (const uint64_t count : kCounts) {
            std::vector<uint16_t> input(count);
            for (uint64_t i = 0; i < count; ++i)
                input[i] = static_cast<uint16_t>(i + group.layout().rank() * 1000);
            std::vector<std::vector<uint16_t>> outputs(size(), std::vector<uint16_t>(count));
            Arguments arguments{.signature = signature(Collective::kAllGather, DType::kUInt16, count),
                                .input = input.data(),
                                .inputs = {},
                                .outputs = {}};
            for (auto& output : outputs) arguments.outputs.push_back(output.data());
            run(group, arguments);
            for (int r = 0; r < size(); ++r)
                for (uint64_t i = 0; i < count; ++i)
                    ASSERT_EQ(outputs[r][i], static_cast<uint16_t>(i + r * 1000));
        }
    });
}

TEST_P(Collectives, ReduceScatter) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (const uint64_t count : kCounts) {
            std::vector<std::vector<float>> inputs(size(), std::vector<float>(count));
            Arguments arguments{
                .signature = signature(Collective::kReduceScatter, DType::kFloat32, count, ReduceOp::kSum),
                .inputs = {},
                .outputs = {}};
            for (int r = 0; r < size(); ++r) {
                for (uint64_t i = 0; i < count; ++i) inputs[r][i] = value(me, i + r);
                arguments.inputs.push_back(inputs[r].data());
            }
            std::vector<float> output(count);
            arguments.output = output.data();
            const auto kept = inputs;
            run(group, arguments);
            EXPECT_EQ(inputs, kept);
            for (uint64_t i = 0; i < count; ++i) {
                float expected = 0;
                for (int r = 0; r < size(); ++r) expected += value(r, i + me);
                ASSERT_EQ(output[i], expected) << "count " << count << ", element " << i;
            }
        }
    });
}

TEST_P(Collectives, BarrierWaitsForTheLast) {
    std::atomic<int> entered{0};
    in_group([&](Communicator& group) {
        for (int round = 1; round <= 5; ++round) {
            if (group.layout().rank() == round % size()) std::this_thread::sleep_for(milliseconds(10));
            entered.fetch_add(1);
            run(group, {.signature = signature(Collective::kBarrier, DType::kUInt8, 0),
                        .inputs = {},
                        .outputs = {}});
            EXPECT_GE(entered.load(), round * size());
        }
    });
}

TEST_P(Collectives, ManyInFlightCompleteInAnyOrderOfWaiting) {
    in_group([&](Communicator& group) {
        constexpr int kOperations = 20;
        std::vector<std::vector<float>> data;
        for (int k = 0; k < kOperations; ++k) data.emplace_back(1 + k * 1500, static_cast<float>(k));
        std::atomic<int> called_back{0};
        std::vector<std::shared_ptr<Operation>> operations;
        for (auto& one : data)
            operations.push_back(group.post(all_reduce_of(one, DType::kFloat32), std::nullopt,
                                            [&](std::exception_ptr error) { called_back += error ? 0 : 1; }));
        group.hand_over();
        for (int k = kOperations - 1; k >= 0; --k) group.wait(operations[k]);
        for (int k = 0; k < kOperations; ++k)
            for (const float x : data[k]) ASSERT_EQ(x, static_cast<float>(k * size()));
        // The callbacks of operations that another thread drove may come a moment after wait() has returned.
        for (const auto until = Clock::now() + std::chrono::seconds(5);
             called_back < kOperations && Clock::now() < until;)
            std::this_thread::yield();
        EXPECT_EQ(called_back, kOperations);
    });
}

TEST_P(Collectives, ThousandSmallOnes) {
    in_group([&](Communicator& group) {
        for (int k = 0; k < 1000; ++k) {
            std::vector<int32_t> data{k, group.layout().rank()};
            run(group, all_reduce_of(data, DType::kInt32, ReduceOp::kMax));
            ASSERT_EQ(data, (std::vector<int32_t>{k, size() - 1}));
        }
    });
}

// What a rank adds up must not depend on who comes when: random values, whose sum in another order has other
// bits, random delays, and others under way at the same time.
TEST_P(Collectives, AllReduceDoesNotDependOnTiming) {
    constexpr int kRounds = 6;
    constexpr size_t kSizes[] = {3, 5000, 150'001};
    std::mutex mutex;
    std::map<size_t, std::vector<float>> first;
    in_group([&](Communicator& group) {
        const int rank = group.layout().rank();
        std::mt19937 delays(std::random_device{}());
        for (int round = 0; round < kRounds; ++round) {
            std::vector<std::vector<float>> data;
            std::vector<std::shared_ptr<Operation>> operations;
            for (const size_t count : kSizes) {
                std::mt19937 values(static_cast<unsigned>(rank * 1000 + count));
                std::uniform_real_distribution<float> distribution(-1e3f, 1e3f);
                data.emplace_back(count);
                for (float& x : data.back()) x = distribution(values);
            }
            for (auto& one : data) {
                std::this_thread::sleep_for(std::chrono::microseconds(delays() % 2000));
                operations.push_back(group.post(all_reduce_of(one, DType::kFloat32)));
                if (delays() % 2 == 0) group.hand_over();
            }
            for (const auto& operation : operations) group.wait(operation);
            const std::lock_guard lock(mutex);
            for (const auto& one : data) {
                const auto [known, added] = first.try_emplace(one.size(), one);
                ASSERT_EQ(std::memcmp(known->second.data(), one.data(), one.size() * sizeof(float)), 0)
                    << "round " << round << ", rank " << rank << ", count " << one.size();
            }
        }
    });
}

std::string name_of_case(const ::testing::TestParamInfo<std::tuple<Hosts, Way>>& info) {
    return "hosts_" + name_of_layout(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Layouts, Collectives,
                         ::testing::Combine(::testing::Values(Hosts{1}, Hosts{2}, Hosts{4}, Hosts{1, 1},
                                                              Hosts{1, 1, 1, 1}, Hosts{2, 2}, Hosts{2, 1},
                                                              Hosts{1, 2}, Hosts{3, 1, 2}, Hosts{2, 2, 2}),
                                            ::testing::Values(Way{"by_model"},
                                                              Way{"flat", Algorithm::kRing})),
                         name_of_case);

INSTANTIATE_TEST_SUITE_P(
    Algorithms, Collectives,
    ::testing::Combine(::testing::Values(Hosts{1, 1}, Hosts{1, 1, 1}, Hosts{2, 2, 2},
                                         Hosts{1, 1, 1, 1, 1, 1, 1}),
                       ::testing::Values(Way{"rings", Algorithm::kHierarchical, kRings},
                                         Way{"cubes", Algorithm::kHierarchical, kCubes},
                                         Way{"doubling", Algorithm::kHierarchical, kDoubling},
                                         Way{"streams", Algorithm::kHierarchical, kRings, 3})),
    name_of_case);

}  // namespace
}  // namespace ring
