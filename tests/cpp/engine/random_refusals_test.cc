// Random sandboxes: some system calls are refused to some ranks from a random moment on, with a random error.
// All goes on with the right values; or, where there is no other way, the group that is being formed fails
// with one error on all ranks, soon, that names what was refused, and the groups that are there go on.
#include <fcntl.h>
#include <sys/socket.h>

#include <csignal>
#include <set>

#include "calls.h"
#include "processes.h"
#include "refused.h"

namespace ring {
namespace {

using namespace ring::testing;

struct Refusable {
    const char* name;  // as an error has to call it
    RefusedCall call;
};

// What gloo does without. Of these each has a fallback,
const Refusable kReplaceable[] = {
    {"pidfd_open", SYS_pidfd_open},
    {"memfd_create", SYS_memfd_create},
    {"ftruncate", SYS_ftruncate},
    {"F_ADD_SEALS", {SYS_fcntl, {1, F_ADD_SEALS}}},
    {"getrandom", SYS_getrandom},
    {"timerfd_create", SYS_timerfd_create},
    {"timerfd_settime", SYS_timerfd_settime},
    {"eventfd2", SYS_eventfd2},
    {"process_vm_readv", SYS_process_vm_readv},
    {"membarrier", SYS_membarrier},
    {"accept4", SYS_accept4},
    {"sched_getaffinity", SYS_sched_getaffinity},
    {"sched_yield", SYS_sched_yield},
    {"madvise", SYS_madvise},
    {"kill", SYS_kill},
    {"prlimit64", SYS_prlimit64},
    {"ioctl", SYS_ioctl},
    {"uname", SYS_uname},
};
// and these are fallbacks, or have none.
const Refusable kLast[] = {
    {"fallocate", SYS_fallocate},
    {"pipe2", SYS_pipe2},
    {"socket(AF_UNIX)", {SYS_socket, {0, AF_UNIX}}},
};
constexpr int kErrors[] = {EPERM, EACCES, ENOSYS, EINVAL, EOPNOTSUPP};

enum class Ending { kLeave, kExit, kKill };

class Case {
  public:
    Case(unsigned seed, int size) : seed_(seed), random_(seed) {
        choose_refusals();
        error_ = kErrors[below(random_, std::size(kErrors))];
        std::vector<int> all(static_cast<size_t>(size));
        std::iota(all.begin(), all.end(), 0);
        members_ = {all, {all.rbegin(), all.rend()}};
        calls_ = random_calls(random_, {all}, 0);
        second_from_ = calls_.size();
        const auto more = random_calls(random_, members_, 100);
        calls_.insert(calls_.end(), more.begin(), more.end());
        for (int rank = 0; rank < size; ++rank)
            from_.push_back(below(random_, 3) == 0 ? calls_.size() + 1 : random_moment());
        if (from_ == std::vector<size_t>(from_.size(), calls_.size() + 1)) from_[0] = 0;
        constexpr Ending kEndings[] = {Ending::kLeave, Ending::kExit, Ending::kKill};
        ending_ = kEndings[below(random_, std::size(kEndings))];
    }

    const Members& members() const { return members_; }
    const std::vector<RandomCall>& calls() const { return calls_; }
    // The second group is formed before this call.
    size_t second_from() const { return second_from_; }
    Ending ending() const { return ending_; }
    unsigned seed_of(int rank) const { return seed_ * 10 + static_cast<unsigned>(rank); }

    // To be called before anything else (moment 0), once the group has formed (1), and after each call.
    void come_to(size_t moment, int rank) const {
        if (from_[static_cast<size_t>(rank)] != moment) return;
        std::vector<RefusedCall> calls;
        for (const Refusable& one : refused_) calls.push_back(one.call);
        refuse(calls, error_);
    }

    // Whether there is no other way somewhere, and the error names what would have been.
    bool excuses(const std::string& text) const {
        if (!(has({"socket(AF_UNIX)"}) || (has({"eventfd2"}) && has({"pipe2"})) ||
              (has({"memfd_create", "ftruncate", "F_ADD_SEALS"}) && has({"fallocate"}))))
            return false;
        return std::any_of(refused_.begin(), refused_.end(),
                           [&](const Refusable& one) { return text.find(one.name) != std::string::npos; }) &&
               text.find(std::strerror(error_)) != std::string::npos;
    }

    std::string text() const {
        std::string text = "refused with " + std::string(std::strerror(error_)) + ":";
        for (const Refusable& one : refused_) text += std::string(" ") + one.name;
        text += "; from the moment (by rank):";
        for (const size_t from : from_) text += " " + std::to_string(from);
        return text + "; the second group comes before call " + std::to_string(second_from_) + " of " +
               std::to_string(calls_.size()) + "; at the end " +
               (ending_ == Ending::kLeave  ? "all leave"
                : ending_ == Ending::kExit ? "all exit"
                                           : "rank 0 is killed");
    }

  private:
    void choose_refusals() {
        for (const Refusable& one : kReplaceable)
            if (below(random_, 4) == 0) refused_.push_back(one);
        if (below(random_, 2) == 0) refused_.push_back(kLast[below(random_, std::size(kLast))]);
        if (refused_.empty()) refused_.push_back(kReplaceable[below(random_, std::size(kReplaceable))]);
    }

    // As often before the first group, as after it, as before the second, as anywhere.
    size_t random_moment() {
        const size_t moments[] = {0, 1, second_from_, below(random_, calls_.size() + 1)};
        return moments[below(random_, std::size(moments))];
    }

    bool has(const std::set<std::string>& names) const {
        return std::any_of(refused_.begin(), refused_.end(),
                           [&](const Refusable& one) { return names.count(one.name) != 0; });
    }

