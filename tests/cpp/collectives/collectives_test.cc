// Every collective on every layout, against sums that are exact in float32 and int64.
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <random>

#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// How the ranks go about it, by a name.
struct Way {
    const char* name;
    Algorithm algorithm = Algorithm::kHierarchical;
    const char* size_table = "";
    int streams = 1;
    SingleCopy single_copy = SingleCopy::kAuto;
    bool looks_on = false;  // leaves everything to the progress thread
    bool stages = false;    // also for what is small in one host
    const char* link = "";  // as if it had been measured
};

void PrintTo(const Way& way, std::ostream* out) {
    *out << way.name;
}

class Collectives : public ::testing::TestWithParam<std::tuple<Hosts, Way>> {
  protected:
    void in_group(const std::function<void(Communicator&)>& body) {
        const Way& way = std::get<1>(GetParam());
        Communicator::Settings settings;
        settings.config.algorithm = way.algorithm;
        settings.config.size_table = way.size_table;
        settings.config.streams = way.streams;
        settings.config.single_copy = way.single_copy;
        settings.config.link = way.link;
        if (way.stages) settings.config.host_small_bytes = 0;
        run_group(std::get<0>(GetParam()), body, std::chrono::seconds(60), settings);
    }
    void finish(Communicator& group, const std::shared_ptr<Operation>& operation) {
        if (std::get<1>(GetParam()).looks_on) {
            group.hand_over({&operation, 1});
            look_on(operation);
        } else {
            group.wait(operation);
        }
    }
    void run(Communicator& group, const Arguments& arguments) {
        if (std::get<1>(GetParam()).looks_on) {
            finish(group, group.post(arguments));
        } else {
            group.run(arguments);
        }
    }
    int size() const { return ranks_of(std::get<0>(GetParam())); }
};

// Whatever the size, so that each algorithm meets every kind of message.
constexpr const char* kRings =
    "all_reduce: 0- ring; broadcast: 0- ring; all_gather: 0- ring; reduce_scatter: 0- ring";
constexpr const char* kCubes =
    "all_reduce: 0- halving_doubling; broadcast: 0- tree; all_gather: 0- doubling; "
    "reduce_scatter: 0- halving_doubling";
constexpr const char* kDoubling = "all_reduce: 0- doubling";

// Small, around the one-shot limits, and large enough for several chunks on every path.
constexpr uint64_t kAllCounts[] = {0, 1, 2, 63, 1000, 2048, 2049, 4096, 4097, 8192, 8193, 100'003, 700'001};
constexpr std::span kCounts = std::span(kAllCounts).first(std::size(kAllCounts) - kThreadSanitizer);

// Integers small enough for every sum to be exact.
float value(int rank, uint64_t i) {
    return static_cast<float>((i * 7 + static_cast<uint64_t>(rank) * 13) % 101);
}

float sum_of_values(int ranks, uint64_t i) {
    float sum = 0;
    for (int r = 0; r < ranks; ++r) sum += value(r, i);
    return sum;
}

// What goes straight from rank to rank, whatever runs between the hosts.
class DirectCollectives : public Collectives {};

TEST_P(Collectives, AllReduceSums) {
    in_group([&](Communicator& group) {
        for (const uint64_t count : kCounts) {
            const int me = group.layout().rank();
            auto data = repeated<float>(count, [&](uint64_t i) { return value(me, i); });
            run(group, all_reduce_of(data, DType::kFloat32));
            const auto sums = repeated<float>(count, [&](uint64_t i) { return sum_of_values(size(), i); });
            ASSERT_TRUE(same(data, sums));
        }
    });
}

TEST_P(Collectives, AllReduceAveragesOutOfPlace) {
    in_group([&](Communicator& group) {
        for (const uint64_t count : kCounts) {
            const int me = group.layout().rank();
            auto input = repeated<double>(count, [&](uint64_t i) { return value(me, i); });
            std::vector<double> output(count);
            const std::vector<double> kept = input;
            Arguments arguments = all_reduce_of(input, DType::kFloat64, ReduceOp::kAvg);
            arguments.output = output.data();
            run(group, arguments);
            EXPECT_TRUE(same(input, kept));
            const auto averages = repeated<double>(
                count, [&](uint64_t i) { return double{sum_of_values(size(), i)} / size(); });
            ASSERT_TRUE(same(output, averages));
        }
    });
}

