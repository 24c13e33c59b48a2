// The listening socket against friends and strangers.
#include "ring/transport/tcp/acceptor.h"
#include "ring/transport/frame.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <thread>

#include "acceptors.h"
#include "ring/base/error.h"
#include "ring/transport/tcp/connecting.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

constexpr uint64_t kGroup = 42;
const std::string kSecret = "correct horse battery staple";

class AcceptorTest : public ::testing::Test {
  protected:
    UniqueFd connect() const { return tcp_connect(at_.address, at_.port, deadline_); }
    // As a peer: connects, and proves itself.
    UniqueFd introduce(const Hello& hello, const std::string& secret = kSecret,
                       milliseconds within = std::chrono::seconds(10)) const {
        testing::WatchedDescriptors watched;
        Connecting call("the acceptor", {{at_, "", "", ""}}, hello, secret, Deadline::after(within),
                        [&](int fd) { watched.watch(fd); });
        while (!call.advance()) watched.wait(call.next());
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
    testing::DrivenAcceptor acceptor_;
    const Endpoint at_ = acceptor_->listen({"127.0.0.1"}).front();
};

std::set<int> open_descriptors() {
    std::set<int> numbers;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        numbers.insert(std::stoi(entry.path().filename()));
    return numbers;
}

// While one is alive the process may have no more descriptors than it has now; it takes those that are free.
class OutOfDescriptors {
  public:
    OutOfDescriptors() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit low{static_cast<rlim_t>(*open_descriptors().rbegin() + 1), before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &low);
        while (true) {
            const int taken = ::dup(STDERR_FILENO);
            if (taken < 0) break;
            taken_.emplace_back(taken);
        }
    }
    ~OutOfDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  private:
    rlimit before_{};
    std::vector<UniqueFd> taken_;
};

TEST_F(AcceptorTest, TakesWhoKnowsTheSecret) {
    acceptor_->expect(kGroup, 0, kSecret);
    const UniqueFd client = introduce(hello());
    const UniqueFd server = acceptor_.take(kGroup, 1);
    tcp_write_all(client, "hi", 2, deadline_);
    char text[2];
    tcp_read_all(server, text, 2, deadline_);
    EXPECT_EQ(std::string(text, 2), "hi");
    EXPECT_EQ(acceptor_->dropped(), 0u);
}

// Less than what is on the way forgets an idle connection after.
TEST_F(AcceptorTest, BothEndsAskWhetherTheOtherIsStillThere) {
    acceptor_->expect(kGroup, 0, kSecret);
    const UniqueFd client = introduce(hello());
    const UniqueFd server = acceptor_.take(kGroup, 1);
    for (const UniqueFd* end : {&client, &server}) {
        const auto option = [&](int level, int name) {
            int value = 0;
            socklen_t length = sizeof(value);
            EXPECT_EQ(::getsockopt(end->get(), level, name, &value, &length), 0);
            return value;
        };
        EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
        EXPECT_LT(option(IPPROTO_TCP, TCP_KEEPIDLE), 350);
    }
}

TEST_F(AcceptorTest, WaitsForAGroupThatItDoesNotKnowYet) {
    std::thread late([this] {
        std::this_thread::sleep_for(milliseconds(50));
        acceptor_->expect(kGroup, 0, kSecret);
    });
    const UniqueFd client = introduce(hello());
    EXPECT_TRUE(acceptor_.take(kGroup, 1));
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
        acceptor_->expect(group, 0, kSecret);
        for (int from = 1; from <= kPeers; ++from) EXPECT_TRUE(acceptor_.take(group, from));
        for (auto& peer : peers) peer.join();
        acceptor_->forget(group, 0);
    }
    EXPECT_EQ(acceptor_->dropped(), 0u);
}

TEST_F(AcceptorTest, DropsAWrongSecret) {
    acceptor_->expect(kGroup, 0, kSecret);
    EXPECT_THROW(introduce(hello(), "wrong", milliseconds(200)), TimeoutError);
    EXPECT_FALSE(acceptor_.take(kGroup, 1, milliseconds(50)));
}

TEST_F(AcceptorTest, DropsAClientThatAnswersTheChallengeWrongly) {
    acceptor_->expect(kGroup, 0, kSecret);
    const UniqueFd client = connect();
    Hello mine = hello();
    mine.version = kProtocolVersion;
    tcp_write_all(client, &mine, sizeof(mine), deadline_);
    Challenge challenge;
    tcp_read_all(client, &challenge, sizeof(challenge), deadline_);
    // Reflecting the server's own proof must not do.
    tcp_write_all(client, challenge.proof.data(), challenge.proof.size(), deadline_);
    EXPECT_TRUE(is_closed(client));
    EXPECT_EQ(acceptor_->dropped(), 1u);
}

TEST_F(AcceptorTest, DropsGarbageAndGoesOn) {
    acceptor_->expect(kGroup, 0, kSecret);
    for (const size_t bytes : {40, 64, 4096}) {
        const UniqueFd stranger = connect();
        const std::string garbage(bytes, 'x');
        tcp_write_all(stranger, garbage.data(), garbage.size(), deadline_);
        EXPECT_TRUE(is_closed(stranger)) << bytes;
    }
    const UniqueFd client = introduce(hello());
    EXPECT_TRUE(acceptor_.take(kGroup, 1));
    EXPECT_EQ(acceptor_->dropped(), 3u);
}

