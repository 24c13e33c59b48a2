// What goes on when nobody waits: in the thread that posts, and in the one progress thread of several groups.
#include <array>
#include <atomic>

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

// One has work for a long time, and never has to wait. More is added as it ends, so that it does not matter
// how late the ranks' own threads notice.
TEST_P(Groups, TakeTurns) {
    constexpr int kAhead = 100;
    constexpr size_t kCount = kThreadSanitizer ? 1 << 16 : 1 << 20;
    std::array<std::shared_ptr<Operation>, 2> short_work;
    std::atomic<int> handed_over{0};  // of those, sequentially consistent as what follows
    std::atomic<int> added{0};        // to the long work, by both ranks; rank 0 says how many
    std::atomic<bool> all{false};
    run_groups(GetParam(), [&](Communicator& busy, Communicator& other) {
        const int me = busy.layout().rank();
        std::vector<std::vector<float>> data(kAhead, std::vector<float>(kCount, static_cast<float>(me)));
        std::vector<std::shared_ptr<Operation>> long_work(kAhead);
        int posted = 0;
        const auto post = [&] {
            const int slot = posted++ % kAhead;
            long_work[slot] = busy.post(all_reduce_of(data[slot], DType::kFloat32, ReduceOp::kMax));
            busy.hand_over({&long_work[slot], 1});
        };
        while (posted < kAhead) post();
        std::vector<float> few(10, 1.0f);
        short_work[me] = other.post(all_reduce_of(few, DType::kFloat32));
        other.hand_over({&short_work[me], 1});
        ++handed_over;
        EXPECT_TRUE(eventually([&] {
            const bool more = handed_over.load() == 2 && long_work[posted % kAhead]->done();
            if (me == 0 && !all.load()) {
                if (handed_over.load() == 2)
                    all = added.load() == kAhead || (short_work[0]->done() && short_work[1]->done());
                if (more && !all.load()) ++added;
            }
            if (more && posted < kAhead + added.load()) post();
            return all.load() && posted == kAhead + added.load();
        }));
        EXPECT_LT(added.load(), kAhead) << "the other group has to wait until this one has ended";
        for (const auto& operation : long_work) busy.wait(operation);
        other.wait(short_work[me]);
        EXPECT_EQ(few, std::vector<float>(10, 2.0f));
        for (const auto& one : data) ASSERT_TRUE(same(one, std::vector<float>(kCount, 1.0f)));
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, Groups, ::testing::Values(Hosts{2}, Hosts{1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

class Posting : public ::testing::TestWithParam<Hosts> {};

// With the last rank a small collective is complete, and that rank need not wait for any thread to notice.
TEST_P(Posting, EndsWhatAllOthersHaveEntered) {
    const int others = ranks_of(GetParam()) - 1;
    constexpr int kRounds = 100;
    std::atomic<int> entered{0};  // by the others, in all rounds
    int at_once = 0;              // of the last rank alone
    run_group(GetParam(), [&](Communicator& group) {
        const bool last = group.layout().rank() == others;
        for (int round = 1; round <= kRounds; ++round) {
            std::vector<int32_t> data(100, round);
            if (last) {
                ASSERT_TRUE(eventually([&] { return entered.load() == round * others; }));
            }
            std::atomic<bool> called_back{false};
            const std::vector posted{group.post(all_reduce_of(data, DType::kInt32), std::nullopt,
                                                [&](std::exception_ptr) { called_back.store(true); })};
            group.hand_over(posted);
            if (last) {
                at_once += posted[0]->done() && called_back.load() ? 1 : 0;
            } else {
                ++entered;
            }
            look_on(posted[0]);
            ASSERT_EQ(data, std::vector<int32_t>(100, round * (others + 1)));
            ASSERT_TRUE(eventually([&] { return called_back.load(); }));
        }
    });
    // Not always: the progress thread may be looking at the group just then, and goes on instead.
    EXPECT_GE(at_once, kRounds / 2);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Posting, ::testing::Values(Hosts{1}, Hosts{2}, Hosts{4}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
