// Calling a rank that has several addresses, of which some lead nowhere, or to somebody else.
#include "ring/transport/tcp/connecting.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

#include "acceptors.h"
#include "ring/base/error.h"
#include "ring/engine/tcp_fabric.h"
#include "ring/transport/tcp/acceptor.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

using std::chrono::seconds;

constexpr uint64_t kGroup = 42;
const std::string kSecret = "correct horse battery staple";

// A rank that takes calls.
class Peer {
  public:
    explicit Peer(const std::string& secret = kSecret, int rank = 0, const PortRange& ports = {})
        : acceptor_(ports) {
        acceptor_->expect(kGroup, rank, secret);
    }
    Endpoint at(const std::string& address) { return acceptor_->listen({address}).front(); }
    bool has_taken(milliseconds within = seconds(5)) {
        return static_cast<bool>(acceptor_.take(kGroup, 1, within));
    }
    Acceptor& acceptor() { return *acceptor_; }

  private:
    testing::DrivenAcceptor acceptor_;
};

// Where nobody listens.
Endpoint nowhere() {
    return {"127.0.0.1", tcp_port(tcp_listen("127.0.0.1"))};
}

// Takes connections into its backlog, and never says a word.
class Mute {
  public:
    Endpoint at() const { return {"127.0.0.2", tcp_port(socket_)}; }

  private:
    UniqueFd socket_ = tcp_listen("127.0.0.2");
};

// Its backlog is full: the kernel drops what comes, as a firewall does.
class BlackHole {
  public:
    BlackHole() {
        if (::listen(socket_.get(), 0) != 0) throw_errno("listen");
        int code = 0;
        for (UniqueFd& one : fill_)
            if (tcp_start_connect("", at(), one) != 0) throw Error("cannot fill the backlog");
        const Deadline deadline = Deadline::after(seconds(5));
        while (!tcp_connect_ended(fill_.front(), code) && !deadline.passed()) std::this_thread::yield();
    }
    Endpoint at() const { return {"127.0.0.3", tcp_port(socket_)}; }

  private:
    UniqueFd socket_ = tcp_listen("127.0.0.3");
    std::array<UniqueFd, 4> fill_;
};

class CallTest : public ::testing::Test {
  protected:
    // Calls rank 0; how long that took.
    milliseconds call(const std::vector<Route>& routes, milliseconds within = seconds(10)) {
        const auto start = Clock::now();
        Connecting call("rank 0 (host b, pid 7)", routes,
                        {.purpose = Purpose::kData, .group = kGroup, .from = 1, .to = 0}, kSecret,
                        Deadline::after(within), [this](int fd) {
                            ++begun_;
                            watched_.watch(fd);
                        });
        while (!call.advance()) watched_.wait(call.next());
        reached_ = call.reached();
        connection_ = call.take();
        return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
    }
    template <typename Expected>
    std::string failure(const std::vector<Route>& routes, milliseconds within) {
        try {
            call(routes, within);
        } catch (const Expected& error) {
            return error.what();
        }
        return "it got through, or failed with something else";
    }
    static Route to(Endpoint endpoint) { return {std::move(endpoint), "", "", ""}; }

    testing::WatchedDescriptors watched_;
    std::atomic<int> begun_{0};
    Endpoint reached_;
    UniqueFd connection_;
};

TEST_F(CallTest, MakesOneConnectionWhereTheFirstAddressWorks) {
    Peer peer;
    const Endpoint first = peer.at("127.0.0.1");
    const Endpoint second = peer.at("127.0.0.4");
    EXPECT_LT(call({to(first), to(second)}), milliseconds(200));
    EXPECT_EQ(begun_, 1);
    EXPECT_EQ(reached_, first);
    EXPECT_TRUE(peer.has_taken());
}

TEST_F(CallTest, GoesOnAtOnceWhereNobodyListens) {
    Peer peer;
    EXPECT_LT(call({to(nowhere()), to(nowhere()), to(peer.at("127.0.0.1"))}), milliseconds(200));
    EXPECT_TRUE(peer.has_taken());
}

TEST_F(CallTest, GoesOnSoonWhereNobodyAnswers) {
    Peer peer;
    const BlackHole hole;
    const Mute mute;
    const auto took = call({to(hole.at()), to(mute.at()), to(peer.at("127.0.0.1"))});
    EXPECT_GE(took, milliseconds(400));
    EXPECT_LT(took, seconds(3));
    EXPECT_TRUE(peer.has_taken());
}

TEST_F(CallTest, DropsWhoIsNotThePeer) {
    Peer peer;
    Peer other("another job's secret");
    Peer member(kSecret, 5);  // of the same group, on another machine with the same address
    call({to(other.at("127.0.0.1")), to(member.at("127.0.0.1")), to(peer.at("127.0.0.1"))});
    EXPECT_EQ(reached_, peer.at("127.0.0.1"));
    EXPECT_TRUE(peer.has_taken());
}

TEST_F(CallTest, UsesOneConnectionOfSeveralThatLeadToThePeer) {
    // It hears of the group so late that all of its addresses have been tried: they answer at the same time.
    Peer peer(kSecret, 5);
    const std::vector<Route> routes{to(peer.at("127.0.0.1")), to(peer.at("127.0.0.4")),
                                    to(peer.at("127.0.0.5"))};
    std::thread late([&] {
        while (begun_ < 3) std::this_thread::sleep_for(milliseconds(1));
        peer.acceptor().expect(kGroup, 0, kSecret);
    });
    call(routes);
    late.join();
    EXPECT_TRUE(peer.has_taken());
    EXPECT_FALSE(peer.has_taken(milliseconds(300)));
}

