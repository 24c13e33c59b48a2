// An acceptor with somebody who drives it, as the engine does, for the tests of who calls it.
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "ring/base/clock.h"
#include "ring/base/error.h"
#include "ring/transport/tcp/acceptor.h"
#include "ring/transport/tcp/connecting.h"

namespace ring::testing {

class DrivenAcceptor {
  public:
    explicit DrivenAcceptor(const PortRange& ports = {})
        : acceptor_(ports), driver_([this] {
              while (!stop_.load()) {
                  pollfd waiting{acceptor_.fd(), POLLIN, 0};
                  ::poll(&waiting, 1, 10);
                  acceptor_.handle();
                  turns_.fetch_add(1);
              }
          }) {}
    ~DrivenAcceptor() {
        stop_.store(true);
        driver_.join();
    }

    Acceptor& operator*() { return acceptor_; }
    Acceptor* operator->() { return &acceptor_; }
    int turns() const { return turns_.load(); }  // of the driver

    // The first data connection of `from` to rank 0; empty where none comes in time.
    UniqueFd take(uint64_t group, int from, milliseconds within = std::chrono::seconds(10)) {
        const Deadline deadline = Deadline::after(within);
        while (true) {
            for (auto& [who, stream, socket] : acceptor_.collect(group, 0, Purpose::kData))
                if (stream == 0) taken_[{group, who}] = std::move(socket);
            if (const auto at = taken_.find({group, from}); at != taken_.end())
                return std::move(taken_.extract(at).mapped());
            if (deadline.passed()) return UniqueFd();
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    }

  private:
    Acceptor acceptor_;
    std::map<std::pair<uint64_t, int>, UniqueFd> taken_;
    std::atomic<bool> stop_{false};
    std::atomic<int> turns_{0};
    std::thread driver_;
};

// What a thread that drives calls sleeps on: Fabric::Watch, as the group's epoll is one.
class WatchedDescriptors {
  public:
    void watch(int fd) {
        epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = fd}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
    }
    void wait(Clock::time_point until) {
        epoll_event event;
        (void)::epoll_wait(epoll_.get(), &event, 1, Deadline(until).poll_ms());
    }

  private:
    const UniqueFd epoll_ = checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

}  // namespace ring::testing
