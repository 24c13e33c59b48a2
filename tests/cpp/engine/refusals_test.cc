// Sandboxes that refuse system calls, limits that are reached: there is another way, or an error that says
// so.
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <csignal>
#include <fstream>
#include <latch>

#include "processes.h"
#include "refused.h"
#include "ring/base/random.h"
#include "ring/transport/shm/lifeline.h"
#include "ring/transport/shm/memory.h"

namespace ring {
namespace {

using namespace ring::testing;

// One that has no processes yet, so that a limit can be reached; or, for who may not change, other numbers.
void become_another_user() {
    constexpr uid_t kNobodyElse = 54'321;
    if (::geteuid() == 0 ? ::setresuid(kNobodyElse, kNobodyElse, kNobodyElse) != 0
                         : ::unshare(CLONE_NEWUSER) != 0)
        throw_errno("becoming another user");
}

struct Refused {
    const char* name;
    std::vector<RefusedCall> calls;
};

const Refused kRefusals[] = {
    {"pidfd_open", {SYS_pidfd_open}},
    {"memfd_create", {SYS_memfd_create}},
    {"getrandom", {SYS_getrandom}},
    {"timerfd_create", {SYS_timerfd_create}},
    {"eventfd2", {SYS_eventfd2}},
    {"process_vm_readv", {SYS_process_vm_readv}},
    {"membarrier", {SYS_membarrier}},
    {"accept4", {SYS_accept4}},
    {"sched_getaffinity", {SYS_sched_getaffinity}},
    {"madvise", {SYS_madvise}},
    {"all_of_them",
     {SYS_pidfd_open, SYS_memfd_create, SYS_getrandom, SYS_timerfd_create, SYS_eventfd2, SYS_process_vm_readv,
      SYS_membarrier, SYS_accept4, SYS_sched_getaffinity, SYS_madvise}},
};

// Small, large, waited for and not, messages; then a rank is killed, and missed soon.
int work(Communicator& group) {
    const int rank = group.layout().rank();
    const int size = group.layout().size();
    for (const size_t count : {size_t{10}, size_t{1'000'000}}) {
        std::vector<float> data(count, 1.0f);
        run(group, all_reduce_of(data, DType::kFloat32));
        const std::vector posted{group.post(all_reduce_of(data, DType::kFloat32))};
        group.hand_over(posted);
        look_on(posted[0]);
        if (data != std::vector<float>(count, static_cast<float>(size * size))) return kWrong;
        std::vector<float> got(count);
        Arguments send{.signature = signature(Collective::kSend, DType::kFloat32, count, ReduceOp::kNone,
                                              (rank + 1) % size),
                       .input = data.data(),
                       .inputs = {},
                       .outputs = {}};
        Arguments receive{.signature = signature(Collective::kRecv, DType::kFloat32, count, ReduceOp::kNone,
                                                 (rank + size - 1) % size),
                          .output = got.data(),
                          .inputs = {},
                          .outputs = {}};
        const auto sent = group.post(send);
        run(group, receive);
        group.wait(sent);
        if (got != data) return kWrong;
    }
    if (rank == 0) ::raise(SIGKILL);
    std::vector<float> data(10, 1.0f);
    return check_death([&] { run(group, all_reduce_of(data, DType::kFloat32)); }, 0);
}

class Refusals : public ::testing::TestWithParam<std::tuple<Hosts, Refused, int>> {};

TEST_P(Refusals, AreMadeUpFor) {
    const auto& [hosts, refused, error] = GetParam();
    const auto codes = run_processes(hosts, work, [&](int) { refuse(refused.calls, error); });
    std::vector<int> expected(static_cast<size_t>(ranks_of(hosts)), kFine);
    expected.front() = 1000 + SIGKILL;
    EXPECT_EQ(codes, expected);
}

INSTANTIATE_TEST_SUITE_P(Calls, Refusals,
                         ::testing::Combine(::testing::Values(Hosts{2}, Hosts{2, 1}),
                                            ::testing::ValuesIn(kRefusals), ::testing::Values(EPERM, ENOSYS)),
                         [](const auto& info) {
                             return "hosts_" + name_of_layout(std::get<0>(info.param)) + "_" +
                                    std::get<1>(info.param).name +
                                    (std::get<2>(info.param) == EPERM ? "_EPERM" : "_ENOSYS");
                         });

// On one rank only: the profiles of two containers may differ.
TEST(Refusal, OfPidfdsOnOneRankIsMadeUpFor) {
    const auto codes = run_processes({2}, work, [](int rank) {
        if (rank == 1) refuse({SYS_pidfd_open}, EPERM);
    });
    EXPECT_EQ(codes, (std::vector<int>{1000 + SIGKILL, kFine}));
}

// What the group's forming throws on each rank, and whether it does so soon: the codes of `judge`.
std::vector<int> form(const Hosts& hosts, const std::function<void(int)>& before,
                      const std::function<bool(const std::string&)>& judge) {
    const TemporaryFolder folder;
    ::chmod(folder.path().c_str(), 0777);
    std::vector<int> codes;
    std::vector<pid_t> pids;
    for (int rank = 0; rank < ranks_of(hosts); ++rank) {
        const pid_t pid = ::fork();
        if (pid != 0) {
            pids.push_back(pid);
            continue;
        }
        ::alarm(10);
        const auto start = Clock::now();
        std::string text = "no error";
        try {
            ::umask(0);
            before(rank);
            FileStore store(folder.path());
            Communicator::create(Engine::of_process(), store,
                                 {.rank = rank,
                                  .size = ranks_of(hosts),
                                  .timeout = std::chrono::seconds(30),
                                  .store_host = "127.0.0.1",
                                  .host_id = "test-host"});
        } catch (const std::exception& error) {
            text = error.what();
        }
        const bool right = judge(text) && Clock::now() - start < std::chrono::seconds(5);
        if (!right) std::fprintf(stderr, "rank %d: %s\n", rank, text.c_str());
        end_process(right ? kFine : kWrong);
    }
    for (const pid_t pid : pids) {
        int status = -1;
        ::waitpid(pid, &status, 0);
        codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    }
    return codes;
}

TEST(Refusal, OfAllSharedMemoryIsAnErrorOnAllRanksOfTheHost) {
    const auto codes = form(
        {3},
        [](int) {
            refuse({SYS_memfd_create}, EPERM);
            // What is left is a file, which must not be so large.
            (void)std::signal(SIGXFSZ, SIG_IGN);
            const rlimit small{.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
            if (::setrlimit(RLIMIT_FSIZE, &small) != 0) throw_errno("setrlimit");
        },
        [](const std::string& text) {
            return text.find("memfd_create: Operation not permitted") != std::string::npos &&
                   text.find("/dev/shm") != std::string::npos && text.find("--shm-size") != std::string::npos;
        });
    EXPECT_EQ(codes, std::vector<int>(3, kFine));
}

TEST(Refusal, OfDifferentUsersOnAHostIsAnErrorOnAllRanks) {
    const auto codes = form(
        {3},
        [](int rank) {
            if (rank == 1) become_another_user();
        },
        [](const std::string& text) {
            return text.find("ranks 0 and 1 of host test-host run under different users") !=
                   std::string::npos;
        });
    EXPECT_EQ(codes, std::vector<int>(3, kFine));
}

TEST(SharedMemory, ComesFromAFileWhereMemfdIsRefused) {
    const auto codes = run_processes({1}, [](Communicator&) {
        refuse({SYS_memfd_create}, ENOSYS);
        constexpr size_t kBytes = 1 << 20;
        const UniqueFd memory = make_shared_memory(kBytes);
        struct stat info{};
        if (::fstat(memory.get(), &info) != 0 || info.st_size != kBytes || info.st_nlink != 0) return 2;
        if (static_cast<size_t>(info.st_blocks) * 512 < kBytes) return 3;  // all pages are taken
        try {
            (void)make_shared_memory(kBytes, "/proc");
        } catch (const Error&) {
            return kFine;
        }
        return 4;
    });
    EXPECT_EQ(codes, std::vector<int>{kFine});
}

TEST(Lifelines, BreakAtTheEndOfTheProcess) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(10);
        const Lifeline own;
        if (::write(ends[1], own.name().data(), own.name().size()) < 0) end_process(1);
        ::pause();
    }
    char name[200];
    const ssize_t length = ::read(ends[0], name, sizeof(name));
    ASSERT_GT(length, 0);
    const std::string lifeline(name, static_cast<size_t>(length));
    const UniqueFd held = Lifeline::hold(lifeline);
    const UniqueFd again = Lifeline::hold(lifeline);
    ASSERT_TRUE(held && again);
    pollfd watched{held.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&watched, 1, 0), 0);
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    EXPECT_EQ(::poll(&watched, 1, 5000), 1);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(Lifeline::hold(lifeline));
    ::close(ends[0]);
    ::close(ends[1]);
}

