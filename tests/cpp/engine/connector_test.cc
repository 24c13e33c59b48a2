// How the connections of a session come about: all at once, in any order, and what is said of those that do
// not.
#include "ring/engine/connector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "fake_fabric.h"
#include "ring/engine/rendezvous.h"

namespace ring {
namespace {

using namespace ring::testing;
using std::chrono::seconds;

constexpr int kStreams = 2;

class ConnectorTest : public ::testing::Test {
  protected:
    Connector connector(int self, const std::vector<int>& peers, milliseconds within = seconds(60)) {
        return Connector(fabric(self), self, peers, kStreams, Deadline::after(within),
                         {.watch = [this](int) { ++watched_; },
                          .arrived = [this] { ++arrived_; },
                          .describe = [](int rank) { return "rank " + std::to_string(rank); }});
    }
    Fabric& fabric(int rank) { return fabrics_.try_emplace(rank, network_, rank).first->second; }
    // As the peer's connector does; its end of the pipe.
    std::unique_ptr<Pipe> come(int from, int to, Use use) {
        auto [mine, theirs] = FakeNetwork::pipe();
        network_.arrive(to, {from, use, std::move(theirs)});
        return std::move(mine);
    }
    static std::string failure(Connector& connector) {
        try {
            while (!connector.step()) {
            }
        } catch (const Bystander& error) {
            return std::string("bystander: ") + error.what();
        } catch (const TimeoutError& error) {
            return std::string("timeout: ") + error.what();
        } catch (const Error& error) {
            return error.what();
        }
        return "none";
    }
    static void expect_ends_of_one(Pipe& a, Pipe& b) {
        char byte = 'x';
        const iovec sent{&byte, 1};
        ASSERT_EQ(a.write(&sent, 1), 1U);
        EXPECT_EQ(b.read(&sent, 1), 1U);
    }

