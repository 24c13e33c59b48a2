// What a forked child inherits: nothing of it may reach what is its parent's, or what is the child's own.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <latch>

#include "end_process.h"
#include "group.h"
#include "ring/base/fd.h"
#include "ring/base/mapping.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// Runs `body` in a forked child and returns its status: 0 if all went well, else what it returned, or the
// signal that ended it. It is ended where it hangs.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(10);
        int code = 99;
        try {
            code = body();
        } catch (...) {
        }
        end_process(code);
    }
    int status = -1;
    if (::waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool refuses(const std::function<void()>& call) {
    try {
        call();
    } catch (const ConfigError& error) {
        return std::string(error.what()).find("belongs to the parent of this forked process") !=
               std::string::npos;
    }
    return false;
}

TEST(Forks, ACopiedDescriptorDoesNotCloseTheChildsOwn) {
    auto parents = std::make_unique<UniqueFd>(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(in_child([&] {
                  const UniqueFd own(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
                  if (own.get() != parents->get()) return 1;  // the parent's is closed here, its number free
                  UniqueFd moved(std::move(*parents));
                  moved.reset();
                  parents.reset();
                  return ::fcntl(own.get(), F_GETFD) < 0 ? 2 : 0;
              }),
              0);
    EXPECT_GE(::fcntl(parents->get(), F_GETFD), 0);
}

TEST(Forks, SharedMemoryIsNotThereInTheChild) {
    constexpr size_t kBytes = 1 << 16;
    const UniqueFd memory(::memfd_create("fork_test", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(memory.get(), kBytes), 0);
    auto parents = std::make_unique<Mapping>(memory.get(), kBytes);
    std::byte* const at = parents->data();
    EXPECT_EQ(in_child([&] {
                  unsigned char resident[kBytes / 4096];
                  if (::mincore(at, kBytes, resident) == 0 || errno != ENOMEM) return 1;
                  // Something else may lie there now, which is not the copy's to unmap.
                  void* const own = ::mmap(at, kBytes, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                  if (own != at) return 2;
                  parents.reset();
                  return ::mincore(at, kBytes, resident) == 0 ? 0 : 3;
              }),
              0);
    EXPECT_EQ(at[0], std::byte{0});
}

class Forks : public ::testing::TestWithParam<Hosts> {};

// With an operation under way, one thread that drives and so holds the group's lock, and one that waits for
// it.
TEST_P(Forks, TheChildReachesNothingOfTheGroup) {
    const TemporaryFolder folder;
    std::latch forked(1);
    run_ranks(
        GetParam(),
        [&](Engine& engine, const Communicator::Settings& settings) {
            FileStore store(folder.path());
            auto group = Communicator::create(engine, store, settings);
            std::vector<float> data(300'000, 1.0f);
            if (settings.rank != 0) {
                forked.wait();
                run(*group, all_reduce_of(data, DType::kFloat32));
            } else {
                const auto operation = group->post(all_reduce_of(data, DType::kFloat32));
                std::thread driver([&] { group->wait(operation); });
                std::thread follower([&] { group->wait(operation); });
                std::this_thread::sleep_for(milliseconds(100));  // until both are at it; else it tests less
                const int code = in_child([&] {
                    data.assign(data.size(), 100.0f);  // the child's own copy
                    if (!refuses([&] { group->wait(operation); })) return 1;
                    if (!refuses([&] { run(*group, all_reduce_of(data, DType::kFloat32)); })) return 2;
                    if (!refuses([&] { group->set_timeout(milliseconds(1)); })) return 3;
                    group->hand_over({&operation, 1});
                    group->abort("the child says so");
                    if (!group->failure().has_value() || group->operations_posted() != 1) return 4;
                    group->shutdown();
                    if (&Engine::of_process() == &engine) return 5;
                    group.reset();
                    return operation->done() ? 6 : 0;
                });
                EXPECT_EQ(code, 0);
                forked.count_down();
                driver.join();
                follower.join();
            }
            EXPECT_EQ(data, std::vector<float>(data.size(), static_cast<float>(settings.size)));
            run(*group, all_reduce_of(data, DType::kFloat32));
            group->shutdown();
        },
        std::chrono::seconds(30));
}

INSTANTIATE_TEST_SUITE_P(Layouts, Forks, ::testing::Values(Hosts{2}, Hosts{2, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

// A child that comes back from the callback that forked it finds no group either.
TEST(Forks, InACallbackLeaveTheGroupAlone) {
    run_group({2}, [](Communicator& group) {
        std::vector<float> data(10, 1.0f);
        std::atomic<pid_t> child{-1};
        const auto caller = std::this_thread::get_id();
        const auto operation =
            group.post(all_reduce_of(data, DType::kFloat32), std::nullopt, [&](std::exception_ptr) {
                const Communicator::Foreign foreign(group);
                if (group.layout().rank() == 0) child = ::fork();
                if (child != 0) return;
                ::alarm(10);
                // A progress thread that is alone in a child comes to its end and runs what is to run at
                // exit, which ThreadSanitizer does not survive after a fork.
                if (kThreadSanitizer && std::this_thread::get_id() != caller) end_process(0);
            });
        const auto again = group.post(all_reduce_of(data, DType::kFloat32));
        if (group.layout().rank() != 0) {
            group.wait(operation);
        } else {
            const bool refused = refuses([&] {
                group.wait(operation);
                group.wait(again);
            });
            if (child == 0) end_process(refused ? 0 : 1);
            EXPECT_FALSE(refused);
            // The progress thread may have ended both, and be about to call back.
            ASSERT_TRUE(eventually([&] { return child != -1; }));
            int status = -1;
            EXPECT_EQ(::waitpid(child, &status, 0), child);
            EXPECT_EQ(status, 0);
        }
        group.wait(again);
        EXPECT_EQ(data, std::vector<float>(10, 4.0f));
    });
}

}  // namespace
}  // namespace ring