TEST_P(Collectives, BroadcastFromEveryRoot) {
    in_group([&](Communicator& group) {
        for (int root = 0; root < size(); ++root)
            for (const uint64_t count : kCounts) {
                const auto sent = repeated<int64_t>(count, [&](uint64_t i) { return i * 3 + root; });
                std::vector<int64_t> data(count, -1);
                if (group.layout().rank() == root) data = sent;
                run(group, {.signature = signature(Collective::kBroadcast, DType::kInt64, count,
                                                   ReduceOp::kNone, root),
                            .output = data.data(),
                            .inputs = {},
                            .outputs = {}});
                ASSERT_TRUE(same(data, sent)) << "root " << root;
            }
    });
}

TEST_P(Collectives, AllGather) {
    in_group([&](Communicator& group) {
        for (const uint64_t count : kCounts) {
            const auto share = [&](int rank) {
                return repeated<uint16_t>(count, [&](uint64_t i) { return i + rank * 1000; });
            };
            const auto input = share(group.layout().rank());
            std::vector<std::vector<uint16_t>> outputs(size(), std::vector<uint16_t>(count));
            Arguments arguments{.signature = signature(Collective::kAllGather, DType::kUInt16, count),
                                .input = input.data(),
                                .inputs = {},
                                .outputs = {}};
            for (auto& output : outputs) arguments.outputs.push_back(output.data());
            run(group, arguments);
            for (int r = 0; r < size(); ++r) ASSERT_TRUE(same(outputs[r], share(r))) << "from " << r;
        }
    });
}

TEST_P(Collectives, ReduceScatter) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (const uint64_t count : kCounts) {
            std::vector<std::vector<float>> inputs;
            Arguments arguments{
                .signature = signature(Collective::kReduceScatter, DType::kFloat32, count, ReduceOp::kSum),
                .inputs = {},
                .outputs = {}};
            for (int r = 0; r < size(); ++r) {
                inputs.push_back(repeated<float>(count, [&](uint64_t i) { return value(me, i + r); }));
                arguments.inputs.push_back(inputs[r].data());
            }
            std::vector<float> output(count);
            arguments.output = output.data();
            const auto kept = inputs;
            run(group, arguments);
            for (int r = 0; r < size(); ++r) EXPECT_TRUE(same(inputs[r], kept[r])) << "to " << r;
            const auto sums =
                repeated<float>(count, [&](uint64_t i) { return sum_of_values(size(), i + me); });
            ASSERT_TRUE(same(output, sums));
        }
    });
}

TEST_P(Collectives, ReduceToEveryRoot) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (int root = 0; root < size(); ++root)
            for (const uint64_t count : kCounts) {
                const auto input = repeated<float>(count, [&](uint64_t i) { return value(me, i); });
                const auto kept = input;
                std::vector<float> output(me == root ? count : 0);
                Arguments arguments{
                    .signature = signature(Collective::kReduce, DType::kFloat32, count, ReduceOp::kSum, root),
                    .inputs = {},
                    .outputs = {}};
                arguments.input = input.data();
                arguments.output = me == root ? output.data() : nullptr;
                run(group, arguments);
                EXPECT_TRUE(same(input, kept));
                const auto sums =
                    repeated<float>(output.size(), [&](uint64_t i) { return sum_of_values(size(), i); });
                ASSERT_TRUE(same(output, sums)) << "root " << root;
            }
    });
}

// What rank `from` sends to rank `to`; between no two ranks the same.
std::vector<int32_t> tokens(int from, int to, uint64_t count) {
    return repeated<int32_t>(count, [&](uint64_t i) { return i * 31 + from * 1009 + to * 7; });
}

TEST_P(DirectCollectives, GatherToEveryRoot) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (int root = 0; root < size(); ++root)
            for (const uint64_t count : kCounts) {
                const auto input = tokens(me, root, count);
                std::vector<std::vector<int32_t>> outputs(me == root ? size() : 0,
                                                          std::vector<int32_t>(count));
                Arguments arguments{
                    .signature = signature(Collective::kGather, DType::kInt32, count, ReduceOp::kNone, root),
                    .inputs = {},
                    .outputs = {}};
                arguments.input = input.data();
                for (auto& output : outputs) arguments.outputs.push_back(output.data());
                run(group, arguments);
                for (size_t r = 0; r < outputs.size(); ++r)
                    ASSERT_TRUE(same(outputs[r], tokens(static_cast<int>(r), root, count))) << "from " << r;
            }
    });
}

