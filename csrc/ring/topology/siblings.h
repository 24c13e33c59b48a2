// Ranks of this host that torchrun has started, and that have ended before they came to the group of all
// ranks: they have left nothing in the store, but all of them are children of one process. Used by
// Communicator while that group forms.
//
// Only of torchrun it is known that it starts all ranks of a host at once, never one of them again, and
// numbers them in a row; and that it lets the others wait where one ends without an error. With another
// launcher, of other hosts, and where the system hides processes or a rank has changed its title, this knows
// nothing.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ring/base/clock.h"

namespace ring {

// Of one process; not thread-safe.
class Siblings {
  public:
    // For the rank that this process is in the group of all ranks, which a subgroup must not ask for.
    Siblings(int rank, int size);

    // The words for one that has ended. Reads the list of the launcher's children, and what they were started
    // with.
    std::optional<std::string> ended();

  private:
    struct Seen {
        std::map<int, int> pids{};  // of the launcher's children, by the rank that they were started as
        int workers = 0;            // children that may be ranks
    };
    std::optional<Seen> look() const;  // none where it is of no use

    const int rank_;
    const int size_;
    std::string job_{};          // by torchrun's name
    int first_ = 0;              // rank of this host
    int count_ = 0;              // of them
    int root_ = 0;               // this process, or the wrapper of it that torchrun has started
    int launcher_ = 0;           // 0: not torchrun
    std::map<int, int> pids_{};  // that have been seen, by rank
    Clock::time_point missed_since_ = Clock::time_point::max();
};

}  // namespace ring
