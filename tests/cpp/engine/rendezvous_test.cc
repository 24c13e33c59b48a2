// How ranks meet in the store: again after a failure, after partial attempts, after strangers; and what all
// of them learn of one that cannot go on.
#include "ring/engine/rendezvous.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <future>

#include "end_process.h"
#include "group.h"
#include "ring/base/process.h"

namespace ring::testing {
namespace {

using std::chrono::seconds;

// Threads that each try to form a group, as often as they are told to; what came of each try: "" or the
// error.
struct Try {
    milliseconds timeout;
    milliseconds before{0};  // this rank comes so late
};

// What rank 0 makes of the cards here: what each says of its attempt.
std::string attempts_of_all(Rendezvous& meeting) {
    return meeting.merge_cards(
        [](const std::vector<Card>& cards) {
            std::string text;
            for (const Card& card : cards)
                text += card.contains("attempt_of") ? card.at("attempt_of") + "\n" : "\n";
            return text;
        },
        [](const Card&) {});
}

std::vector<std::string> attempts(const std::filesystem::path& folder, int rank, int size,
                                  const std::vector<Try>& tries) {
    FileStore store(folder);
    Engine engine;
    std::vector<std::string> outcomes;
    for (const Try& one : tries) {
        std::this_thread::sleep_for(one.before);
        try {
            const auto group = Communicator::create(engine, store,
                                                    {.rank = rank,
                                                     .size = size,
                                                     .timeout = one.timeout,
                                                     .store_host = "127.0.0.1",
                                                     .host_id = "h"});
            std::vector<float> data(10, 1.0f);
            run(*group, all_reduce_of(data, DType::kFloat32));
            EXPECT_EQ(data[9], static_cast<float>(size));
            outcomes.emplace_back("");
            break;
        } catch (const Error& error) {
            outcomes.emplace_back(error.what());
        }
    }
    return outcomes;
}

TEST(Rendezvous, RanksMeetAfterAttemptsWithoutSome) {
    const TemporaryFolder folder;
    std::vector<std::future<std::vector<std::string>>> ranks;
    for (int rank = 0; rank < 3; ++rank)
        ranks.push_back(std::async(std::launch::async, [&, rank] {
            if (rank == 2) return attempts(folder.path(), rank, 3, {{seconds(20), milliseconds(900)}});
            return attempts(folder.path(), rank, 3,
                            {{milliseconds(300)}, {milliseconds(300)}, {seconds(20)}, {seconds(20)}});
        }));
    for (auto& rank : ranks) EXPECT_EQ(rank.get().back(), "");
}

TEST(Rendezvous, OneStoreServesManyGroupsInTurn) {
    const TemporaryFolder folder;
    for (int round = 0; round < 5; ++round) {
        std::vector<std::future<std::vector<std::string>>> ranks;
        for (int rank = 0; rank < 3; ++rank)
            ranks.push_back(std::async(std::launch::async, attempts, folder.path(), rank, 3,
                                       std::vector<Try>{{seconds(20)}}));
        for (auto& rank : ranks) EXPECT_EQ(rank.get().back(), "");
    }
}

TEST(Rendezvous, FewAskForTheMissingOnes) {
    class Counting : public FileStore {
      public:
        using FileStore::FileStore;
        bool has(const std::vector<std::string>& keys) override {
            asked.fetch_add(1, std::memory_order_relaxed);  // read when all threads have been joined
            return FileStore::has(keys);
        }
        std::atomic<int> asked{0};
    };
    const TemporaryFolder folder;
    constexpr int kSize = 1000;
    Counting store(folder.path());
    Rendezvous meeting(store, {.rank = 0, .size = kSize}, milliseconds(20));
    meeting.join({});
    try {
        attempts_of_all(meeting);
        FAIL();
    } catch (const Missing& error) {
        EXPECT_NE(std::string(error.what()).find("did not join in time: 1, 2, 3"), std::string::npos)
            << error.what();
        EXPECT_NE(std::string(error.what()).find("16 and more"), std::string::npos) << error.what();
    }
    EXPECT_LT(store.asked, 200);
}

// One rank cannot start: the others hear it at once, in its words.
TEST(Rendezvous, AllLearnWhyOneCannotStart) {
    const TemporaryFolder folder;
    std::vector<std::future<std::string>> ranks;
    const auto start = Clock::now();
    for (int rank = 0; rank < 3; ++rank)
        ranks.push_back(std::async(std::launch::async, [&, rank]() -> std::string {
            FileStore store(folder.path());
            Communicator::Settings settings{
                .rank = rank, .size = 3, .timeout = seconds(60), .host_id = "h" + std::to_string(rank / 2)};
            if (rank == 2) settings.config.size_table = "nonsense";
            Engine engine;
            try {
                Communicator::create(engine, store, settings);
            } catch (const Error& error) {
                return error.what();
            }
            return "";
        }));
    for (int rank = 0; rank < 3; ++rank) {
        const std::string said = ranks[rank].get();
        EXPECT_NE(said.find("TORCH_RING_SIZE_TABLE='nonsense'"), std::string::npos) << said;
        EXPECT_TRUE(rank == 2 || said.find("rank 2 (host ") != std::string::npos) << said;
    }
    EXPECT_LT(Clock::now() - start, seconds(5));
    // The failure is of that attempt alone.
    std::vector<std::future<std::vector<std::string>>> again;
    for (int rank = 0; rank < 3; ++rank)
        again.push_back(std::async(std::launch::async, attempts, folder.path(), rank, 3,
                                   std::vector<Try>{{seconds(20)}}));
    for (auto& rank : again) EXPECT_EQ(rank.get().back(), "");
}

// As Python's KeyboardInterrupt has none.
TEST(Rendezvous, AllLearnOfAnErrorWithoutWords) {
    const TemporaryFolder folder;
    FileStore store(folder.path());
    Rendezvous gone(store, {.rank = 1, .size = 2}, seconds(20));
    gone.join({});
    gone.give_up(std::make_exception_ptr(std::runtime_error("")), "rank 1");
    Rendezvous meeting(store, {.rank = 0, .size = 2}, seconds(20));
    meeting.join({});
    const Deadline deadline(Clock::now() + seconds(10), &meeting);
    try {
        while (!deadline.passed()) std::this_thread::sleep_for(milliseconds(1));
        ADD_FAILURE() << "was not told";
    } catch (const PeerError& error) {
        EXPECT_STREQ(error.what(), "rank 1 could not join the group: it was interrupted");
    }
}

// Rank 0 is the one that would tell who the ranks are.
class RendezvousWithout : public ::testing::TestWithParam<int> {};

TEST_P(RendezvousWithout, AllLearnThatOneHasDied) {
    const int dead = GetParam();
    const TemporaryFolder folder;
    // A process that has come as that rank, and is no more.
    const pid_t child = ::fork();
    if (child == 0) {
        FileStore store(folder.path());
        Rendezvous meeting(store, {.rank = dead, .size = 3}, milliseconds(10));
        const Doorbell doorbell;
        try {
            exchange_cards(meeting, config(), "h", doorbell.name(), "");
        } catch (...) {
        }
        end_process(0);
    }
    siginfo_t ended{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
    std::vector<std::future<std::string>> ranks;
    const auto start = Clock::now();
    for (const int rank : {(dead + 1) % 3, (dead + 2) % 3})
        ranks.push_back(std::async(std::launch::async, [&, rank]() -> std::string {
            FileStore store(folder.path());
            Engine engine;
            try {
                Communicator::create(engine, store,
                                     {.rank = rank, .size = 3, .timeout = seconds(60), .host_id = "h"});
            } catch (const PeerError& error) {
                return error.what();
            }
            return "";
        }));
    for (auto& rank : ranks) {
        const std::string said = rank.get();
        EXPECT_NE(said.find("rank " + std::to_string(dead) + " (host h, pid " + std::to_string(child) + ")"),
                  std::string::npos)
            << said;
        // Clones of one machine have one boot id; what tells them apart is that their sockets do not meet.
        EXPECT_NE(said.find("TORCH_RING_HOST_ID"), std::string::npos) << said;
    }
    EXPECT_LT(Clock::now() - start, seconds(5));
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

INSTANTIATE_TEST_SUITE_P(Ranks, RendezvousWithout, ::testing::Values(0, 1),
                         [](const auto& info) { return "rank_" + std::to_string(info.param); });

// A rank that comes when another one has given up need not wait for rank 0, nor until it looks.
TEST(Rendezvous, WhoComesLateIsToldAtOnceWhyTheGroupDoesNotForm) {
    const TemporaryFolder folder;
    FileStore store(folder.path());
    Rendezvous gone(store, {.rank = 1, .size = 3}, seconds(20));
    gone.join({});
    gone.give_up(std::make_exception_ptr(ConfigError("a setting is wrong")), "rank 1");
    EXPECT_NE(store.get("ring/0/merged", Deadline::after(seconds(0))).find("a setting is wrong"),
              std::string::npos);
    Rendezvous late(store, {.rank = 2, .size = 3}, seconds(20));
    late.join({});
    const auto start = Clock::now();
    try {
        attempts_of_all(late);
        ADD_FAILURE() << "was not told";
    } catch (const PeerError& error) {
        EXPECT_NE(std::string(error.what()).find("rank 1 could not join the group: a setting is wrong"),
                  std::string::npos)
            << error.what();
    }
    EXPECT_LT(Clock::now() - start, seconds(5));
    // Rank 0, too, though it may have all cards by now.
    Rendezvous first(store, {.rank = 0, .size = 3}, seconds(20));
    first.join({});
    EXPECT_THROW(attempts_of_all(first), PeerError);
}

// What a store has to be able to do, and no more.
class PlainStore : public Store {
  public:
    explicit PlainStore(const std::filesystem::path& folder) : store_(folder) {}
    void set(const std::string& key, const std::string& value) override { store_.set(key, value); }
    std::string get(const std::string& key, Deadline deadline) override { return store_.get(key, deadline); }
    std::string compare_set(const std::string& key, const std::string& expected,
                            const std::string& desired) override {
        return store_.compare_set(key, expected, desired);
    }
    bool has(const std::vector<std::string>& keys) override { return store_.has(keys); }

  private:
    FileStore store_;
};

// One that can count keeps of a group that has formed the cards alone, which keep their places.
TEST(Rendezvous, LeavesInTheStoreWhatItMust) {
    for (const bool plain : {false, true}) {
        const TemporaryFolder folder;
        run_ranks(
            {2, 1},
            [&](Engine& engine, const Communicator::Settings& settings) {
                FileStore full(folder.path());
                PlainStore poor(folder.path());
                Store& store = plain ? static_cast<Store&>(poor) : full;
                for (int round = 0; round < 3; ++round) {
                    const auto group = Communicator::create(engine, store, settings);
                    std::vector<float> data(10, 1.0f);
                    run(*group, all_reduce_of(data, DType::kFloat32));
                    EXPECT_EQ(data[9], 3.0f);
                }
            },
            seconds(20));
        const FileStore store(folder.path());
        int merged = 0;
        for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
            const std::string name = file.path().filename();
            merged += name.ends_with("merged") || name.ends_with("addresses") ? 1 : 0;
            EXPECT_TRUE(plain || name.find(".address") == std::string::npos) << name;
        }
        EXPECT_EQ(merged, plain ? 6 : 0);
    }
}

// All have left something there, but one of an attempt before, which has gone on by now.
TEST(Rendezvous, LeavesARoundThatIsWholeButOfAnEarlierAttempt) {
    const TemporaryFolder folder;
    FileStore store(folder.path());
    Rendezvous before(store, {.rank = 0, .size = 2}, seconds(20));
    before.join({{"attempt_of", "old"}});
    Rendezvous meeting(store, {.rank = 1, .size = 2}, seconds(20));
    meeting.join({});
    EXPECT_EQ(attempts_of_all(before), "old\n\n");
    EXPECT_EQ(attempts_of_all(meeting), "old\n\n");
    Rendezvous again(store, {.rank = 0, .size = 2}, seconds(20));
    again.join({{"attempt_of", "new"}});
    const auto wait = [&] {
        while (!meeting.deadline().passed()) std::this_thread::sleep_for(milliseconds(1));
    };
    EXPECT_THROW(wait(), Superseded);
    // Nor does who was about to form the group that the other has left: one rank would have it alone.
    EXPECT_THROW(before.finish({}), Superseded);
    meeting.join({});
    EXPECT_EQ(attempts_of_all(again), "new\n\n");
    EXPECT_EQ(attempts_of_all(meeting), "new\n\n");
    again.finish({});
    // Who has formed the group may make the next one, while others are about to.
    Rendezvous next(store, {.rank = 0, .size = 2}, seconds(20));
    next.join({});
    const Deadline some_looks(Clock::now() + milliseconds(800), &meeting);
    while (!some_looks.passed()) std::this_thread::sleep_for(milliseconds(1));
    meeting.finish({});
}

// Two groups of one world under one name: the first rank of each takes the same place.
TEST(Rendezvous, GroupsUnderOneNameAreAnErrorOnAllTheirRanks) {
    const TemporaryFolder folder;
    const std::vector<std::vector<int>> lists{{0, 1}, {2, 3}};
    std::vector<std::future<std::string>> ranks;
    for (int global = 0; global < 4; ++global)
        ranks.push_back(std::async(std::launch::async, [&, global]() -> std::string {
            FileStore store(folder.path());
            Rendezvous meeting(
                store, {.rank = global % 2, .size = 2, .global_ranks = lists[global / 2], .world = 77},
                seconds(20));
            try {
                meeting.join({});
                attempts_of_all(meeting);
                while (!meeting.deadline().passed()) std::this_thread::sleep_for(milliseconds(1));
            } catch (const Error&) {
                meeting.give_up(std::current_exception(), "a rank");
                try {
                    throw;
                } catch (const Disagreement& error) {
                    return error.what();
                } catch (const Error& error) {
                    return std::string("another error: ") + error.what();
                }
            }
            return "no error";
        }));
    for (auto& rank : ranks) {
        const std::string said = rank.get();
        EXPECT_NE(said.find("[0, 1] and [2, 3]"), std::string::npos) << said;
        EXPECT_NE(said.find("use_local_synchronization=True"), std::string::npos) << said;
    }
}

// The places of two groups that are not of one size, of which neither has all.
TEST(Rendezvous, AGroupOfAnotherSizeInRankZerosPlaceIsAnErrorOnAllThatWait) {
    const TemporaryFolder folder;
    std::vector<std::future<std::string>> ranks;
    const std::vector<Party> parties{
        {.rank = 0, .size = 3, .global_ranks = {0, 1, 2}, .world = 77},
        {.rank = 1, .size = 2, .global_ranks = {3, 4}, .world = 77},
    };
    const auto start = Clock::now();
    for (const Party& party : parties)
        ranks.push_back(std::async(std::launch::async, [&, party]() -> std::string {
            FileStore store(folder.path());
            Rendezvous meeting(store, party, seconds(20));
            try {
                meeting.join({});
                attempts_of_all(meeting);
            } catch (const Error& error) {
                meeting.give_up(std::current_exception(), "a rank");
                return error.what();
            }
            return "no error";
        }));
    for (auto& rank : ranks) {
        const std::string said = rank.get();
        EXPECT_NE(said.find("[0, 1, 2] and [3, 4]"), std::string::npos) << said;
    }
    EXPECT_LT(Clock::now() - start, seconds(10));
}

// Who has called in vain knows which way is closed, who waited for that rank meanwhile does not.
TEST(Rendezvous, WhoOnlyWaitedForAnotherLeavesTheWordToIt) {
    const TemporaryFolder folder;
    std::vector<std::future<std::string>> ranks;
    for (int rank = 0; rank < 2; ++rank)
        ranks.push_back(std::async(std::launch::async, [&, rank]() -> std::string {
            FileStore store(folder.path());
            Rendezvous meeting(store, {.rank = rank, .size = 2}, seconds(20));
            meeting.join({});
            attempts_of_all(meeting);
            const auto error = rank == 0 ? std::make_exception_ptr(Bystander("rank 1 did not tell"))
                                         : std::make_exception_ptr(TimeoutError("cannot reach rank 7"));
            if (rank == 1) std::this_thread::sleep_for(milliseconds(100));
            try {
                meeting.give_up(error, "rank " + std::to_string(rank));
                std::rethrow_exception(error);
            } catch (const TimeoutError& said) {
                return said.what();
            }
        }));
    for (auto& rank : ranks) EXPECT_NE(rank.get().find("cannot reach rank 7"), std::string::npos);
}

TEST(Process, IsTheOneThatWasMeant) {
    EXPECT_FALSE(process_ended(::getpid(), process_identity()));
    EXPECT_FALSE(process_ended(::getpid(), ""));  // nobody knows
    const pid_t child = ::fork();
    if (child == 0) {
        ::pause();
        end_process(0);
    }
    // Of the same namespace, but another process.
    EXPECT_TRUE(process_ended(child, process_identity() + "0"));
    EXPECT_EQ(::kill(child, SIGKILL), 0);
    EXPECT_TRUE(eventually([&] { return process_ended(child, process_identity()); }));
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace ring::testing