TEST_P(DirectCollectives, ScatterFromEveryRoot) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (int root = 0; root < size(); ++root)
            for (const uint64_t count : kCounts) {
                std::vector<std::vector<int32_t>> inputs;
                std::vector<int32_t> output(count);
                Arguments arguments{
                    .signature = signature(Collective::kScatter, DType::kInt32, count, ReduceOp::kNone, root),
                    .inputs = {},
                    .outputs = {}};
                for (int r = 0; me == root && r < size(); ++r)
                    arguments.inputs.push_back(inputs.emplace_back(tokens(root, r, count)).data());
                arguments.output = output.data();
                run(group, arguments);
                ASSERT_TRUE(same(output, tokens(root, me, count))) << "root " << root;
            }
    });
}

// Each root in turn gathers and scatters, small shares and large ones, all at once, so that what one
// operation leaves in the memory of a host must outlast the next.
TEST_P(DirectCollectives, ManyGathersAndScattersInFlight) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        const auto ranks = static_cast<size_t>(size());
        constexpr int kRounds = kThreadSanitizer ? 12 : 24;
        struct Call {
            std::vector<int32_t> input;   // of a scatter: of all ranks, one after the other
            std::vector<int32_t> output;  // of a gather: likewise
        };
        std::vector<Call> calls(kRounds);
        std::vector<std::shared_ptr<Operation>> operations;
        const auto count_of = [](int round) {
            constexpr std::array<uint64_t, 5> kShares{900, 90'000, 4'000, 20'000, 300'000};
            return kShares[static_cast<size_t>(round) % kShares.size()];
        };
        const auto gathers = [](int round) { return round / 2 % 2 == 0; };
        for (int round = 0; round < kRounds; ++round) {
            Call& call = calls[round];
            const int root = round % size();
            const uint64_t count = count_of(round);
            const auto kind = gathers(round) ? Collective::kGather : Collective::kScatter;
            Arguments arguments{.signature = signature(kind, DType::kInt32, count, ReduceOp::kNone, root),
                                .inputs = {},
                                .outputs = {}};
            for (int r = 0; r < (gathers(round) ? 1 : size()); ++r) {
                const auto share = tokens(me, round + r, count);
                call.input.insert(call.input.end(), share.begin(), share.end());
            }
            call.output.resize(gathers(round) ? count * ranks : count);
            arguments.input = call.input.data();
            arguments.output = call.output.data();
            for (size_t r = 0; r < ranks && me == root; ++r) {
                if (gathers(round)) arguments.outputs.push_back(&call.output[r * count]);
                if (!gathers(round)) arguments.inputs.push_back(&call.input[r * count]);
            }
            operations.push_back(group.post(arguments));
        }
        for (const auto& operation : operations) finish(group, operation);
        for (int round = 0; round < kRounds; ++round) {
            const int root = round % size();
            const uint64_t count = count_of(round);
            const std::span<const int32_t> output = calls[round].output;
            if (!gathers(round)) {
                ASSERT_TRUE(same<int32_t>(output, tokens(root, round + me, count))) << "round " << round;
            } else if (me == root) {
                for (int r = 0; r < size(); ++r)
                    ASSERT_TRUE(same<int32_t>(output.subspan(r * count, count), tokens(r, round, count)))
                        << "round " << round << ", from " << r;
            }
        }
    });
}

// Large shares, of which a carrier's host holds a part at a time: its slots go round several times, and are
// those of the next call at once.
TEST_P(DirectCollectives, SharesLargerThanWhatAHostHoldsOfThem) {
    constexpr uint64_t kCount = 800'001;
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        const auto ranks = static_cast<size_t>(size());
        for (const int root : {0, size() - 1}) {
            const auto input = tokens(me, root, kCount);
            std::vector<int32_t> gathered(me == root ? kCount * ranks : 0);
            std::vector<int32_t> scattered(kCount);
            Arguments gather{
                .signature = signature(Collective::kGather, DType::kInt32, kCount, ReduceOp::kNone, root),
                .input = input.data(),
                .inputs = {},
                .outputs = {}};
            Arguments scatter{
                .signature = signature(Collective::kScatter, DType::kInt32, kCount, ReduceOp::kNone, root),
                .output = scattered.data(),
                .inputs = {},
                .outputs = {}};
            std::vector<std::vector<int32_t>> shares;
            for (size_t r = 0; r < ranks && me == root; ++r) {
                gather.outputs.push_back(&gathered[r * kCount]);
                shares.push_back(tokens(root, static_cast<int>(r), kCount));
                scatter.inputs.push_back(shares.back().data());
            }
            const std::vector operations{group.post(gather), group.post(scatter)};
            for (const auto& operation : operations) finish(group, operation);
            ASSERT_TRUE(same(scattered, tokens(root, me, kCount))) << "root " << root;
            for (int r = 0; r < size() && me == root; ++r)
                ASSERT_TRUE(
                    same<int32_t>(std::span(gathered).subspan(r * kCount, kCount), tokens(r, root, kCount)))
                    << "root " << root << ", from " << r;
        }
    });
}

