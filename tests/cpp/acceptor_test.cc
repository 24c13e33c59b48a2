// The listening socket against friends and strangers.
#include "ring/transport/tcp/acceptor.h"
#include "ring/transport/frame.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <thread>

#include "ring/base/error.h"
#include "ring/transport/tcp/call.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

constexpr uint64_t kGroup = 42;
const std::string kSecret = "correct horse battery staple";

// An acceptor with somebody who drives it, as the engine does.
class AcceptorTest : public ::testing::Test {
  protected:
    AcceptorTest()
        : driver_([this] {
              while (!stop_.load()) {
                  pollfd waiting{acceptor_.fd(), POLLIN, 0};
                  ::poll(&waiting, 1, 10);
                  acceptor_.handle();
              }
          }) {}
    ~AcceptorTest() override {
        stop_.store(true);
        driver_.join();
    }

    UniqueFd connect() const { return tcp_connect(at_.address, at_.port, deadline_); }
    // As a peer: connects, and proves itself.
    UniqueFd introduce(const Hello& hello, const std::string& secret = kSecret,
                       milliseconds within = std::chrono::seconds(10)) const {
        Call call("the acceptor", {{at_, "", "", ""}}, hello, secret, Deadline::after(within), [](int) {});
        while (!call.advance()) call.wait(Clock::time_point::max());
        return call.take();
    }
    Hello hello(int from = 1) const {
        return {.purpose = Purpose::kData, .group = kGroup, .from = from, .to = 0};
    }
    // Whether the acceptor closes the connection.
    bool is_closed(const UniqueFd& socket) const {
        char byte;
        try {
            while (true) tcp_read_all(socket, &byte, 1, Deadline::after(std::chrono::seconds(2)));
        } catch (const PeerError&) {
            return true;
        } catch (const TimeoutError&) {
            return false;
        }
    }

    const Deadline deadline_ = Deadline::after(std::chrono::seconds(10));
    Acceptor acceptor_;
    const Endpoint at_ = acceptor_.listen({"127.0.0.1"}).front();
    std::atomic<bool> stop_{false};
    std::thread driver_;
};

TEST_F(AcceptorTest, TakesWhoKnowsTheSecret) {
    acceptor_.expect(kGroup, 0, kSecret);
    const UniqueFd client = introduce(hello());
    const UniqueFd server = acceptor_.take(kGroup, 1, 0, Purpose::kData, 0, deadline_);
    tcp_write_all(client, "hi", 2, deadline_);
    char text[2];
    tcp_read_all(server, text, 2, deadline_);
    EXPECT_EQ(std::string(text, 2), "hi");
    EXPECT_EQ(acceptor_.dropped(), 0u);
}

TEST_F(AcceptorTest, WaitsForAGroupThatItDoesNotKnowYet) {
    std::thread late([this] {
        std::this_thread::sleep_for(milliseconds(50));
        acceptor_.expect(kGroup, 0, kSecret);
    });
    const UniqueFd client = introduce(hello());
    EXPECT_TRUE(acceptor_.take(kGroup, 1, 0, Purpose::kData, 0, deadline_));
    late.join();
}

// The thread that tells of the group may end a handshake of which the driver has just heard.
TEST_F(AcceptorTest, TakesManyWhileItLearnsOfTheirGroups) {
    constexpr uint64_t kGroups = 300;
    constexpr int kPeers = 4;
    for (uint64_t group = kGroup; group < kGroup + kGroups; ++group) {
        std::vector<std::thread> peers;
        for (int from = 1; from <= kPeers; ++from)
            peers.emplace_back([this, group, from] {
                Hello mine = hello(from);
                mine.group = group;
                introduce(mine);
            });
        std::this_thread::sleep_for(std::chrono::microseconds(group % 7 * 50));
        acceptor_.expect(group, 0, kSecret);
        for (int from = 1; from <= kPeers; ++from)
            EXPECT_TRUE(acceptor_.take(group, from, 0, Purpose::kData, 0, deadline_));
        for (auto& peer : peers) peer.join();
        acceptor_.forget(group, 0);
    }
    EXPECT_EQ(acceptor_.dropped(), 0u);
}

TEST_F(AcceptorTest, DropsAWrongSecret) {
    acceptor_.expect(kGroup, 0, kSecret);
    EXPECT_THROW(introduce(hello(), "wrong", milliseconds(200)), TimeoutError);
    EXPECT_THROW(acceptor_.take(kGroup, 1, 0, Purpose::kData, 0, Deadline::after(milliseconds(50))),
                 TimeoutError);
}

TEST_F(AcceptorTest, DropsAClientThatAnswersTheChallengeWrongly) {
    acceptor_.expect(kGroup, 0, kSecret);
    const UniqueFd client = connect();
    Hello mine = hello();
    mine.version = kProtocolVersion;
    tcp_write_all(client, &mine, sizeof(mine), deadline_);
    Challenge challenge;
    tcp_read_all(client, &challenge, sizeof(challenge), deadline_);
    // Reflecting the server's own proof must not do.
    tcp_write_all(client, challenge.proof.data(), challenge.proof.size(), deadline_);
    EXPECT_TRUE(is_closed(client));
    EXPECT_EQ(acceptor_.dropped(), 1u);
}

TEST_F(AcceptorTest, DropsGarbageAndGoesOn) {
    acceptor_.expect(kGroup, 0, kSecret);
    for (const size_t bytes : {40, 64, 4096}) {
        const UniqueFd stranger = connect();
        const std::string garbage(bytes, 'x');
        tcp_write_all(stranger, garbage.data(), garbage.size(), deadline_);
        EXPECT_TRUE(is_closed(stranger)) << bytes;
    }
    const UniqueFd client = introduce(hello());
    EXPECT_TRUE(acceptor_.take(kGroup, 1, 0, Purpose::kData, 0, deadline_));
    EXPECT_EQ(acceptor_.dropped(), 3u);
}

TEST_F(AcceptorTest, RefusesTheSameConnectionTwice) {
    acceptor_.expect(kGroup, 0, kSecret);
    const UniqueFd first = introduce(hello());
    EXPECT_THROW(introduce(hello(), kSecret, milliseconds(200)), TimeoutError);
}

TEST_F(AcceptorTest, FriendsGetThroughHundredsOfSilentStrangers) {
    acceptor_.expect(kGroup, 0, kSecret);
    std::vector<UniqueFd> strangers;
    for (int i = 0; i < 700; ++i) strangers.push_back(connect());
    for (int from = 1; from <= 3; ++from) {
        const UniqueFd client = introduce(hello(from));
        EXPECT_TRUE(acceptor_.take(kGroup, from, 0, Purpose::kData, 0, deadline_));
    }
    EXPECT_GE(acceptor_.dropped(), 100u);
}

}  // namespace
}  // namespace ring
