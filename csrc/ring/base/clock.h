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

// Who looks, now and then during a long wait, whether there is still something to wait for. It ends the wait
// by an exception.
class Lookout {
  public:
    virtual ~Lookout() = default;
    // Called often; does its work only as often as that is worth while.
    virtual void look() = 0;
};

class Deadline {
  public:
    // With a `lookout`, which must outlive it, whatever waits until this deadline waits in slices, and looks
    // after each: passed() throws what look() throws.
    explicit Deadline(Clock::time_point at, Lookout* lookout = nullptr) : at_(at), lookout_(lookout) {}
    static Deadline after(milliseconds span) { return Deadline(Clock::now() + span); }

    static constexpr milliseconds kSlice{50};

    Clock::time_point at() const { return at_; }
    bool passed() const {
        if (lookout_ != nullptr) lookout_->look();
        return Clock::now() >= at_;
    }

    // Milliseconds left as poll() and epoll_wait() take them: rounded up, never negative, at most `cap`.
    int poll_ms(int cap = 60'000) const {
        if (lookout_ != nullptr) cap = std::min<int>(cap, kSlice.count());
        const auto left = std::chrono::ceil<milliseconds>(at_ - Clock::now()).count();
        return static_cast<int>(std::clamp<long long>(left, 0, cap));
    }

    // For waits that end at a point in time: when to ask passed() again at the latest.
    Clock::time_point next_look() const {
        return lookout_ == nullptr ? at_ : std::min(at_, Clock::now() + kSlice);
    }

  private:
    Clock::time_point at_;
    Lookout* lookout_;
};

}  // namespace ring