// Elements that `from` sends to `to`: none, few and many; between no two ranks the same.
uint64_t uneven_count(int from, int to, uint64_t base) {
    return (from + 2 * to) % 3 == 0 ? 0 : base * static_cast<uint64_t>(1 + from + 2 * to) / 3;
}

TEST_P(DirectCollectives, AllToAllOfUnevenShares) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (const uint64_t base : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{60'000}}) {
            Arguments arguments{
                .signature = signature(Collective::kAllToAll, DType::kInt32, 0), .inputs = {}, .outputs = {}};
            std::vector<std::vector<int32_t>> inputs;
            std::vector<std::vector<int32_t>> outputs;
            for (int r = 0; r < size(); ++r) {
                inputs.push_back(tokens(me, r, uneven_count(me, r, base)));
                outputs.emplace_back(uneven_count(r, me, base));
                arguments.inputs.push_back(inputs[r].data());
                arguments.outputs.push_back(outputs[r].data());
                arguments.input_counts.push_back(inputs[r].size());
                arguments.output_counts.push_back(outputs[r].size());
            }
            run(group, arguments);
            for (int r = 0; r < size(); ++r)
                ASSERT_TRUE(same(outputs[r], tokens(r, me, outputs[r].size()))) << "from " << r;
        }
    });
}

// Ranks that take turns at a link do so for each operation, while others come behind.
TEST_P(DirectCollectives, LargeAllToAllsFollowEachOther) {
    constexpr int kRounds = 4;
    constexpr size_t kCount = 80'000;  // of each share: more than an eager message has
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        std::vector<std::shared_ptr<Operation>> operations;
        std::vector<std::vector<int32_t>> outputs;
        std::vector<std::vector<int64_t>> sums;
        std::vector<std::vector<std::vector<int32_t>>> inputs;
        for (int round = 0; round < kRounds; ++round) {
            auto& input = inputs.emplace_back();
            auto& output = outputs.emplace_back(kCount * size());
            Arguments arguments{
                .signature = signature(Collective::kAllToAll, DType::kInt32, 0), .inputs = {}, .outputs = {}};
            for (int r = 0; r < size(); ++r) input.push_back(tokens(me, r + round * size(), kCount));
            for (int r = 0; r < size(); ++r) {
                arguments.inputs.push_back(input[r].data());
                arguments.outputs.push_back(&output[r * kCount]);
                arguments.input_counts.push_back(kCount);
                arguments.output_counts.push_back(kCount);
            }
            operations.push_back(group.post(arguments));
            operations.push_back(group.post(all_reduce_of(sums.emplace_back(1000, me), DType::kInt64)));
        }
        for (auto at = operations.rbegin(); at != operations.rend(); ++at) finish(group, *at);
        for (int round = 0; round < kRounds; ++round) {
            EXPECT_EQ(sums[round].back(), size() * (size() - 1) / 2);
            const std::span<const int32_t> output = outputs[round];
            for (int r = 0; r < size(); ++r)
                ASSERT_TRUE(
                    same<int32_t>(output.subspan(r * kCount, kCount), tokens(r, me + round * size(), kCount)))
                    << "from " << r;
        }
    });
}