    const unsigned seed_;
    Random random_;
    std::vector<Refusable> refused_;
    int error_ = 0;
    Members members_;
    std::vector<RandomCall> calls_;
    size_t second_from_ = 0;
    std::vector<size_t> from_;  // by rank: the moment from which they are refused to it
    Ending ending_;
};

constexpr milliseconds kSoon{5000};  // the groups' timeout is 20 s
constexpr int kExcused = 2;

// One rank's life in a case.
class Life {
  public:
    Life(const Case& one, const Communicator::Settings& settings, std::filesystem::path folder)
        : case_(one), settings_(settings), folder_(std::move(folder)), random_(one.seed_of(settings.rank)) {}

    int live() {
        case_.come_to(0, settings_.rank);
        groups_[0] = form(0);
        if (groups_[0] == nullptr) return result_;
        case_.come_to(1, settings_.rank);
        for (size_t number = 0; number < case_.calls().size(); ++number) {
            if (number == case_.second_from()) groups_[1] = form(1);
            if (!play(case_.calls()[number])) return kWrong;
            case_.come_to(number + 2, settings_.rank);
        }
        for (const Posted& posted : open_)
            if (!finish(posted, true)) return kWrong;
        return end();
    }

  private:
    struct Posted {
        std::unique_ptr<Part> part;
        std::shared_ptr<Communicator> group;
        std::shared_ptr<Operation> operation;
    };

    // As the adapter to torch does it. Null where it cannot be formed, with the result of that.
    std::shared_ptr<Communicator> form(size_t which) {
        const auto& members = case_.members()[which];
        Communicator::Settings own = settings_;
        own.rank =
            static_cast<int>(std::find(members.begin(), members.end(), settings_.rank) - members.begin());
        const auto place = folder_ / std::to_string(which);
        std::filesystem::create_directories(place);
        const auto start = Clock::now();
        std::string text;
        try {
            FileStore store(place);
            Engine* engine = nullptr;
            try {
                engine = &Engine::of_process();
            } catch (...) {
                Communicator::refuse(store, own, std::current_exception());
                throw;
            }
            return Communicator::create(*engine, store, own);
        } catch (const std::exception& error) {
            text = error.what();
        }
        const bool right = case_.excuses(text) && Clock::now() - start < kSoon;
        if (!right)
            std::fprintf(stderr, "rank %d, forming group %zu: %s\n", settings_.rank, which, text.c_str());
        result_ = right ? kExcused : kWrong;
        return nullptr;
    }

    bool play(const RandomCall& call) {
        const auto& group = groups_[call.group];
        if (group == nullptr) return true;
        const int rank = group->layout().rank();
        if (call.kind == Collective::kSend && rank != call.root && rank != call.to) return true;
        Posted posted{std::make_unique<Part>(call, rank), group, nullptr};
        posted.operation = group->post(posted.part->arguments());
        const size_t how = below(random_, 3);
        if (how > 0) group->hand_over({&posted.operation, 1});
        if (how < 2) return finish(posted, how == 0);
        open_.push_back(std::move(posted));
        return true;
    }

    bool finish(const Posted& posted, bool waits) {
        const auto start = Clock::now();
        try {
            if (waits) {
                posted.group->wait(posted.operation);
            } else {
                look_on(posted.operation);
            }
            posted.part->check();
        } catch (const std::exception& error) {
            ADD_FAILURE() << error.what();
        }
        if (Clock::now() - start > kSoon) ADD_FAILURE() << "it took too long";
        if (!::testing::Test::HasFailure()) return true;
        std::fprintf(stderr, "rank %d: %s\n", settings_.rank,
                     ring::describe(posted.part->arguments().signature).c_str());
        return false;
    }

    int end() {
        Communicator& group = *groups_[0];
        Arguments barrier;
        barrier.signature = signature(Collective::kBarrier, DType::kUInt8, 0);
        run(group, barrier);
        if (case_.ending() == Ending::kKill) {
            if (settings_.rank == 0) ::raise(SIGKILL);
            if (check_death([&] { run(group, barrier); }, 0) != kFine) return kWrong;
        }
        if (case_.ending() == Ending::kLeave) {
            if (groups_[1] != nullptr) groups_[1]->shutdown();
            group.shutdown();
        }
        return result_;
    }

    const Case& case_;
    const Communicator::Settings& settings_;
    const std::filesystem::path folder_;
    Random random_;
    std::shared_ptr<Communicator> groups_[2];
    std::vector<Posted> open_;
    int result_ = kFine;
};

class RandomRefusals : public ::testing::TestWithParam<Hosts> {};

TEST_P(RandomRefusals, AreMadeUpForOrToldToAll) {
    const int size = ranks_of(GetParam());
    const unsigned cases = how_many_cases(25);
    for (unsigned seed = first_seed(); seed < first_seed() + cases; ++seed) {
        const Case one(seed, size);
        const TemporaryFolder folder;
        const auto codes = run_rank_processes(GetParam(), [&](const Communicator::Settings& settings) {
            const int code = Life(one, settings, folder.path()).live();
            end_process(code);
            return code;
        });
        const bool excused = codes.back() == kExcused;  // the last one is not killed
        std::vector<int> expected(codes.size(), excused ? kExcused : kFine);
        if (codes.front() == 1000 + SIGKILL && one.ending() == Ending::kKill)
            expected.front() = codes.front();
        ASSERT_EQ(codes, expected) << one.text() << "\nagain with RING_TEST_SEED=" << seed
                                   << " RING_TEST_CASES=1";
    }
}

INSTANTIATE_TEST_SUITE_P(Layouts, RandomRefusals,
                         ::testing::Values(Hosts{2}, Hosts{3}, Hosts{1, 1}, Hosts{2, 1}, Hosts{1, 2}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