TEST_F(CallTest, TriesAgainWhereThePeerIsLate) {
    const Endpoint where = nowhere();
    Peer peer(kSecret, 0, {where.port, where.port});
    std::thread late([&] {
        while (begun_ < 3) std::this_thread::sleep_for(milliseconds(1));
        peer.at(where.address);
    });
    call({to(where)});
    late.join();
    EXPECT_TRUE(peer.has_taken());
}

TEST_F(CallTest, GivesUpWhereAllDoorsStayClosed) {
    const auto start = Clock::now();
    const std::string text = failure<PeerError>({to(nowhere()), to(nowhere())}, seconds(60));
    EXPECT_LT(Clock::now() - start, seconds(20));
    EXPECT_NE(text.find("Connection refused: nobody listens there, or a firewall refuses it"),
              std::string::npos)
        << text;
}

TEST_F(CallTest, HearsThatThePeerHasLeftTheGroup) {
    Peer peer;
    const Endpoint there = peer.at("127.0.0.1");
    peer.acceptor().leave(kGroup, 0);
    EXPECT_EQ(failure<PeerLeft>({to(there)}, seconds(10)), "rank 0 (host b, pid 7) left the group");
    // One that does not know the secret is not believed.
    Peer stranger("another secret");
    const Endpoint elsewhere = stranger.at("127.0.0.2");
    stranger.acceptor().leave(kGroup, 0);
    EXPECT_NE(failure<TimeoutError>({to(elsewhere)}, milliseconds(300)).find("does not know the secret"),
              std::string::npos);
}

TEST_F(CallTest, SaysWhatBecameOfEachAddress) {
    const BlackHole hole;
    const Mute mute;
    const Endpoint refuses = nowhere();
    const std::string text =
        failure<TimeoutError>({{refuses, "", "", "an address of rank 2 too"},
                               to(hole.at()),
                               to(mute.at()),
                               {{"172.17.0.1", 9}, "", "this host has that address too", ""}},
                              seconds(1));
    for (const std::string& part :
         {std::string("cannot reach rank 0 (host b, pid 7) in time"),
          describe(refuses) + " (an address of rank 2 too): Connection refused",
          describe(hole.at()) + ": no answer: a firewall",
          describe(mute.at()) + ": a connection, but no answer",
          std::string("172.17.0.1 port 9: not tried: this host has that address too"),
          std::string("TORCH_RING_PORT_RANGE")})
        EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

TEST_F(CallTest, GivesUpAtOnceWhereThereIsNoWay) {
    const auto start = Clock::now();
    const std::string text = failure<PeerError>({{{"10.0.0.1", 9}, "", "this host has no IPv4 address", ""},
                                                 {{"198.51.100.1", 9}, "127.0.0.1", "", ""}},
                                                seconds(60));
    EXPECT_LT(Clock::now() - start, seconds(5));
    EXPECT_NE(
        text.find(
            "198.51.100.1 port 9 from 127.0.0.1: Invalid argument: it cannot be reached from 127.0.0.1, "
            "is that loopback?"),
        std::string::npos)
        << text;
}

// What rank 1 knows of rank 0, which is on another machine and has these addresses; the second rank on that
// machine has them too, and rank 3 on a third one the first of them.
class DialerTest : public ::testing::Test {
  protected:
    // The pipe; it fails as the call does.
    std::unique_ptr<Pipe> reach(const std::vector<std::vector<Endpoint>>& addresses,
                                milliseconds within = seconds(10)) {
        Acceptor own;
        TcpFabric fabric(own, Dialer(reached_, reach_, 1, stations_), kGroup, kSecret);
        fabric.learn(addresses);
        testing::WatchedDescriptors watched;
        const auto call = fabric.call(0, {Purpose::kData}, Deadline::after(within), [&](int fd) {
            ++begun_;
            watched.watch(fd);
        });
        while (true) {
            if (auto pipe = call->advance()) return pipe;
            watched.wait(call->next());
        }
    }

    const std::vector<Station> stations_{{"rank 0 (host nodea, pid 1)", "a", "a"},
                                         {"rank 1 (host nodeb, pid 2)", "b", "b"},
                                         {"rank 2 (host nodea, pid 3)", "a", "a"},
                                         {"rank 3 (host nodec, pid 4)", "c", "c"}};
    const Reach reach_ = choose_reach(
        {{.name = "lo", .address = "127.0.0.1", .loopback = true}, {.name = "eth0", .address = "10.78.0.1"}},
        {});
    ReachedAddresses reached_;
    int begun_ = 0;
};

TEST_F(DialerTest, BeginsWithTheAddressThatHasWorkedInAnotherGroup) {
    Peer peer;
    const BlackHole hole;
    const std::vector<std::vector<Endpoint>> addresses{{hole.at(), peer.at("127.0.0.4")}, {}, {}, {}};
    for (const int expected : {2, 1}) {
        begun_ = 0;
        EXPECT_NE(reach(addresses), nullptr);
        EXPECT_EQ(begun_, expected);
        EXPECT_TRUE(peer.has_taken());
    }
}

TEST_F(DialerTest, NamesWhoHasTheSameAddressAndWhatThisHostHas) {
    try {
        reach({{{"127.0.0.1", 9}, {"198.51.100.7", 9}}, {}, {{"198.51.100.7", 9}}, {{"198.51.100.7", 9}}},
              milliseconds(0));
        ADD_FAILURE() << "there is nobody";
    } catch (const Error& error) {
        const std::string text = error.what();
        for (const char* part : {"cannot reach rank 0 (host nodea, pid 1)",
                                 "127.0.0.1 port 9: not tried: this host has that address too",
                                 "198.51.100.7 port 9 (an address of rank 3 (host nodec, pid 4) too)"})
            EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
    }
}

}  // namespace
}  // namespace ring
