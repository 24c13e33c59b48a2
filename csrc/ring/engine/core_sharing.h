// Keeps the ranks of a host off each other's cores. Used by Session.
//
// The system's scheduler parts two processes on one core when it sees both want to run. Two ranks that wait
// for each other never do, if whoever waits soon sleeps: an all_reduce then takes some 100 us instead of one,
// for as long as they go on. So where a rank is about to sleep on the core on which another one went to sleep
// last, it goes on polling, until the scheduler has seen it.
#pragma once

#include "ring/base/clock.h"

namespace ring {

class Segment;

// Used by the thread that drives the group.
class CoreSharing {
  public:
    // `segment`: null where nobody else is on this host. `crowded`: its ranks outnumber the cores, so that
    // nothing can be gained. `core`: for tests.
    CoreSharing(const Segment* segment, bool crowded, int (*core)())
        : segment_(crowded ? nullptr : segment), core_(core) {}

    // Whether a rank that has polled for long enough should poll on.
    bool polls_on();

  private:
    const Segment* const segment_;
    int (*const core_)();
    Clock::time_point until_{};  // it polls on till then, where it has begun
    Clock::time_point next_{};   // and begins anew at the earliest then
};

}  // namespace ring
