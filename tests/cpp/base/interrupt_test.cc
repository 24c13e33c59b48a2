// What interrupts the waits of the main thread: only its own, soon, and without harm to the operation.
#include "ring/base/interrupt.h"

#include <future>

#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

struct Interruption {};

std::atomic<int> asked{0};

class Interrupted : public ::testing::TestWithParam<Hosts> {
  protected:
    ~Interrupted() override { set_interrupt_check(nullptr); }

    // Runs rank 1 in a thread, rank 0 here in the main one.
    static void run_two(const Hosts& hosts, const std::function<void(Communicator&)>& first,
                        const std::function<void(Communicator&)>& second) {
        const TemporaryFolder folder;
        const auto run = [&](int rank, const std::function<void(Communicator&)>& body) {
            Engine engine;
            FileStore store(folder.path());
            const std::string host = hosts.size() > 1 ? "host-" + std::to_string(rank) : "host";
            const auto group = Communicator::create(engine, store,
                                                    {.rank = rank,
                                                     .size = 2,
                                                     .timeout = std::chrono::seconds(20),
                                                     .store_host = "127.0.0.1",
                                                     .host_id = host});
            body(*group);
            group->shutdown();
        };
        auto other = std::async(std::launch::async, [&] { run(1, second); });
        run(0, first);
        other.get();
    }
};

TEST_P(Interrupted, WaitIsLeftAndTheOperationGoesOn) {
    for (const size_t count : {size_t{3}, size_t{1} << 20}) {
        std::vector<float> mine(count, 1);
        std::vector<float> theirs(count, 2);
        std::promise<void> left;
        run_two(
            GetParam(),
            [&](Communicator& group) {
                const auto operation = group.post(all_reduce_of(mine, DType::kFloat32));
                set_interrupt_check([] { throw Interruption(); });
                const auto began = Clock::now();
                EXPECT_THROW(group.wait(operation), Interruption);
                EXPECT_LT(Clock::now() - began, std::chrono::seconds(1));
                EXPECT_FALSE(operation->done());
                set_interrupt_check(nullptr);
                left.set_value();
                look_on(operation);
                EXPECT_EQ(mine.front(), 3);
                EXPECT_EQ(mine.back(), 3);
            },
            [&](Communicator& group) {
                EXPECT_EQ(left.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
                group.wait(group.post(all_reduce_of(theirs, DType::kFloat32)));
            });
    }
}

TEST_P(Interrupted, OtherThreadsAreNotAsked) {
    asked.store(0, std::memory_order_relaxed);
    set_interrupt_check([] { asked.fetch_add(1, std::memory_order_relaxed); });
    std::vector<float> mine(3, 1);
    std::vector<float> theirs(3, 2);
    run_two(
        GetParam(),
        [&](Communicator& group) {
            // Comes late, without waiting for anything itself.
            const int before = asked.load(std::memory_order_relaxed);
            std::this_thread::sleep_for(3 * kInterruptEvery);
            EXPECT_EQ(asked.load(std::memory_order_relaxed), before);
            group.wait(group.post(all_reduce_of(mine, DType::kFloat32)));
        },
        [&](Communicator& group) { group.wait(group.post(all_reduce_of(theirs, DType::kFloat32))); });
    EXPECT_EQ(mine.front(), 3);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Interrupted, ::testing::Values(Hosts{2}, Hosts{1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
