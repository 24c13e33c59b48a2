// Random schedules: several threads of each rank call collectives and messages of several groups, wait for
// them at once, later, or not at all, and all must come out as if one after the other.
//
// A schedule is one list of calls. On each rank every call belongs to a random thread, which makes its calls
// in the order of the list; the collectives of one group are posted in that order too. So whatever the
// threads do, the first call that has not ended can go on: a schedule that hangs is the engine's fault.
#include <atomic>
#include <random>

#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;
using Random = std::mt19937;

size_t below(Random& random, size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
}

struct Call {
    size_t number = 0;  // among those of all schedules; also a message's tag
    size_t group = 0;
    Collective kind = Collective::kAllReduce;  // kSend: a message, which one rank sends and another receives
    size_t turn = 0;                           // among the collectives of its group
    int root = 0;                              // of a message: who sends
    int to = 0;                                // of a message
    bool from_any = false;
    std::vector<uint64_t> counts;  // of the tensor, or of each rank's share
};

// In which groups who is; ranks of the group are numbered as here.
using Members = std::vector<std::vector<int>>;

constexpr Collective kKinds[] = {Collective::kAllReduce,     Collective::kBroadcast, Collective::kAllGather,
                                 Collective::kReduceScatter, Collective::kBarrier,   Collective::kReduce,
                                 Collective::kGather,        Collective::kScatter,   Collective::kAllToAll};

// Nothing, one element, what is small everywhere, and up to some 200 KiB.
uint64_t random_count(Random& random) {
    constexpr uint64_t kLimits[] = {1, 2, 40, 4000, kThreadSanitizer ? 20'000 : 50'000};
    return below(random, kLimits[below(random, std::size(kLimits))]);
}

std::vector<Call> random_calls(Random& random, const Members& members, size_t first) {
    std::vector<Call> calls(3 + below(random, 12));
    std::vector<size_t> turns(members.size());
    for (Call& call : calls) {
        call.number = first++;
        call.group = below(random, members.size());
        const auto& ranks = members[call.group];
        const int n = static_cast<int>(ranks.size());
        call.root = static_cast<int>(below(random, ranks.size()));
        if (below(random, 2) == 0) {
            call.kind = Collective::kSend;
            call.to = (call.root + 1 + static_cast<int>(below(random, ranks.size() - 1))) % n;
            call.from_any = below(random, 4) == 0;
        } else {
            call.kind = kKinds[below(random, std::size(kKinds))];
            call.turn = turns[call.group]++;
        }
        call.counts.assign(ranks.size(), random_count(random));
        if (call.kind == Collective::kAllGather && below(random, 2) == 0)
            for (uint64_t& count : call.counts) count = random_count(random);
    }
    return calls;
}