    FakeNetwork network_;
    std::map<int, FakeFabric> fabrics_;
    int watched_ = 0;
    int arrived_ = 0;
};

// Else each rank would wait for the one before it.
TEST_F(ConnectorTest, CallsEveryoneBeforeAnybodyHasComeOrAnswered) {
    network_.silent = {4, 5, 6};
    Connector connecting = connector(3, {1, 2, 4, 5, 6});
    EXPECT_FALSE(connecting.step());
    std::vector<int> called;
    for (const auto& [from, to, use] : network_.begun) called.push_back(to);
    EXPECT_EQ(called, (std::vector<int>{4, 4, 4, 5, 5, 5, 6, 6, 6}));
}

TEST_F(ConnectorTest, TakesThemInAnyOrder) {
    Connector connecting = connector(3, {1, 2, 4});
    network_.silent = {4};
    std::map<std::pair<int, int>, std::unique_ptr<Pipe>> far;  // by rank and stream, -1 for the control
    for (const auto& [rank, stream] : {std::pair{2, 1}, {1, -1}, {2, -1}, {1, 1}, {1, 0}, {2, 0}}) {
        EXPECT_FALSE(connecting.step());
        far[{rank, stream}] =
            come(rank, 3, stream < 0 ? Use{Purpose::kControl} : Use{Purpose::kData, stream});
    }
    EXPECT_EQ(arrived_, 6);
    EXPECT_FALSE(connecting.step()) << "rank 4 has not answered";
    network_.silent.clear();
    EXPECT_TRUE(connecting.step());
    EXPECT_EQ(watched_, 1 + kStreams) << "what this rank opened";
    for (FakeNetwork::Caller& caller : network_.waiting[4])
        far[{4, caller.use.purpose == Purpose::kControl ? -1 : caller.use.stream}] = std::move(caller.pipe);
    const auto made = connecting.take();
    ASSERT_EQ(made.size(), 3U);
    for (size_t i = 0; i < made.size(); ++i) {
        const int peer = std::vector{1, 2, 4}[i];
        EXPECT_EQ(made[i].peer, peer);
        expect_ends_of_one(*made[i].control, *far[{peer, -1}]);
        ASSERT_EQ(made[i].streams.size(), static_cast<size_t>(kStreams));
        for (int stream = 0; stream < kStreams; ++stream)
            expect_ends_of_one(*made[i].streams[stream], *far[{peer, stream}]);
    }
}

TEST_F(ConnectorTest, ConnectsManyRanksWhoeverIsDrivenFirst) {
    constexpr int kRanks = 6;
    std::vector<std::unique_ptr<Connector>> connectors;
    for (int rank = 0; rank < kRanks; ++rank) {
        std::vector<int> peers;
        for (int peer = 0; peer < kRanks; ++peer)
            if (peer != rank) peers.push_back(peer);
        connectors.push_back(std::make_unique<Connector>(
            fabric(rank), rank, peers, kStreams, Deadline::after(seconds(60)),
            Connector::Hooks{.watch = [](int) {}, .arrived = [] {}, .describe = [](int) { return ""; }}));
    }
    // Two rounds: what one calls, the others have accepted in the next.
    for (int rank = kRanks - 1; rank >= 0; --rank) connectors[rank]->step();
    for (const auto& one : connectors) EXPECT_TRUE(one->step());
}

TEST_F(ConnectorTest, NamesAllThatHaveNotComeInTime) {
    Connector connecting = connector(3, {0, 1, 2}, milliseconds(0));
    const auto control = come(1, 3, {Purpose::kControl});  // but for its streams
    const std::array whole{come(2, 3, {Purpose::kControl}), come(2, 3, {Purpose::kData, 0}),
                           come(2, 3, {Purpose::kData, 1})};
    EXPECT_EQ(failure(connecting), "bystander: rank 0, rank 1 have not connected in time: nobody came");
    Connector of_one = connector(5, {4}, milliseconds(0));
    EXPECT_EQ(failure(of_one), "bystander: rank 4 has not connected in time: nobody came");
}

// Who calls knows more of what is wrong than who waits.
TEST_F(ConnectorTest, ACallThatFailsGoesBeforeThoseWhoDoNotCome) {
    network_.silent = {4};
    Connector connecting = connector(3, {2, 4}, milliseconds(0));
    EXPECT_EQ(failure(connecting), "timeout: cannot reach rank 4 in time: it is silent");
    network_.left = {5};
    Connector other = connector(3, {2, 5});
    EXPECT_EQ(failure(other), "rank 5 left the group");
}

// Its first connection broke before it heard that it was in use.
TEST_F(ConnectorTest, WhoCallsAgainReplacesItsConnection) {
    Connector connecting = connector(1, {0});
    come(0, 1, {Purpose::kControl}).reset();
    EXPECT_FALSE(connecting.step());
    const auto control = come(0, 1, {Purpose::kControl});
    const auto first = come(0, 1, {Purpose::kData, 0});
    const auto second = come(0, 1, {Purpose::kData, 1});
    ASSERT_TRUE(connecting.step());
    expect_ends_of_one(*connecting.take().front().control, *control);
}

TEST_F(ConnectorTest, RefusesWhoHasNoBusinessHere) {
    const auto words = [](int rank) {
        return "rank " + std::to_string(rank) +
               " opened a connection that the group has no use for: torch_ring is broken, please report it";
    };
    network_.silent = {4};
    for (const auto& [rank, use] : {std::pair{2, Use{Purpose::kControl}},          // no neighbour
                                    std::pair{4, Use{Purpose::kControl}},          // waits to be called
                                    std::pair{1, Use{Purpose::kData, kStreams}}})  // one too many
    {
        Connector connecting = connector(3, {1, 4});
        const auto pipe = come(rank, 3, use);
        EXPECT_EQ(failure(connecting), words(rank));
    }
}

TEST_F(ConnectorTest, LeavesMessagesToThoseWhoWantThem) {
    const auto early = come(0, 1, {Purpose::kMessages});
    {
        Connector connecting = connector(1, {0});
        const auto control = come(0, 1, {Purpose::kControl});
        const auto first = come(0, 1, {Purpose::kData, 0});
        const auto second = come(0, 1, {Purpose::kData, 1});
        EXPECT_TRUE(connecting.step());
    }
    const int told = arrived_;
    const auto late = come(0, 1, {Purpose::kMessages});
    EXPECT_EQ(arrived_, told) << "the connector is no more";
    EXPECT_EQ(fabric(1).accept(Purpose::kMessages).size(), 2U);
}

}  // namespace
}  // namespace ring
