// Random ends: processes make random calls, and each ends in a random way after the last of its own, early or
// not. What a returned call had delivered arrives; who needs more of one that has ended is told who that is,
// soon; nobody hangs, and nobody gets a wrong value.
//
// A case is one list of calls, which every rank makes in order as far as it lives. A failure ends its group
// alone: the rank goes on with the calls of the others.
#include <sys/mman.h>

#include <atomic>
#include <csignal>

#include "calls.h"
#include "processes.h"

namespace ring {
namespace {

using namespace ring::testing;

enum class How { kExit, kKill, kLeave };

struct End {
    size_t calls = 0;  // it makes those before this place in the list
    How how = How::kExit;
    bool in_the_midst = false;  // it begins one more, and does not wait for it
};

// What must come of one call on one rank.
enum class Due { kSuccess, kFailure, kEither };

class Case {
  public:
    Case(unsigned seed, const Hosts& hosts)
        : seed_(seed), hearsay_(hosts.size() > 1 && hosts != Hosts(hosts.size(), 1)), random_(seed) {
        const int size = ranks_of(hosts);
        std::vector<int> all(static_cast<size_t>(size));
        std::iota(all.begin(), all.end(), 0);
        members_.push_back(all);
        if (below(random_, 2) == 0) members_.push_back(all);
        if (size > 2 && below(random_, 2) == 0) members_.emplace_back(all.rbegin(), all.rend() - 1);
        calls_ = random_calls(random_, members_, seed * 100);
        for (RandomCall& call : calls_)  // those fail of any death, whoever sends: few of them
            call.from_any = call.from_any && (members_[call.group].size() == 2 || below(random_, 4) == 0);
        for (RandomCall& call : calls_)  // megabytes, too
            if (below(random_, 6) == 0)
                for (uint64_t& count : call.counts) count *= 8;
        const bool early = below(random_, 5) < 2;
        for (const int rank : all) ends_.push_back(end_of(rank, early && below(random_, 2) == 0));
        for (size_t number = 0; number < calls_.size(); ++number)
            if (doubtful(number)) doubts_.push_back(number);
    }

    // Not every rank has a connection to every other host: it hears of them from others, while they are
    // there.
    bool hearsay() const { return hearsay_; }
    const Members& members() const { return members_; }
    const std::vector<RandomCall>& calls() const { return calls_; }
    const End& end(int rank) const { return ends_[static_cast<size_t>(rank)]; }
    unsigned seed_of(int rank) const { return seed_ * 16 + static_cast<unsigned>(rank); }

    // Ranks are global ones here.
    std::vector<int> who_calls(const RandomCall& call) const {
        const auto& group = members_[call.group];
        if (call.kind != Collective::kSend) return group;
        return {group[static_cast<size_t>(call.root)], group[static_cast<size_t>(call.to)]};
    }
    bool calls(int rank, size_t number) const {
        const auto who = who_calls(calls_[number]);
        return std::find(who.begin(), who.end(), rank) != who.end();
    }

    Due due(int rank, size_t number) const {
        const RandomCall& call = calls_[number];
        for (const int other : who_calls(call))
            if (other != rank && ended_before(other, number) && needs(call, rank, other))
                return Due::kFailure;
        // What one rank calls when another has failed in a later call fails, too.
        const bool doubtful = std::any_of(doubts_.begin(), doubts_.end(),
                                          [&](size_t doubt) { return calls_[doubt].group == call.group; });
        return doubtful ? Due::kEither : Due::kSuccess;
    }

    // Whether that rank's end may be what failed a call of that group.
    bool may_fail(int rank, size_t group) const {
        for (const size_t doubt : doubts_)
            if (calls_[doubt].group == group &&
                (calls_[doubt].from_any || (calls(rank, doubt) && end(rank).calls <= doubt)))
                return true;
        return false;
    }

    std::string text() const {
        std::string all;
        for (const RandomCall& call : calls_) {
            const int rank = call.root;
            all += "call " + std::to_string(call.number - seed_ * 100) + " of group " +
                   std::to_string(call.group) + ": " + describe(Part(call, rank).arguments().signature) +
                   "\n";
        }
        for (size_t rank = 0; rank < ends_.size(); ++rank)
            all += "rank " + std::to_string(rank) + " makes " + std::to_string(ends_[rank].calls) + " of " +
                   std::to_string(calls_.size()) + " calls" +
                   (ends_[rank].in_the_midst ? ", begins one more," : "") + " and " +
                   (ends_[rank].how == How::kExit   ? "exits"
                    : ends_[rank].how == How::kKill ? "is killed"
                                                    : "leaves") +
                   "\n";
        return all;
    }