TEST_P(Collectives, AllGatherOfUnevenShares) {
    in_group([&](Communicator& group) {
        const int me = group.layout().rank();
        for (const uint64_t base : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{100'000}}) {
            const auto count_of = [&](int rank) { return rank % 3 == 1 ? 0 : base * (rank + 1); };
            const auto input = tokens(me, 0, count_of(me));
            Arguments arguments{.signature = {}, .inputs = {}, .outputs = {}};
            std::vector<std::vector<int32_t>> outputs;
            uint64_t total = 0;
            for (int r = 0; r < size(); ++r) {
                outputs.emplace_back(count_of(r));
                total += count_of(r);
                arguments.output_counts.push_back(count_of(r));
            }
            for (auto& output : outputs) arguments.outputs.push_back(output.data());
            arguments.signature = signature(Collective::kAllGather, DType::kInt32, total);
            arguments.signature.uneven = 1;
            arguments.input = input.data();
            run(group, arguments);
            for (int r = 0; r < size(); ++r)
                ASSERT_TRUE(same(outputs[r], tokens(r, 0, outputs[r].size()))) << "from " << r;
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
        group.hand_over(operations);
        for (int k = kOperations - 1; k >= 0; --k) finish(group, operations[k]);
        for (int k = 0; k < kOperations; ++k)
            for (const float x : data[k]) ASSERT_EQ(x, static_cast<float>(k * size()));
        // The callbacks of operations that another thread drove may come a moment after wait() has returned.
        eventually([&] { return called_back == kOperations; });
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
        std::mt19937 random(static_cast<unsigned>(rank));
        std::uniform_real_distribution<float> distribution(-1e3f, 1e3f);
        std::vector<std::vector<float>> inputs;
        for (const size_t count : kSizes)
            inputs.push_back(repeated<float>(count, [&](uint64_t) { return distribution(random); }));
        for (int round = 0; round < kRounds; ++round) {
            auto data = inputs;
            std::vector<std::shared_ptr<Operation>> operations;
            for (auto& one : data) {
                std::this_thread::sleep_for(std::chrono::microseconds(delays() % 2000));
                operations.push_back(group.post(all_reduce_of(one, DType::kFloat32)));
                if (delays() % 2 == 0) group.hand_over({&operations.back(), 1});
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

const auto kLayouts = ::testing::Combine(
    ::testing::Values(Hosts{1}, Hosts{2}, Hosts{4}, Hosts{1, 1}, Hosts{1, 1, 1, 1}, Hosts{2, 2}, Hosts{2, 1},
                      Hosts{1, 2}, Hosts{3, 1, 2}, Hosts{2, 2, 2}),
    ::testing::Values(Way{"by_model"}, Way{"flat", Algorithm::kFlat}));

INSTANTIATE_TEST_SUITE_P(Layouts, Collectives, kLayouts, name_of_case<Way>);
INSTANTIATE_TEST_SUITE_P(Layouts, DirectCollectives, kLayouts, name_of_case<Way>);

INSTANTIATE_TEST_SUITE_P(
    Copies, DirectCollectives,
    ::testing::Combine(::testing::Values(Hosts{3}, Hosts{2, 2}),
                       ::testing::Values(Way{.name = "one_copy", .single_copy = SingleCopy::kAll},
                                         Way{.name = "two_copies", .single_copy = SingleCopy::kNone})),
    name_of_case<Way>);

INSTANTIATE_TEST_SUITE_P(
    SlowLinks, DirectCollectives,
    ::testing::Combine(::testing::Values(Hosts{1, 2}, Hosts{2, 2}, Hosts{3, 1, 2}, Hosts{2, 2, 2}),
                       ::testing::Values(Way{.name = "slow", .link = "1,50"},
                                         Way{.name = "slow_looked_on", .looks_on = true, .link = "1,50"})),
    name_of_case<Way>);

// A size table that is meant for groups of several hosts must do no harm in one.
const auto kStages = ::testing::Combine(
    ::testing::Values(Hosts{1}, Hosts{2}, Hosts{3}),
    ::testing::Values(Way{.name = "stages", .stages = true},
                      Way{.name = "stages_doubling", .size_table = kDoubling, .stages = true},
                      Way{.name = "stages_cubes", .size_table = kCubes, .stages = true}));

INSTANTIATE_TEST_SUITE_P(Stages, Collectives, kStages, name_of_case<Way>);
INSTANTIATE_TEST_SUITE_P(Stages, DirectCollectives, kStages, name_of_case<Way>);

const auto kLookedOn =
    ::testing::Combine(::testing::Values(Hosts{2}, Hosts{1, 1, 1}, Hosts{2, 2}, Hosts{3, 1, 2}),
                       ::testing::Values(Way{.name = "looked_on", .looks_on = true}));

INSTANTIATE_TEST_SUITE_P(LookedOn, Collectives, kLookedOn, name_of_case<Way>);
INSTANTIATE_TEST_SUITE_P(LookedOn, DirectCollectives, kLookedOn, name_of_case<Way>);

INSTANTIATE_TEST_SUITE_P(
    Algorithms, Collectives,
    ::testing::Combine(::testing::Values(Hosts{1, 1}, Hosts{1, 1, 1}, Hosts{2, 2, 2},
                                         Hosts{1, 1, 1, 1, 1, 1, 1}),
                       ::testing::Values(Way{"rings", Algorithm::kHierarchical, kRings},
                                         Way{"cubes", Algorithm::kHierarchical, kCubes},
                                         Way{"doubling", Algorithm::kHierarchical, kDoubling},
                                         Way{"streams", Algorithm::kHierarchical, kRings, 3})),
    name_of_case<Way>);

}  // namespace
}  // namespace ring
