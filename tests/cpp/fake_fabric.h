// A fabric in memory, of ranks that the test holds in one thread: a call gets through at its first advance(),
// unless the test has the peer be silent or leave. It passes the conformance suite of fabric_test.cc.
#pragma once

#include <sys/socket.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ring/base/error.h"
#include "ring/transport/fabric.h"
#include "ring/transport/tcp/pipe.h"

namespace ring::testing {

class FakeNetwork {
  public:
    struct Caller {
        int from;
        Use use;
        std::unique_ptr<Pipe> pipe;
    };
    struct Begun {
        int from;
        int to;
        Use use;
    };

    void arrive(int to, Caller caller) {
        waiting[to].push_back(std::move(caller));
        if (watchers[to]) watchers[to]();
    }
    // Two ends of a pipe; `watch` is told of the first.
    static std::pair<std::unique_ptr<Pipe>, std::unique_ptr<Pipe>> pipe(const Fabric::Watch& watch = {}) {
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
            throw_errno("socketpair");
        if (watch) watch(ends[0]);
        return {std::make_unique<TcpPipe>(UniqueFd(ends[0])), std::make_unique<TcpPipe>(UniqueFd(ends[1]))};
    }

    std::set<int> silent;                        // who does not answer calls
    std::set<int> left;                          // who has left
    std::vector<Begun> begun;                    // all calls, by when they began
    std::map<int, std::vector<Caller>> waiting;  // by whom they have called
    std::map<int, std::function<void()>> watchers;
};

class FakeCall : public Call {
  public:
    FakeCall(FakeNetwork& network, int from, int to, Use use, Deadline deadline, Fabric::Watch watch)
        : network_(network), from_(from), to_(to), use_(use), deadline_(deadline), watch_(std::move(watch)) {}

    std::unique_ptr<Pipe> advance() override {
        const std::string whom = "rank " + std::to_string(to_);
        if (network_.left.count(to_) != 0) throw PeerLeft(whom + " left the group");
        if (network_.silent.count(to_) != 0) {
            if (deadline_.passed()) throw TimeoutError("cannot reach " + whom + " in time: it is silent");
            return nullptr;
        }
        auto [mine, theirs] = FakeNetwork::pipe(watch_);
        network_.arrive(to_, {from_, use_, std::move(theirs)});
        return std::move(mine);
    }
    Clock::time_point next() const override { return deadline_.at(); }

  private:
    FakeNetwork& network_;
    const int from_;
    const int to_;
    const Use use_;
    const Deadline deadline_;
    const Fabric::Watch watch_;
};

class FakeFabric : public Fabric {
  public:
    FakeFabric(FakeNetwork& network, int self) : network_(network), self_(self) {}

    bool viable(int peer) const override { return peer != self_; }
    std::unique_ptr<Call> call(int peer, Use use, Deadline deadline, Watch watch) override {
        network_.begun.push_back({self_, peer, use});
        return std::make_unique<FakeCall>(network_, self_, peer, use, deadline, std::move(watch));
    }
    std::vector<Accepted> accept(Purpose purpose) override {
        std::vector<Accepted> accepted;
        std::erase_if(network_.waiting[self_], [&](FakeNetwork::Caller& one) {
            if (one.use.purpose != purpose) return false;
            accepted.push_back({one.from, one.use.stream, std::move(one.pipe)});
            return true;
        });
        return accepted;
    }
    void watch(std::function<void()> arrived) override {
        network_.watchers[self_] = std::move(arrived);
        if (network_.watchers[self_] && !network_.waiting[self_].empty()) network_.watchers[self_]();
    }
    std::string absence() const override { return "nobody came"; }
    std::string trouble() const override { return ""; }
    void leave() override { network_.left.insert(self_); }

  private:
    FakeNetwork& network_;
    const int self_;
};

}  // namespace ring::testing
