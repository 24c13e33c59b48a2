// How a thread that found nothing to do passes the next moments before it sleeps in the kernel.
#pragma once

#include <sched.h>

#include "ring/base/clock.h"

namespace ring {

class Spinner {
  public:
    // `yield` where other ranks of this host need the CPU to make what is waited for.
    Spinner(int spin_us, bool yield) : limit_(std::chrono::microseconds(spin_us)), yield_(yield) {}

    // Something moved: start over.
    void reset() { turns_ = 0; }

    // Passes a moment; false when it is time to sleep.
    bool again() {
        if (yield_) {
            ::sched_yield();
        } else {
            pause();
        }
        // Reading the clock costs as much as many turns.
        if (++turns_ % kTurnsPerLook != 0) return true;
        const auto now = Clock::now();
        if (turns_ == kTurnsPerLook) started_ = now;
        return now - started_ < limit_;
    }

  private:
    static constexpr unsigned kTurnsPerLook = 16;

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    Clock::duration limit_;
    bool yield_;
    unsigned turns_ = 0;
    Clock::time_point started_;
};

}  // namespace ring
