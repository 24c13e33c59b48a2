// The control connection to a neighbour that does not read, or says what makes no sense; and what the table
// of progress makes of what it hears.
#include "ring/fault/control.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>

#include "ring/base/error.h"
#include "ring/fault/progress_table.h"
#include "ring/transport/tcp/pipe.h"

namespace ring {
namespace {

CallProgress progress_of(int rank, int waits_for = -1) {
    CallProgress progress{};
    progress.rank = rank;
    progress.waits_for = waits_for;
    return progress;
}

struct Ends {
    explicit Ends(int near_peer = 1, int far_peer = 0) {
        int sockets[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) != 0)
            throw_errno("socketpair");
        near.push_back(std::make_unique<Control>(near_peer, std::make_unique<TcpPipe>(UniqueFd(sockets[0]))));
        far.push_back(std::make_unique<Control>(far_peer, std::make_unique<TcpPipe>(UniqueFd(sockets[1]))));
    }
    // One control each, as the table of progress takes them.
    std::vector<std::unique_ptr<Control>> near;
    std::vector<std::unique_ptr<Control>> far;
};

TEST(Control, ToANeighbourThatIsStoppedKeepsTheNewestNewsAlone) {
    constexpr int kRanks = 4000;
    constexpr uint64_t kBeats = 600;  // a minute of them
    Ends ends;
    Control& control = *ends.near.front();
    std::vector<CallProgress> news(kRanks);
    for (int rank = 0; rank < kRanks; ++rank) news[rank] = progress_of(rank);
    for (uint64_t beat = 1; beat <= kBeats; ++beat) {
        for (CallProgress& one : news) one.beats = beat;
        control.tell(news);
    }
    control.send(Control::Type::kFailure, encode(Failure{FailureKind::kPeer, "rank 3 died", 0}));
    // It goes on.
    std::vector<uint64_t> beats(kRanks);
    size_t messages = 0;
    size_t before_failure = 0;
    for (int idle = 0; idle < 2;) {
        control.flush();
        const auto received = ends.far.front()->receive();
        idle = received.empty() ? idle + 1 : 0;
        for (const auto& message : received) {
            ++messages;
            if (message.type == Control::Type::kFailure) {
                before_failure = messages;
                continue;
            }
            const auto progress = decode_progress(message.payload);
            ASSERT_TRUE(progress.has_value());
            for (const CallProgress& one : *progress) beats[one.rank] = one.beats;
        }
    }
    EXPECT_EQ(beats, std::vector<uint64_t>(kRanks, kBeats));
    // What the kernel took before, one that was half there, and then the newest of each rank.
    EXPECT_LT(messages, 40U);
    EXPECT_GE(messages, before_failure + kRanks / 1000) << "the failure goes before what is kept";
}

TEST(Control, RefusesWhatMakesNoSense) {
    for (const Control::Type type : {Control::Type{0}, Control::Type{9}}) {
        Ends ends;
        ends.near.front()->send(type, "");
        EXPECT_TRUE(ends.far.front()->receive().empty());
        EXPECT_TRUE(ends.far.front()->closed());
        EXPECT_NE(ends.far.front()->why_closed().find("not a message of torch_ring"), std::string::npos);
    }
    EXPECT_FALSE(decode_progress("short").has_value());
    EXPECT_FALSE(decode_failure("short").has_value());
    std::string unknown = encode(Failure{FailureKind::kPeer, "text", 3});
    ASSERT_TRUE(decode_failure(unknown).has_value());
    unknown[0] = 77;
    EXPECT_FALSE(decode_failure(unknown).has_value());
}

// Of three ranks, rank 0's.
class Progress : public ::testing::Test {
  protected:
    static std::string name(int rank) { return "rank " + std::to_string(rank); }
    std::string blame() {
        return mine_.blame(
            5, {1}, milliseconds(100), name, [](int a, int b) { return a == b; }, Clock::now());
    }
    static std::vector<ProgressTable::Edge> no_edges(int) { return {}; }
    static void hear(ProgressTable& table, Control& control) {
        for (const auto& message : control.receive()) {
            const auto heard = decode_progress(message.payload);
            ASSERT_TRUE(heard.has_value());
            for (const CallProgress& one : *heard) ASSERT_TRUE(table.merge(one, Clock::now()));
        }
    }