  private:
    End end_of(int rank, bool early) {
        std::vector<size_t> own{0};
        for (size_t number = 0; number < calls_.size(); ++number)
            if (calls(rank, number)) own.push_back(number + 1);
        return {.calls = early ? own[below(random_, own.size())] : own.back(),
                .how = How{static_cast<int>(below(random_, 3))},
                .in_the_midst = early && below(random_, 4) == 0};
    }

    // Whether it never makes that call; one in whose midst it ends, it may have made.
    bool ended_before(int rank, size_t number) const {
        const End& own = end(rank);
        if (own.calls > number) return false;
        for (size_t between = own.calls; own.in_the_midst && between <= number; ++between)
            if (calls(rank, between)) return between != number;
        return true;
    }

    // Whether it may fail.
    bool doubtful(size_t number) const {
        const RandomCall& call = calls_[number];
        if (call.from_any && members_[call.group].size() > 2) return true;
        const auto who = who_calls(call);
        return std::any_of(who.begin(), who.end(), [&](int rank) { return end(rank).calls <= number; });
    }

    // Whether `rank` cannot have ended the call without the other.
    bool needs(const RandomCall& call, int rank, int other) const {
        const auto& group = members_[call.group];
        const bool is_root = group[static_cast<size_t>(call.root)] == rank;
        const bool of_root = group[static_cast<size_t>(call.root)] == other;
        const auto at = std::find(group.begin(), group.end(), other) - group.begin();
        const bool any = call.counts[static_cast<size_t>(at)] > 0;
        switch (call.kind) {
            case Collective::kBarrier:
                return true;
            case Collective::kSend:
                return of_root || call.counts[0] * size_of(call.dtype) > kEagerBetweenHosts;
            case Collective::kBroadcast:
            case Collective::kScatter:
                return of_root && any;
            case Collective::kReduce:
            case Collective::kGather:
                return is_root && any;
            default:
                return any;
        }
    }

    const unsigned seed_;
    const bool hearsay_;
    Random random_;
    Members members_;
    std::vector<RandomCall> calls_;
    std::vector<End> ends_;       // by rank
    std::vector<size_t> doubts_;  // the calls that may fail
};

// One rank's life.
class Life {
  public:
    Life(const Case& one, const Groups& groups, int rank)
        : case_(one), groups_(groups), rank_(rank), failed_(groups.size()), random_(one.seed_of(rank)) {}

    // False where something was not as it must be, which it prints.
    bool live() {
        const End& end = case_.end(rank_);
        for (size_t number = 0; number < end.calls && fine_; ++number) {
            if (!case_.calls(rank_, number)) continue;
            pause();
            if (!post(number)) continue;
            if (below(random_, 3) > 0) finish_all();
        }
        finish_all();
        for (size_t number = end.calls; end.in_the_midst && number < case_.calls().size(); ++number)
            if (case_.calls(rank_, number)) {
                post(number);
                break;
            }
        pause();
        return fine_;
    }

  private:
    struct Posted {
        size_t number;
        std::unique_ptr<Part> part;
        std::shared_ptr<Operation> operation;
        Clock::time_point since;
    };

    // Now and then for so long that the others are far ahead, or gone.
    void pause() {
        const size_t which = below(random_, 12);
        if (which < 4) std::this_thread::sleep_for(milliseconds(which == 0 ? 20 : which));
    }

    bool post(size_t number) {
        const RandomCall& call = case_.calls()[number];
        if (failed_[call.group]) return false;
        const auto& group = groups_[call.group];
        Posted posted{number, std::make_unique<Part>(call, group->layout().rank()), nullptr, Clock::now()};
        posted.operation = group->post(posted.part->arguments());
        if (below(random_, 2) == 0) group->hand_over({&posted.operation, 1});
        open_.push_back(std::move(posted));
        return true;
    }

    void finish_all() {
        for (const Posted& posted : open_) finish(posted);
        open_.clear();
    }

