// Tells the other processes of this host that this one has ended, where the kernel or a sandbox refuses a
// pidfd: a listening socket with an abstract name. Who connects to it need not be accepted; the connection
// breaks when the process is gone, whatever its number is used for by then.
//
// One per process, made and watched by the engine.
#pragma once

#include <string>

#include "ring/base/fd.h"

namespace ring {

class Lifeline {
  public:
    Lifeline();  // throws Error

    const std::string& name() const { return name_; }

    // A descriptor that epoll reports (EPOLLIN, EPOLLHUP) when the owner of `name` has ended; empty if it has
    // already. Never blocks. Throws Error.
    static UniqueFd hold(const std::string& name);

  private:
    std::string name_;
    UniqueFd listener_;
};

}  // namespace ring