TEST_F(AcceptorTest, RefusesTheSameConnectionTwice) {
    acceptor_->expect(kGroup, 0, kSecret);
    const UniqueFd first = introduce(hello());
    EXPECT_THROW(introduce(hello(), kSecret, milliseconds(200)), TimeoutError);
}

TEST_F(AcceptorTest, FriendsGetThroughHundredsOfSilentStrangers) {
    acceptor_->expect(kGroup, 0, kSecret);
    std::vector<UniqueFd> strangers;
    for (int i = 0; i < 700; ++i) strangers.push_back(connect());
    for (int from = 1; from <= 3; ++from) {
        const UniqueFd client = introduce(hello(from));
        EXPECT_TRUE(acceptor_.take(kGroup, from));
    }
    EXPECT_GE(acceptor_->dropped(), 100u);
}

// Where the process may have few descriptors, strangers get few of them.
TEST_F(AcceptorTest, StrangersHoldNoMoreThanAShareOfTheDescriptors) {
    acceptor_->expect(kGroup, 0, kSecret);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit low{320, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    std::vector<UniqueFd> strangers;
    for (int i = 0; i < 100; ++i) strangers.push_back(connect());
    const UniqueFd client = introduce(hello());
    EXPECT_TRUE(acceptor_.take(kGroup, 1));
    EXPECT_GE(acceptor_->dropped(), 60u) << "an eighth of 320 may stay";
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(AcceptorTest, KeepsAReserveForFriendsAndSaysWhenItIsUsedUp) {
    acceptor_->expect(kGroup, 0, kSecret);
    const sockaddr_in there{.sin_family = AF_INET,
                            .sin_port = htons(at_.port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_zero = {}};
    std::vector<UniqueFd> clients;  // opened while that is possible
    constexpr int kClients = 20;
    for (int i = 0; i < kClients; ++i) clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // As a peer, by hand; what refuses it, or "".
    const auto call = [&](int i) -> std::string {
        const UniqueFd& client = clients[i];
        EXPECT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&there), sizeof(there)), 0);
        Hello mine = hello(i);
        mine.version = kProtocolVersion;
        mine.nonce = random_nonce();
        tcp_write_all(client, &mine, sizeof(mine), deadline_);
        Challenge challenge;
        tcp_read_all(client, &challenge, sizeof(challenge), deadline_);
        const std::string why = refusal(challenge, kSecret, mine);
        if (!why.empty()) return why;
        const Digest proof = client_proof(kSecret, mine, challenge.nonce);
        tcp_write_all(client, proof.data(), proof.size(), deadline_);
        return "";
    };
    std::vector<UniqueFd> taken;
    {
        const OutOfDescriptors none;
        int i = 0;
        std::string why;
        for (; i < kClients; ++i) {
            why = call(i);
            if (!why.empty()) break;
            taken.push_back(acceptor_.take(kGroup, i));
        }
        EXPECT_GE(i, 4);
        EXPECT_NE(why.find("out of descriptors"), std::string::npos) << why;
        EXPECT_NE(why.find("RLIMIT_NOFILE"), std::string::npos) << why;
        EXPECT_NE(acceptor_->trouble().find("RLIMIT_NOFILE is"), std::string::npos) << acceptor_->trouble();
        // More of them knock, and nobody is busy with what cannot be done.
        const int turns = acceptor_.turns();
        for (int late = i + 1; late < kClients; ++late)
            EXPECT_NE(call(late).find("out of descriptors"), std::string::npos);
        std::this_thread::sleep_for(milliseconds(300));
        EXPECT_LT(acceptor_.turns() - turns, 500);
    }
    const UniqueFd client = introduce(hello(kClients));
    EXPECT_TRUE(acceptor_.take(kGroup, kClients));
    EXPECT_EQ(acceptor_->trouble(), "");
}

// As in a child that was forked while the connection was there, before it has closed its copy.
TEST(Acceptor, NoEventOfADroppedVisitorComesLater) {
    Acceptor acceptor;
    const Endpoint at = acceptor.listen({"127.0.0.1"}).front();
    const Deadline deadline = Deadline::after(std::chrono::seconds(10));
    const std::set<int> before = open_descriptors();
    const UniqueFd stranger = tcp_connect(at.address, at.port, deadline);
    acceptor.handle();
    std::vector<UniqueFd> copies;
    for (const int fd : open_descriptors())
        if (before.count(fd) == 0 && fd != stranger.get())
            if (const int copy = ::dup(fd); copy >= 0) copies.emplace_back(copy);
    ASSERT_FALSE(copies.empty());
    const std::string garbage(sizeof(Hello), 'x');
    tcp_write_all(stranger, garbage.data(), garbage.size(), deadline);
    while (acceptor.dropped() == 0 && !deadline.passed()) acceptor.handle();
    ASSERT_EQ(acceptor.dropped(), 1u);
    tcp_write_all(stranger, garbage.data(), garbage.size(), deadline);
    pollfd copy{copies.front().get(), POLLIN, 0};
    ASSERT_EQ(::poll(&copy, 1, 5000), 1) << "what was written has come";
    pollfd events{acceptor.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&events, 1, 0), 0);
    acceptor.handle();
    EXPECT_EQ(acceptor.dropped(), 1u);
}

}  // namespace
}  // namespace ring
