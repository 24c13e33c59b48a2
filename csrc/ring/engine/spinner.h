// How a thread that found nothing to do passes the next moments before it sleeps in the kernel.
#pragma once

#include <sched.h>

#include "ring/base/clock.h"

namespace ring {

// First it polls as fast as it can: what another core makes is often there within a microsecond. Then it
// yields between polls: whoever else could run here may be the one that is waited for, and how many processes
// share these cores, nobody can tell (other hosts of a test on one machine, other containers). Not so inside
// a host whose cores suffice: two ranks that were put on one core stay there as long as they get on by
// yielding.
class Spinner {
  public:
    // `pauses`: polls before it yields; 0 where the ranks of this host are known to outnumber its cores.
    Spinner(int spin_us, unsigned pauses) : limit_(std::chrono::microseconds(spin_us)), pauses_(pauses) {}

    // Something moved: start over.
    void reset() {
        turns_ = 0;
        started_ = kNotYet;
    }

    // Passes a moment; false when it is time to sleep.
    bool again() {
        // Reading the clock costs as much as many pauses, and a tenth of a yield.
        unsigned turns_per_look = 16;
        if (turns_ < pauses_) {
            pause();
        } else {
            ::sched_yield();
            turns_per_look = 4;
        }
        if (++turns_ % turns_per_look != 0) return true;
        const auto now = Clock::now();
        if (started_ == kNotYet) started_ = now;
        const auto spent = now - started_;
        return spent < limit_ || (turns_ < kFewestTurns && spent < kStarved);
    }

  private:
    static constexpr Clock::time_point kNotYet{};
    // Whoever it yields to may take long to make what is waited for; but where hundreds of processes yield,
    // one turn of theirs can take seconds.
    static constexpr unsigned kFewestTurns = 32;
    static constexpr std::chrono::milliseconds kStarved{50};

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    Clock::duration limit_;
    unsigned pauses_;
    unsigned turns_ = 0;
    Clock::time_point started_ = kNotYet;
};

}  // namespace ring