// Runs `body` where this process may have no further thread, as a user of its own; then where it may again.
int without_threads(const std::function<int()>& before, const std::function<int()>& body,
                    const std::function<int()>& after) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);
        if (::geteuid() == 0) become_another_user();
        int code = before();
        rlimit limit{};
        ::getrlimit(RLIMIT_NPROC, &limit);
        const rlim_t usual = std::exchange(limit.rlim_cur, 1);
        ::setrlimit(RLIMIT_NPROC, &limit);
        if (code == kFine) code = body();
        limit.rlim_cur = usual;
        ::setrlimit(RLIMIT_NPROC, &limit);
        if (code == kFine) code = after();
        end_process(code);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST(Threads, ThatCannotBeStartedAreAnErrorOfTheCaller) {
    const auto nothing = [] { return kFine; };
    const auto refused = [] {
        for (int again = 0; again < 2; ++again) try {
                Engine::of_process();
                return 2;
            } catch (const Error& error) {
                if (std::string(error.what()).find("cannot start a progress thread") == std::string::npos)
                    return 3;
            }
        return Engine::if_any() == nullptr ? kFine : 4;
    };
    const auto allowed = [] {
        Engine::of_process();
        return Engine::if_any() != nullptr ? kFine : 5;
    };
    EXPECT_EQ(without_threads(nothing, refused, allowed), kFine);
}

