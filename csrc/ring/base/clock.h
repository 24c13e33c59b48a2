// Deadlines on the monotonic clock. Every wait in libring takes one.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>

namespace ring {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// When the kernel's clock last ticked: up to kTick ago, for a fifth of what Clock::now() costs.
constexpr milliseconds kTick{10};
inline Clock::time_point last_tick() {
    timespec at{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &at);
    return Clock::time_point(std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec));
}

class Deadline {
  public:
    explicit Deadline(Clock::time_point at) : at_(at) {}
    static Deadline after(milliseconds span) { return Deadline(Clock::now() + span); }

    Clock::time_point at() const { return at_; }
    bool passed() const { return Clock::now() >= at_; }

    // Milliseconds left as poll() and epoll_wait() take them: rounded up, never negative, at most `cap`.
    int poll_ms(int cap = 60'000) const {
        const auto left = std::chrono::ceil<milliseconds>(at_ - Clock::now()).count();
        return static_cast<int>(std::clamp<long long>(left, 0, cap));
    }

  private:
    Clock::time_point at_;
};

}  // namespace ring
