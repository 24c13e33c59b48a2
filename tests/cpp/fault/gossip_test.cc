// What hosts tell each other while a group waits: how much, and that nothing is missed when whoever tells it
// is stopped, ends, or waits no more.
#include <csignal>
#include <thread>

#include "processes.h"
#include "waiting_hosts.h"

namespace ring {
namespace {

using namespace ring::testing;
using State = WaitingHosts::State;
using std::chrono::seconds;

// The most that may pass between two beats of a rank, as any host hears them, when another takes over.
constexpr milliseconds kLongestGap = kThere + 3 * kBeatEvery;
// While nothing happens: a beat, the look of another rank of the host, and some hops.
constexpr milliseconds kUsualGap = 3 * kBeatEvery;

// ---- how much ----

// What a host may send in so many times kBeatEvery: one record per beat and neighbouring host, and the
// headers of the messages. One more beat of each, since these do not come at the same time.
size_t most_to_send(const WaitingHosts& group, int host, int ranks, int beats) {
    const size_t records = static_cast<size_t>(beats + 1) * ranks * sizeof(CallProgress);
    const size_t headers = static_cast<size_t>(beats + 1) * (kBeatEvery / kShareEvery) * 8;
    return group.neighbours_of(host) * (records + headers);
}

struct Size {
    Hosts hosts;
    bool flat;
};

class GossipSize : public ::testing::TestWithParam<Size> {};

TEST_P(GossipSize, IsOneRecordPerBeatAndNeighbouringHost) {
    const auto& [hosts, flat] = GetParam();
    const int ranks = ranks_of(hosts);
    constexpr int kBeats = 30;
    for (const int late : {ranks - 1, 0}) {
        WaitingHosts group(hosts, {late}, flat);
        group.pass(seconds(2));
        for (size_t host = 0; host < hosts.size(); ++host) group.take_sent(host);
        group.pass(kBeats * kBeatEvery);
        for (int host = 0; host < static_cast<int>(hosts.size()); ++host) {
            const size_t sent = group.take_sent(host);
            // A late one does not rely on others, and has two connections to one host in a flat ring.
            const size_t most = most_to_send(group, host, ranks, kBeats);
            EXPECT_LE(sent, flat && group.host_of(late) == host ? 2 * most : most) << "host " << host;
            // The late one answers only where it hears of the others.
            const size_t least = (kBeats - 1) * static_cast<size_t>(ranks - 1) * sizeof(CallProgress);
            EXPECT_GE(sent, group.neighbours_of(host) * least) << "host " << host;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Layouts, GossipSize,
                         ::testing::Values(Size{{1}, false}, Size{{1, 1}, false}, Size{{4, 4}, false},
                                           Size{{8, 8, 8, 8}, false}, Size{{3, 1, 2}, false},
                                           Size{{4, 4}, true}, Size{{2, 1, 3}, true}),
                         [](const auto& info) {
                             return "hosts_" + name_of_layout(info.param.hosts) +
                                    (info.param.flat ? "_flat" : "");
                         });

// ---- who takes over ----

struct Change {
    const char* name;
    State state;
};

class GossipTakeOver : public ::testing::TestWithParam<std::tuple<Hosts, Change>> {
  protected:
    int size() const { return ranks_of(std::get<0>(GetParam())); }
    int hosts() const { return static_cast<int>(std::get<0>(GetParam()).size()); }
    // Of the ranks that still wait, since the last time.
    void check_gaps(WaitingHosts& group, milliseconds longest) const {
        for (int host = 0; host < hosts(); ++host)
            for (int rank = 0; rank < size() - 1; ++rank) {
                const auto gap = group.take_longest_gap(host, rank);
                if (group.state(rank) != State::kWaits) continue;
                EXPECT_LE(gap, longest) << "host " << host << " rank " << rank;
            }
    }
};

// Those that beats go over, one after another, until one connection between the first two hosts is left.
TEST_P(GossipTakeOver, LeavesNoGap) {
    const auto& [layout, change] = GetParam();
    WaitingHosts group(layout, {size() - 1});
    group.pass(seconds(1));
    check_gaps(group, kBeatAfter);
    group.pass(seconds(2));
    check_gaps(group, kUsualGap);
    for (int local = 0; local < layout[0] - 1; ++local) {
        const int rank = local % 2 == 0 ? local : layout[0] + local;  // at either end
        const auto since = group.now();
        group.become(rank, change.state);
        group.pass(kBeatAfter);
        check_gaps(group, kLongestGap);
        for (int host = 0; host < hosts(); ++host) {
            EXPECT_LE(group.last_heard(host, rank), since + kUsualGap) << "it seems to be there for too long";
            group.take_sent(host);
        }
        constexpr int kBeats = 20;
        group.pass(kBeats * kBeatEvery);
        check_gaps(group, kUsualGap);
        for (int host = 0; host < hosts(); ++host)
            EXPECT_LE(group.take_sent(host), most_to_send(group, host, size(), kBeats)) << "host " << host;
    }
    for (int rank = 0; rank < size() - 1; ++rank)
        for (int awaited = 0; awaited < size(); ++awaited)
            if (group.state(rank) == State::kWaits && group.state(awaited) == State::kWaits &&
                rank != awaited) {
                EXPECT_EQ(group.blame(rank, awaited),
                          "rank " + std::to_string(size() - 1) + " did not call it");
            }
}

// Who gives its peers less time than a take-over needs relies on nobody.
TEST_P(GossipTakeOver, IsNotWaitedForByWhoIsLessPatient) {
    const auto& [layout, change] = GetParam();
    WaitingHosts group(layout, {size() - 1}, false, milliseconds(350));
    group.pass(seconds(2));
    check_gaps(group, seconds(1));
    group.become(0, change.state);
    group.pass(seconds(1));
    check_gaps(group, kUsualGap);
}

INSTANTIATE_TEST_SUITE_P(Layouts, GossipTakeOver,
                         ::testing::Combine(::testing::Values(Hosts{2, 2}, Hosts{4, 4}, Hosts{4, 4, 4, 4}),
                                            ::testing::Values(Change{"stopped", State::kStopped},
                                                              Change{"died", State::kDead},
                                                              Change{"left", State::kLeft},
                                                              Change{"waits_no_more", State::kEnded})),
                         name_of_case<Change>);

// None of a host waits: they are heard of all the same, and still when the one that answers is stopped.
TEST(Gossip, OfAHostThatIsLateGoesOn) {
    WaitingHosts group({3, 3}, {0, 1, 2});
    group.pass(seconds(3));
    for (const int stopped : {0, 1}) {
        group.become(stopped, State::kStopped);
        group.pass(kBeatAfter);
        group.take_longest_gap(1, stopped + 1);
        group.pass(seconds(2));
        EXPECT_LE(group.take_longest_gap(1, stopped + 1), kUsualGap);
    }
    EXPECT_EQ(group.blame(4, 3), "rank 0, rank 1, rank 2 did not call it");
}

// What it has not looked at for long, it knows nothing new of.
TEST(Gossip, IsNotLeftToOneThatWasStoppedBeforeThisRankBeganToWait) {
    WaitingHosts group({2, 2}, {3});
    group.hold(1, seconds(3));
    group.pass(milliseconds(2800));
    group.become(0, State::kStopped);
    group.pass(milliseconds(300));
    group.take_longest_gap(0, 2);
    group.pass(seconds(1));
    EXPECT_LE(group.take_longest_gap(0, 2), kUsualGap);
}

// The table of a host does not have it.
TEST(Gossip, OfWhatARankWaitsInGoesToAllRanks) {
    WaitingHosts group({4, 4}, {7});
    group.hold(1, seconds(3));
    group.call_differently(1);
    group.pass(seconds(3));
    for (int rank = 0; rank < 7; ++rank) EXPECT_FALSE(group.finds_mismatch(rank)) << "rank " << rank;
    group.pass(milliseconds(500));
    for (int rank = 0; rank < 7; ++rank) EXPECT_TRUE(group.finds_mismatch(rank)) << "rank " << rank;
}

// Rank 0 tells its host of the beats on the other one until it is stopped, a second before the time is up. By
// then rank 1, which waits for rank 4, must still know that this one waits for the last.
TEST(Gossip, OfProcessesLeadsToTheLateOneThoughWhoToldIsStopped) {
    constexpr int kLate = 5;
    const auto codes = run_processes({3, 3}, [](Communicator& group) {
        const int rank = group.layout().rank();
        if (rank == kLate) {
            std::this_thread::sleep_for(seconds(6));
            return kFine;
        }
        std::thread stopping([rank] {
            if (rank != 0) return;
            std::this_thread::sleep_for(milliseconds(3000));
            ::kill(::getpid(), SIGSTOP);
        });
        std::vector<float> data(3'000'000);
        int code = kWrong;
        try {
            group.wait(group.post(all_reduce_of(data, DType::kFloat32), milliseconds(4500)));
        } catch (const TimeoutError& error) {
            const std::string text = error.what();
            if (text.find("rank 5 (host") != std::string::npos &&
                text.find("did not call it") != std::string::npos)
                code = kFine;
            else
                std::fprintf(stderr, "rank %d: %s\n", rank, text.c_str());
        }
        stopping.join();
        std::this_thread::sleep_for(milliseconds(500));  // the end of a process would tell others
        if (rank == 1) ::kill(group.layout().member(0).pid, SIGKILL);
        return code;
    });
    EXPECT_EQ(codes, (std::vector<int>{1000 + SIGKILL, kFine, kFine, kFine, kFine, kFine}));
}

}  // namespace
}  // namespace ring