    void hear_of_wait(int rank, Signature called) {
        CallProgress waits = progress_of(rank);
        waits.waits_in = 7;
        waits.called = called;
        ASSERT_TRUE(mine_.merge(waits, Clock::now()));
    }

    ProgressTable mine_{0, 3, nullptr, no_edges};
    ProgressTable theirs_{1, 3, nullptr, no_edges};
};

TEST_F(Progress, NumbersThatAreNoRanksAreRefused) {
    EXPECT_TRUE(mine_.merge(progress_of(2), Clock::now()));
    for (const int number : {-1, 3, 1 << 30}) EXPECT_FALSE(mine_.merge(progress_of(number), Clock::now()));
    for (const int number : {-2, 3, 1 << 30}) EXPECT_FALSE(mine_.merge(progress_of(1, number), Clock::now()));
}

TEST_F(Progress, ARankThatIsLateIsToldFromOneThatCannotBeHeard) {
    Ends ends;
    mine_.enter(5);
    theirs_.enter(4);
    EXPECT_EQ(blame(),
              "nothing was heard from rank 1, rank 2: stopped, cut off, or behind a firewall that forgot the "
              "connection");
    // Rank 1 computes: all that it does is to answer.
    const auto now = Clock::now();
    mine_.beat(1, 5, {}, milliseconds(100), now);
    mine_.share(ends.near, now);
    hear(theirs_, *ends.far.front());
    theirs_.share(ends.far, now + std::chrono::seconds(1));
    hear(mine_, *ends.near.front());
    EXPECT_EQ(blame(),
              "rank 1 did not call it; nothing was heard from rank 2: stopped, cut off, or behind a firewall "
              "that forgot the connection");
}

TEST_F(Progress, WhoHearsOfTwoThatCalledDifferentThingsTells) {
    const auto none = [](uint64_t) { return std::optional<Signature>(); };
    mine_.beat(-1, 8, {.count = 3, .kind = Collective::kAllReduce}, milliseconds(100), Clock::now());
    EXPECT_FALSE(mine_.mismatch(none).has_value());
    for (const int rank : {1, 2}) {
        EXPECT_FALSE(mine_.mismatch(none).has_value());
        hear_of_wait(rank, {.count = 5, .root = rank, .kind = Collective::kGather});
    }
    const auto calls = mine_.mismatch(none);
    ASSERT_TRUE(calls.has_value());
    EXPECT_EQ(calls->operation(), 7);
    EXPECT_NE(std::string(calls->what()).find("rank 1 called gather(uint8[5], root 1)"), std::string::npos)
        << calls->what();
    EXPECT_NE(std::string(calls->what()).find("rank 2 gather(uint8[5], root 2)"), std::string::npos)
        << calls->what();
}

TEST_F(Progress, WhoHasEndedAnOperationTellsWhoWaitsInAnotherOne) {
    const Signature mine{.count = 5, .root = 1, .kind = Collective::kScatter};
    const auto ended = [&](uint64_t number) {
        return number == 7 ? std::optional(mine) : std::optional<Signature>();
    };
    hear_of_wait(1, mine);
    EXPECT_FALSE(mine_.mismatch(ended).has_value());
    hear_of_wait(2, {.count = 5, .root = 2, .kind = Collective::kScatter});
    const auto calls = mine_.mismatch(ended);
    ASSERT_TRUE(calls.has_value());
    EXPECT_NE(std::string(calls->what()).find("rank 0 called scatter(uint8[5], root 1)"), std::string::npos)
        << calls->what();
    EXPECT_NE(std::string(calls->what()).find("rank 2 scatter(uint8[5], root 2)"), std::string::npos)
        << calls->what();
}

}  // namespace
}  // namespace ring
