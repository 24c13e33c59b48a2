// Random schedules: several threads of each rank call collectives and messages of several groups, wait for
// them at once, later, or not at all, and all must come out as if one after the other.
//
// A schedule is one list of calls. On each rank every call belongs to a random thread, which makes its calls
// in the order of the list; the collectives of one group are posted in that order too. So whatever the
// threads do, the first call that has not ended can go on: a schedule that hangs is the engine's fault.
#include <atomic>

#include "calls.h"

namespace ring {
namespace {

using namespace ring::testing;
// One rank's side of a schedule.
class Player {
  public:
    Player(Groups groups, const std::vector<RandomCall>& calls, unsigned seed)
        : groups_(std::move(groups)), calls_(calls), turns_(groups_.size()), random_(seed) {
        for (std::atomic<size_t>& turn : turns_) turn.store(0, std::memory_order_relaxed);
    }

    void play() {
        const size_t threads = 1 + below(random_, 3);
        std::vector<std::vector<size_t>> mine(threads);
        for (size_t number = 0; number < calls_.size(); ++number)
            mine[below(random_, threads)].push_back(number);
        std::vector<std::thread> running;
        for (size_t t = 0; t < threads; ++t)
            running.emplace_back([&, t, seed = static_cast<unsigned>(random_())] {
                try {
                    run(mine[t], seed);
                } catch (const std::exception& error) {
                    ADD_FAILURE() << error.what();
                    failed_.store(true, std::memory_order_relaxed);
                }
            });
        for (std::thread& thread : running) thread.join();
    }

  private:
    struct Posted {
        std::unique_ptr<Part> part;
        std::shared_ptr<Communicator> group;
        std::shared_ptr<Operation> operation;
    };

    void run(const std::vector<size_t>& numbers, unsigned seed) {
        Random random(seed);
        std::vector<Posted> open;
        for (const size_t number : numbers) {
            const RandomCall& call = calls_[number];
            const auto& group = groups_[call.group];
            if (group == nullptr) continue;
            if (below(random, 8) == 0) std::this_thread::sleep_for(milliseconds(below(random, 3)));
            const int rank = group->layout().rank();
            if (call.kind == Collective::kSend && rank != call.root && rank != call.to) continue;
            Posted posted{std::make_unique<Part>(call, rank), group, nullptr};
            if (call.kind != Collective::kSend) await_turn(call);
            const size_t how = below(random, 4);
            if (how == 3) {
                posted.operation = group->begin(posted.part->arguments());
            } else {
                posted.operation = group->post(posted.part->arguments());
            }
            if (call.kind != Collective::kSend) turns_[call.group].fetch_add(1, std::memory_order_release);
            if (posted.operation == nullptr) {
                posted.part->check();
                continue;
            }
            if (how == 1 || how == 2) group->hand_over({&posted.operation, 1});
            if (how != 2) {
                finish(posted);
            } else {
                open.push_back(std::move(posted));
            }
        }
        for (Posted& posted : open) finish(posted, below(random, 2) == 0);
    }

    // Until this thread may post that collective.
    void await_turn(const RandomCall& call) {
        if (!eventually([&] {
                return turns_[call.group].load(std::memory_order_acquire) == call.turn ||
                       failed_.load(std::memory_order_relaxed);
            }) ||
            failed_.load(std::memory_order_relaxed))
            throw TimeoutError("another thread did not come to post what goes before");
    }

    static void finish(const Posted& posted, bool waits = true) {
        if (waits) {
            posted.group->wait(posted.operation);
        } else {
            look_on(posted.operation);
        }
        posted.part->check();
    }

    const Groups groups_;
    const std::vector<RandomCall>& calls_;
    std::vector<std::atomic<size_t>> turns_;  // of each group: collectives posted so far
    std::atomic<bool> failed_{false};
    Random random_;
};

class Schedules : public ::testing::TestWithParam<std::tuple<Hosts, int>> {};

TEST_P(Schedules, ComeOutAsOneAfterTheOther) {
    const auto& [hosts, variant] = GetParam();
    const int size = ranks_of(hosts);
    const auto seed = static_cast<unsigned>(variant * 1000 + size * 100 + static_cast<int>(hosts.size()));
    Members members(1);
    for (int rank = 0; rank < size; ++rank) members[0].push_back(rank);
    members.push_back(members[0]);
    if (size > 2)
        members.emplace_back(members[0].rbegin(), members[0].rend() - 1);  // without rank 0, backwards
    const TemporaryFolder folder;
    Communicator::Settings common;
    common.config.spin_us = variant == 0 ? 0 : common.config.spin_us;
    run_ranks(
        hosts,
        [&](Engine& engine, const Communicator::Settings& settings) {
            const Groups groups = form_groups(engine, members, settings, folder.path());
            const unsigned first = first_seed();
            for (unsigned schedule = first; schedule < first + how_many_cases(60) && !HasFailure();
                 ++schedule) {
                SCOPED_TRACE("seed " + std::to_string(seed) + ", schedule " + std::to_string(schedule));
                Random random(seed * 1000 + schedule);  // the same on all ranks
                const std::vector<RandomCall> calls = random_calls(random, members, schedule * 100);
                Player(groups, calls, random() + static_cast<unsigned>(settings.rank)).play();
            }
            for (const auto& group : groups)
                if (group != nullptr) group->shutdown();
        },
        std::chrono::seconds(20), common);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Schedules,
                         ::testing::Combine(::testing::Values(Hosts{2}, Hosts{1, 1}, Hosts{3}, Hosts{2, 1},
                                                              Hosts{2, 2}, Hosts{1, 1, 1}, Hosts{1, 2, 1}),
                                            ::testing::Values(0, 1)),
                         [](const auto& info) {
                             return "hosts_" + name_of_layout(std::get<0>(info.param)) +
                                    (std::get<1>(info.param) == 0 ? "_sleeping_soon" : "_spinning");
                         });

}  // namespace
}  // namespace ring
