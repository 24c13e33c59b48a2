// Lets the program get a word in while its main thread waits: what a language's signal handlers need, which
// run in that thread alone and not while it is in here.
//
// Each wait of the main thread wakes at least every kInterruptEvery and asks; so does each step of forming a
// group. Other threads are not asked.
#pragma once

#include "ring/base/clock.h"

namespace ring {

constexpr milliseconds kInterruptEvery{200};

// What the main thread calls. It may throw, whatever it likes: that leaves the wait, while the operation goes
// on; a group that is being formed is given up. Null: nothing, as in the beginning. Thread-safe.
using InterruptCheck = void (*)();
void set_interrupt_check(InterruptCheck check);

// Whether this thread is the one to be asked.
bool is_interruptible();
// Asks, in the main thread. With no lock held: what runs may use groups itself.
void check_interrupt();

// When a wait is to ask; one for each wait. Not thread-safe.
class Interrupts {
  public:
    // The time until which it may sleep.
    Clock::time_point next(Clock::time_point now) {
        if (at_ == Clock::time_point()) at_ = now + kInterruptEvery;
        return at_;
    }
    // Asks, if it is time; other threads once, to find out that they need not.
    void check() {
        at_ = is_interruptible() ? Clock::now() + kInterruptEvery : Clock::time_point::max();
        check_interrupt();
    }

  private:
    Clock::time_point at_{};
};

}  // namespace ring