    void finish(const Posted& posted) {
        const size_t group = case_.calls()[posted.number].group;
        const Due due = case_.due(rank_, posted.number);
        try {
            groups_[group]->wait(posted.operation);
            posted.part->check();
            if (::testing::Test::HasFailure()) complain(posted, "a wrong value");
            if (due == Due::kFailure) complain(posted, "success, without somebody that it needs");
        } catch (const PeerError& error) {
            failed_[group] = true;
            if (due == Due::kSuccess) complain(posted, error.what());
            if (!names_the_ended(error.what(), group)) complain(posted, "blames another: ", error.what());
            if (Clock::now() - posted.since > (case_.hearsay() ? kSoonByItself : kSoon))
                complain(posted, "late: ", error.what());
        } catch (const std::exception& error) {
            complain(posted, "an error of another kind: ", error.what());
        }
    }

    bool names_the_ended(const std::string& text, size_t group) const {
        for (const int rank : case_.members()[group]) {
            if (rank == rank_ || !case_.may_fail(rank, group)) continue;
            const size_t at = text.find("rank " + std::to_string(rank) + " (host");
            if (at == std::string::npos) continue;
            const bool left = case_.end(rank).how == How::kLeave;
            if (text.find(left ? " left the group" : " died: ", at) != std::string::npos) return true;
            if (!case_.hearsay()) continue;
            // Nobody was left to tell: its connection ended, or nobody listens there any more.
            const std::string who = "rank " + std::to_string(rank) + " (host";
            if (!left && text.find(" is gone: ", at) != std::string::npos && text.find(who) == 0) return true;
            if (text.find("cannot reach " + who) == 0) return true;
        }
        return false;
    }

    void complain(const Posted& posted, const std::string& what, const std::string& more = "") {
        std::fprintf(stderr, "rank %d, call %zu, %s: %s%s\n", rank_, posted.number,
                     describe(posted.part->arguments().signature).c_str(), what.c_str(), more.c_str());
        fine_ = false;
    }

    static constexpr milliseconds kSoon{4000};          // the groups' timeout is 20 s
    static constexpr milliseconds kSoonByItself{8000};  // where a rank may have to find out by itself
    const Case& case_;
    const Groups& groups_;
    const int rank_;
    std::vector<bool> failed_;  // by group
    Random random_;
    std::vector<Posted> open_;
    bool fine_ = true;
};

// Waits for so many processes.
void meet(std::atomic<size_t>& count, size_t processes) {
    count.fetch_add(1, std::memory_order_relaxed);
    eventually([&] { return count.load(std::memory_order_relaxed) >= processes; });
}

// One by one, or all at the same time, as at the end of a process.
void leave(const Groups& groups, bool together) {
    std::vector<Communicator*> all;
    for (const auto& group : groups)
        if (group != nullptr) all.push_back(group.get());
    if (together) return Communicator::shutdown(all);
    for (Communicator* const group : all) group->shutdown();
}

class RandomEnds : public ::testing::TestWithParam<Hosts> {};

TEST_P(RandomEnds, LoseNothingAndFoolNobody) {
    const int size = ranks_of(GetParam());
    const unsigned cases = how_many_cases(kThreadSanitizer ? 6 : 12);
    // Shared with the processes: how many have their groups.
    void* const page = ::mmap(nullptr, sizeof(std::atomic<size_t>), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    auto& formed = *static_cast<std::atomic<size_t>*>(page);
    for (unsigned seed = first_seed(); seed < first_seed() + cases; ++seed) {
        const Case one(seed, GetParam());
        const TemporaryFolder folder;
        formed.store(0, std::memory_order_relaxed);
        const auto codes = run_rank_processes(GetParam(), [&](const Communicator::Settings& settings) {
            const Groups groups = form_groups(Engine::of_process(), one.members(), settings, folder.path());
            meet(formed, static_cast<size_t>(size));
            Life life(one, groups, settings.rank);
            if (!life.live()) return kWrong;
            const How how = one.end(settings.rank).how;
            if (how == How::kKill) ::raise(SIGKILL);
            if (how == How::kLeave) leave(groups, seed % 2 == 0);
            end_process(kFine);  // before the groups are destroyed, which would leave them
            return kFine;
        });
        std::vector<int> expected;
        for (int rank = 0; rank < size; ++rank)
            expected.push_back(one.end(rank).how == How::kKill ? 1000 + SIGKILL : kFine);
        ASSERT_EQ(codes, expected) << one.text() << "again with RING_TEST_SEED=" << seed
                                   << " RING_TEST_CASES=1";
    }
}

INSTANTIATE_TEST_SUITE_P(Layouts, RandomEnds,
                         ::testing::Values(Hosts{2}, Hosts{4}, Hosts{1, 1}, Hosts{2, 1}, Hosts{2, 2},
                                           Hosts{1, 1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
