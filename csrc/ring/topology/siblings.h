// What the processes of this host say of ranks that have not come to the group of all ranks: those that one
// launcher has started are its children, and were started with their ranks in the environment. Used by
// Communicator while a group forms, when a rank that has left nothing in the store may have ended.
//
// It knows nothing, and says nothing, where a launcher tells ranks their numbers by other means, where the
// system hides processes from each other, and of other hosts.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ring/base/clock.h"

namespace ring {

// Of one process; not thread-safe. Keeps what it has seen: a process that has ended is not to be seen any
// more.
class Siblings {
  public:
    // For the rank that this process is in the group of all ranks, which a subgroup must not ask for.
    Siblings(int rank, int size);

    // The words for a rank of this host that has ended, or whose process is not there though the launcher
    // must have started it long ago. Reads the list of the launcher's children, and what it does not know of
    // them.
    std::optional<std::string> ended();

    using Variables = std::map<std::string, std::string>;

  private:
    struct Process {
        int pid = 0;
        double started = 0;  // in seconds since the machine's start
        std::optional<Clock::time_point> missed_since{};
    };

    // Which rank a process with this environment is, if it is one of this job.
    std::optional<int> rank_in(const Variables& environment) const;
    bool look();  // at the launcher's children; false where nobody can
    std::optional<std::string> never_seen() const;

    const int rank_;
    Variables own_{};  // environment; empty: it does not tell this process its rank
    std::string rank_variable_{};
    std::string size_variable_{};
    int root_ = 0;                    // this process, or what the launcher has started as its wrapper
    int launcher_ = 0;                // 0: unknown
    double started_ = 0;              // root_, in seconds since the machine's start
    std::map<int, int> children_{};   // of the launcher: ranks by pid
    std::map<int, Process> ranks_{};  // all that have been seen
    bool all_known_ = true;           // of all children of the launcher it is known whether they are ranks
};

}  // namespace ring
