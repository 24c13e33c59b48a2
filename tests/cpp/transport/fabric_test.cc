// The conformance suite of the fabrics: whatever implements Fabric must pass it.
#include "ring/transport/fabric.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "acceptors.h"
#include "fake_fabric.h"
#include "ring/engine/tcp_fabric.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

using namespace ring::testing;
using std::chrono::seconds;

// Ranks 0 and 1, which reach each other, and rank 2, which is there and does not answer.
class Ranks {
  public:
    virtual ~Ranks() = default;
    virtual Fabric& of(int rank) = 0;
};

class FakeRanks : public Ranks {
  public:
    FakeRanks() { network_.silent.insert(2); }
    Fabric& of(int rank) override { return rank == 0 ? zero_ : one_; }

  private:
    FakeNetwork network_;
    FakeFabric zero_{network_, 0};
    FakeFabric one_{network_, 1};
};

class TcpRanks : public Ranks {
  public:
    TcpRanks() {
        std::vector<std::vector<Endpoint>> addresses{
            zero_.listen(), one_.listen(), {{"127.0.0.2", tcp_port(mute_)}}};
        zero_.learn(addresses);
        one_.learn(addresses);
    }
    Fabric& of(int rank) override { return rank == 0 ? zero_ : one_; }

  private:
    Dialer dialer(int rank) {
        const Reach reach{.addresses = {"127.0.0.1"},
                          .all = {{.name = "lo", .address = "127.0.0.1", .loopback = true}},
                          .chosen_by = ""};
        std::vector<Station> stations;
        for (const char* number : {"0", "1", "2"})
            stations.push_back({std::string("rank ") + number, std::string("host ") + number, "machine"});
        return Dialer(reached_, reach, rank, std::move(stations));
    }

    UniqueFd mute_ = tcp_listen("127.0.0.2");
    ReachedAddresses reached_;
    DrivenAcceptor acceptors_[2];
    TcpFabric zero_{*acceptors_[0], dialer(0), 42, "secret"};
    TcpFabric one_{*acceptors_[1], dialer(1), 42, "secret"};
};

struct Kind {
    const char* name;
    std::function<std::unique_ptr<Ranks>()> make;
};

class FabricConformance : public ::testing::TestWithParam<Kind> {
  protected:
    std::unique_ptr<Pipe> call(int from, int to, Use use, milliseconds within = seconds(10)) {
        WatchedDescriptors watched;
        const auto call =
            ranks_->of(from).call(to, use, Deadline::after(within), [&](int fd) { watched.watch(fd); });
        while (true) {
            if (auto pipe = call->advance()) return pipe;
            watched.wait(call->next());
        }
    }
    std::vector<Fabric::Accepted> accept(int rank, Purpose purpose) {
        const Deadline deadline = Deadline::after(seconds(10));
        while (!deadline.passed())
            if (auto accepted = ranks_->of(rank).accept(purpose); !accepted.empty()) return accepted;
        return {};
    }
    static void expect_through(Pipe& from, Pipe& to) {
        char out = 'x';
        char in = 0;
        const iovec sent{&out, 1};
        const iovec room{&in, 1};
        ASSERT_EQ(from.write(&sent, 1), 1U);
        const Deadline deadline = Deadline::after(seconds(10));
        while (to.read(&room, 1) == 0 && !deadline.passed()) std::this_thread::yield();
        EXPECT_EQ(in, 'x');
    }

    const std::unique_ptr<Ranks> ranks_ = GetParam().make();
};

TEST_P(FabricConformance, BothEndsComeToTheSameAnswer) {
    EXPECT_TRUE(ranks_->of(0).viable(1));
    EXPECT_TRUE(ranks_->of(1).viable(0));
    EXPECT_FALSE(ranks_->of(0).viable(0));
}

TEST_P(FabricConformance, EachUseIsAConnectionOfItsOwn) {
    const auto messages = call(1, 0, {Purpose::kMessages});
    const auto control = call(1, 0, {Purpose::kControl});
    const auto third = call(1, 0, {Purpose::kData, 3});
    const auto first = call(1, 0, {Purpose::kData, 1});
    for (const auto& [purpose, near] :
         {std::pair{Purpose::kControl, control.get()}, {Purpose::kMessages, messages.get()}}) {
        const auto accepted = accept(0, purpose);
        ASSERT_EQ(accepted.size(), 1U);
        EXPECT_EQ(accepted.front().from, 1);
        expect_through(*near, *accepted.front().pipe);
        expect_through(*accepted.front().pipe, *near);
    }
    std::map<int, std::unique_ptr<Pipe>> streams;
    for (auto& [from, stream, pipe] : accept(0, Purpose::kData)) streams[stream] = std::move(pipe);
    ASSERT_EQ(streams.size(), 2U);
    ASSERT_TRUE(streams[1] && streams[3]);
    expect_through(*first, *streams[1]);
    expect_through(*third, *streams[3]);
    EXPECT_TRUE(ranks_->of(0).accept(Purpose::kData).empty()) << "each is handed over once";
}

TEST_P(FabricConformance, TellsOfThoseWhoCome) {
    std::atomic<int> told{0};
    const auto early = call(1, 0, {Purpose::kData, 0});
    ranks_->of(0).watch([&] { ++told; });
    EXPECT_GE(told, 1) << "of who was there before";
    EXPECT_EQ(ranks_->of(0).accept(Purpose::kData).size(), 1U);
    const int before = told;
    const auto late = call(1, 0, {Purpose::kControl});
    const Deadline deadline = Deadline::after(seconds(10));
    while (told == before && !deadline.passed()) std::this_thread::yield();
    EXPECT_GT(told, before);
    ranks_->of(0).watch(nullptr);
    const int last = told;
    const auto unseen = call(1, 0, {Purpose::kMessages});
    EXPECT_EQ(accept(0, Purpose::kMessages).size(), 1U);
    EXPECT_EQ(told, last);
}

TEST_P(FabricConformance, WatchesTheDescriptorOfThePipe) {
    std::vector<int> watched;
    WatchedDescriptors events;
    const auto call = ranks_->of(0).call(1, {Purpose::kData}, Deadline::after(seconds(10)), [&](int fd) {
        watched.push_back(fd);
        events.watch(fd);
    });
    std::unique_ptr<Pipe> pipe;
    while ((pipe = call->advance()) == nullptr) events.wait(call->next());
    EXPECT_EQ(std::count(watched.begin(), watched.end(), pipe->fd()), 1);
}

TEST_P(FabricConformance, SaysThatThePeerHasLeft) {
    ranks_->of(0).leave();
    EXPECT_THROW(call(1, 0, {Purpose::kMessages}), PeerLeft);
}

TEST_P(FabricConformance, NamesWhoDoesNotAnswer) {
    try {
        call(0, 2, {Purpose::kControl}, milliseconds(100));
        ADD_FAILURE() << "there is nobody";
    } catch (const TimeoutError& error) {
        EXPECT_NE(std::string(error.what()).find("cannot reach rank 2 in time"), std::string::npos)
            << error.what();
    }
    EXPECT_EQ(ranks_->of(0).trouble(), "") << "that is not this rank's";
    EXPECT_NE(ranks_->of(0).absence(), "");
}

INSTANTIATE_TEST_SUITE_P(All, FabricConformance,
                         ::testing::Values(Kind{"tcp", [] { return std::make_unique<TcpRanks>(); }},
                                           Kind{"fake", [] { return std::make_unique<FakeRanks>(); }}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ring