// The one that would stand by while a callback runs: callbacks are run all the same.
TEST(Threads, ThatCannotStandByAreDoneWithout) {
    const TemporaryFolder folder;
    ::chmod(folder.path().c_str(), 0777);
    std::shared_ptr<Communicator> group;
    std::vector<float> data(1'000'000, 1.0f);
    std::atomic<int> called{0};
    const auto call = [&] {
        for (int k = 1; k <= 3; ++k) {
            const std::vector posted{
                group->post(all_reduce_of(data, DType::kFloat32), std::nullopt, [&](std::exception_ptr) {
                    const Communicator::Foreign foreign(*group);
                    ++called;
                })};
            group->hand_over(posted);
            look_on(posted[0]);
        }
        return eventually([&] { return called.load() % 3 == 0; }) ? kFine : 2;
    };
    const auto form = [&] {
        FileStore store(folder.path());
        group = Communicator::create(Engine::of_process(), store, {.rank = 0, .size = 1, .host_id = "h"});
        return kFine;
    };
    EXPECT_EQ(without_threads(form, call, call), kFine);
}

// Shared memory of this process, in KB.
long shared_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string field; status >> field;)
        if (field == "RssShmem:") {
            long kilobytes = 0;
            status >> kilobytes;
            return kilobytes;
        }
    return -1;
}

TEST(Memory, IsGivenBackWhenTheGroupIsShutDownAndStillReferredTo) {
    constexpr int kRanks = 4;
    const TemporaryFolder folder;
    std::latch worked(kRanks);
    std::latch left(kRanks);
    const long before = shared_memory();
    run_ranks(
        {kRanks},
        [&](Engine& engine, const Communicator::Settings& settings) {
            FileStore store(folder.path());
            const auto group = Communicator::create(engine, store, settings);
            std::vector<float> data(4'000'000, 1.0f);
            run(*group, all_reduce_of(data, DType::kFloat32));
            worked.arrive_and_wait();
            EXPECT_GT(shared_memory(), before + 2000);
            left.arrive_and_wait();
            group->shutdown();
            EXPECT_TRUE(eventually([&] { return shared_memory() < before + 200; })) << shared_memory();
            EXPECT_THROW(run(*group, all_reduce_of(data, DType::kFloat32)), AbortedError);
        },
        std::chrono::seconds(30));
}

}  // namespace
}  // namespace ring
