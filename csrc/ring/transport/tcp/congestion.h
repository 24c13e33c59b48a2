// Which congestion control a connection between hosts has. Called by the sockets and pipes beside it.
//
// bbr paces what it sends by timers and an estimate of the rate. That is for long paths; between neighbouring
// hosts it costs CPU time and, where the CPU is the limit, half of the rate. So there one that does not pace
// replaces it: cubic, if this process may choose that, else reno, which everyone may. Those take packets that
// overtake one another for losses and send ever less, so a connection that suffers from it gets bbr back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ring/base/fd.h"

namespace ring {

// Chooses it for a connection that has just been made. Throws ConfigError where the user's choice,
// TORCH_RING_CONGESTION, is not allowed.
void choose_congestion_control(const UniqueFd& socket);

// Looks after that choice while a connection is in use. Not thread-safe.
class CongestionWatch {
  public:
    // What the kernel knows of a connection.
    struct Seen {
        uint64_t segments = 0;    // sent, ever
        uint64_t duplicates = 0;  // of them, those that came twice because the first had only been overtaken
        uint64_t window = 0;      // bytes that may be under way
        uint64_t unsent = 0;      // bytes that wait to be
    };
    // Whether the connection has suffered for long enough. Called every few megabytes.
    bool suffers(const Seen& seen);

    // To be told after each write; looks every few megabytes.
    void wrote(const UniqueFd& socket, size_t bytes) {
        unseen_ += bytes;
        if (unseen_ >= kLookEvery) look(socket);
    }

  private:
    static constexpr size_t kLookEvery = 8 << 20;

    void look(const UniqueFd& socket);

    size_t unseen_ = 0;
    bool settled_ = false;  // there is nothing to change, or it has been changed
    int strikes_ = 0;
    Seen last_;
    // Of late: what came long ago counts less.
    double segments_ = 0;
    double duplicates_ = 0;
};

}  // namespace ring
