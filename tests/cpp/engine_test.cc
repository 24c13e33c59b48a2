// Several groups over one engine: whom its one progress thread serves when nobody waits.
#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// All ranks are in both groups, over one engine each.
void run_groups(const Hosts& hosts, const std::function<void(Communicator&, Communicator&)>& body) {
    const TemporaryFolder first, second;
    run_ranks(
        hosts,
        [&](Engine& engine, const Communicator::Settings& settings) {
            FileStore one(first.path());
            FileStore other(second.path());
            const auto a = Communicator::create(engine, one, settings);
            const auto b = Communicator::create(engine, other, settings);
            body(*a, *b);
            a->shutdown();
            b->shutdown();
        },
        std::chrono::seconds(60));
}

class Groups : public ::testing::TestWithParam<Hosts> {};

// One has work for a long time, and never has to wait.
TEST_P(Groups, TakeTurns) {
    run_groups(GetParam(), [](Communicator& busy, Communicator& other) {
        constexpr int kOperations = kThreadSanitizer ? 12 : 100;
        std::vector<std::vector<float>> data(kOperations, std::vector<float>(1 << 20, 1.0f));
        std::vector<std::shared_ptr<Operation>> long_work;
        for (auto& one : data) {
            long_work.push_back(busy.post(all_reduce_of(one, DType::kFloat32)));
            busy.hand_over({&long_work.back(), 1});
        }
        std::vector<float> few(10, 1.0f);
        const std::vector short_work{other.post(all_reduce_of(few, DType::kFloat32))};
        other.hand_over(short_work);
        const Deadline deadline = Deadline::after(std::chrono::seconds(30));
        while (!short_work[0]->done() && !deadline.passed())
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        ASSERT_TRUE(short_work[0]->done());
        EXPECT_EQ(few, std::vector<float>(10, 2.0f));
        EXPECT_FALSE(long_work.back()->done()) << "the other group had to wait until this one had ended";
        for (const auto& operation : long_work) busy.wait(operation);
        for (const auto& one : data) ASSERT_EQ(one, std::vector<float>(1 << 20, 2.0f));
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, Groups, ::testing::Values(Hosts{2}, Hosts{1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
