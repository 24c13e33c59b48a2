// The progress thread is replaced while a callback of the user's holds it up; nothing it was told is lost.
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "group.h"

namespace ring {
namespace {

using namespace ring::testing;

class Leaders : public ::testing::TestWithParam<Hosts> {};

// The progress thread is told of two groups at once: of one whose callback holds it up, and of an idle one
// that has failed. Which comes first is up to where they lie in memory.
TEST_P(Leaders, AnIdleGroupHearsOfAFailureWhateverHoldsUpTheProgressThread) {
    constexpr int kGroups = 3;
    constexpr int kUnknown = -1;
    std::array<TemporaryFolder, kGroups> folders;
    // Sequentially consistent all: rank 0 says which of its groups has which part, rank 1 when it has done
    // its.
    std::array<std::atomic<int>, kGroups> parts{kUnknown, kUnknown, kUnknown};
    std::atomic<bool> stalled{false};
    std::atomic<bool> done{false};
    run_ranks(
        GetParam(),
        [&](Engine& engine, const Communicator::Settings& settings) {
            std::vector<std::shared_ptr<Communicator>> groups;
            for (const TemporaryFolder& folder : folders) {
                FileStore store(folder.path());
                groups.push_back(Communicator::create(engine, store, settings));
            }
            std::array<std::vector<float>, kGroups> data;
            data.fill(std::vector<float>(100'000));
            const auto part = [&](int which) {
                for (int g = 0; g < kGroups; ++g)
                    if (parts[g].load() == which) return g;
                return kUnknown;
            };
            const auto post = [&](int g, Operation::OnDone on_done) {
                const auto operation = groups[g]->post(all_reduce_of(data[g], DType::kFloat32), std::nullopt,
                                                       std::move(on_done));
                groups[g]->hand_over({&operation, 1});
                return operation;
            };
            if (settings.rank == 1) {
                ASSERT_TRUE(eventually([&] { return part(2) != kUnknown; }));
                const auto stalling = post(part(1), nullptr);
                ASSERT_TRUE(eventually([&] { return stalled.load(); }));
                groups[part(2)]->abort("the test says so");
                const auto foreign = post(part(0), nullptr);
                ASSERT_TRUE(eventually([&] { return done.load(); }));
                for (const auto& group : groups) group->shutdown();
                return;
            }
            // In the order in which the engine serves them.
            std::array<int, kGroups> order{0, 1, 2};
            std::ranges::sort(order, {}, [&](int g) { return groups[g].get(); });
            const auto readable = [&](int g) {
                pollfd events{groups[g]->epoll_fd(), POLLIN, 0};
                return ::poll(&events, 1, 0) == 1;
            };
            std::atomic<bool> heard{false};
            const auto foreign = post(order[0], [&](std::exception_ptr) {
                const Communicator::Foreign held(*groups[order[0]]);
                heard = eventually([&] { return groups[order[2]]->failure().has_value(); });
            });
            // Without Foreign nobody stands in for the progress thread: it is told of both others at once.
            const auto stalling = post(order[1], [&](std::exception_ptr) {
                stalled = true;
                eventually([&] { return readable(order[0]) && readable(order[2]); });
            });
            for (int which = 0; which < kGroups; ++which) parts[order[which]] = which;
            ASSERT_TRUE(eventually([&] { return foreign->done() && heard.load(); }))
                << "the idle group has not heard of its failure";
            done = true;
            for (const auto& group : groups) group->shutdown();
        },
        std::chrono::seconds(60));
}

INSTANTIATE_TEST_SUITE_P(Layouts, Leaders, ::testing::Values(Hosts{2}, Hosts{1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