// What `from` gives, in the call of that number, to `to` (where each gets something of its own).
std::vector<int32_t> given(size_t number, int from, int to, uint64_t count) {
    return repeated<int32_t>(count,
                             [&](size_t i) { return number * 100'003 + from * 1009 + to * 31 + i % 1000; });
}

std::vector<int32_t> sum_of(size_t number, int to, uint64_t count, int ranks) {
    std::vector<int32_t> sum(count);
    for (int r = 0; r < ranks; ++r) {
        const auto one = given(number, r, to, count);
        for (uint64_t i = 0; i < count; ++i) sum[i] += one[i];
    }
    return sum;
}

// One call as one rank makes it: its memory, and what must be in it afterwards.
class Part {
  public:
    Part(const Call& call, int rank)
        : call_(call), number_(call.number), rank_(rank), ranks_(static_cast<int>(call.counts.size())) {
        arguments_.signature = signature(call.kind, DType::kInt32, call.counts[0]);
        fill();
    }

    Arguments arguments() const { return arguments_; }
    void check() const {
        for (size_t i = 0; i < outputs_.size(); ++i)
            ASSERT_TRUE(same(outputs_[i], expected_[i]))
                << describe(arguments_.signature) << ", call " << number_ << " on rank " << rank_
                << ", output " << i;
    }

  private:
    const void* gives(int to, uint64_t count) {
        inputs_.push_back(given(number_, rank_, to, count));
        return inputs_.back().data();
    }
    void* gets(std::vector<int32_t> what) {
        outputs_.emplace_back(what.size(), -1);
        expected_.push_back(std::move(what));
        return outputs_.back().data();
    }

    void fill() {
        inputs_.reserve(call_.counts.size());
        outputs_.reserve(call_.counts.size());
        const uint64_t count = call_.counts[0];
        const bool is_root = rank_ == call_.root;
        Signature& called = arguments_.signature;
        switch (call_.kind) {
            case Collective::kSend:
                arguments_.tag = static_cast<int64_t>(number_);
                if (is_root) {
                    called.root = call_.to;
                    arguments_.input = gives(0, count);
                } else {
                    called.kind = Collective::kRecv;
                    called.root = call_.from_any ? kAnySource : call_.root;
                    arguments_.output = gets(given(number_, call_.root, 0, count));
                }
                break;
            case Collective::kAllReduce:
                called.op = ReduceOp::kSum;
                arguments_.input = gives(0, count);
                arguments_.output = gets(sum_of(number_, 0, count, ranks_));
                break;
            case Collective::kReduce:
                called.op = ReduceOp::kSum;
                called.root = call_.root;
                arguments_.input = gives(0, count);
                if (is_root) arguments_.output = gets(sum_of(number_, 0, count, ranks_));
                break;
            case Collective::kBroadcast:
                called.root = call_.root;
                arguments_.output = gets(given(number_, call_.root, 0, count));
                if (is_root) outputs_[0] = expected_[0];
                break;
            case Collective::kAllGather:
                gather_all();
                break;
            case Collective::kReduceScatter:
                called.op = ReduceOp::kSum;
                for (int r = 0; r < ranks_; ++r) arguments_.inputs.push_back(gives(r, count));
                arguments_.output = gets(sum_of(number_, rank_, count, ranks_));
                break;
            case Collective::kGather:
                called.root = call_.root;
                arguments_.input = gives(0, count);
                for (int r = 0; is_root && r < ranks_; ++r)
                    arguments_.outputs.push_back(gets(given(number_, r, 0, count)));
                break;
            case Collective::kScatter:
                called.root = call_.root;
                for (int r = 0; is_root && r < ranks_; ++r) arguments_.inputs.push_back(gives(r, count));
                arguments_.output = gets(given(number_, call_.root, rank_, count));
                break;
            case Collective::kAllToAll:
                called.count = 0;
                arguments_.input_counts = arguments_.output_counts = call_.counts;
                for (int r = 0; r < ranks_; ++r) {
                    arguments_.inputs.push_back(gives(r, count));
                    arguments_.outputs.push_back(gets(given(number_, r, rank_, count)));
                }
                break;
            default:
                called.count = 0;
                break;
        }
    }

    void gather_all() {
        uint64_t total = 0;
        bool even = true;
        for (const uint64_t count : call_.counts) {
            total += count;
            even = even && count == call_.counts[0];
        }
        if (!even) {
            arguments_.signature.count = total;
            arguments_.signature.uneven = 1;
            arguments_.output_counts = call_.counts;
        }
        arguments_.input = gives(0, call_.counts[rank_]);
        for (int r = 0; r < ranks_; ++r)
            arguments_.outputs.push_back(gets(given(number_, r, 0, call_.counts[r])));
    }

    const Call& call_;
    const size_t number_;
    const int rank_;
    const int ranks_;
    Arguments arguments_;
    std::vector<std::vector<int32_t>> inputs_;
    std::vector<std::vector<int32_t>> outputs_;
    std::vector<std::vector<int32_t>> expected_;
};

// One rank's side of a schedule.
class Player {
  public:
    Player(std::vector<std::shared_ptr<Communicator>> groups, const std::vector<Call>& calls, unsigned seed)
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
            const Call& call = calls_[number];
            const auto& group = groups_[call.group];
            if (group == nullptr) continue;
            if (below(random, 8) == 0) std::this_thread::sleep_for(milliseconds(below(random, 3)));
            const int rank = group->layout().rank();
            if (call.kind == Collective::kSend && rank != call.root && rank != call.to) continue;
            Posted posted{std::make_unique<Part>(call, rank), group, nullptr};
            if (call.kind != Collective::kSend) await_turn(call);
            posted.operation = group->post(posted.part->arguments());
            if (call.kind != Collective::kSend) turns_[call.group].fetch_add(1, std::memory_order_release);
            const size_t how = below(random, 3);
            if (how > 0) group->hand_over({&posted.operation, 1});
            if (how < 2) {
                finish(posted);
            } else {
                open.push_back(std::move(posted));
            }
        }
        for (Posted& posted : open) finish(posted, below(random, 2) == 0);
    }

    // Until this thread may post that collective.
    void await_turn(const Call& call) {
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

    const std::vector<std::shared_ptr<Communicator>> groups_;
    const std::vector<Call>& calls_;
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
            std::vector<std::shared_ptr<Communicator>> groups(members.size());
            for (size_t g = 0; g < members.size(); ++g) {
                const auto at = std::find(members[g].begin(), members[g].end(), settings.rank);
                if (at == members[g].end()) continue;
                Communicator::Settings own = settings;
                own.rank = static_cast<int>(at - members[g].begin());
                own.size = static_cast<int>(members[g].size());
                const auto place = folder.path() / std::to_string(g);
                std::filesystem::create_directories(place);
                FileStore store(place);
                groups[g] = Communicator::create(engine, store, own);
            }
            constexpr unsigned kSchedules = 60;
            for (unsigned schedule = 0; schedule < kSchedules && !HasFailure(); ++schedule) {
                SCOPED_TRACE("seed " + std::to_string(seed) + ", schedule " + std::to_string(schedule));
                Random random(seed * 1000 + schedule);  // the same on all ranks
                const std::vector<Call> calls = random_calls(random, members, schedule * 100);
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
