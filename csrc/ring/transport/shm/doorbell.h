// Wakes a rank of the same host that sleeps in epoll, and hands it the shared memory at the start.
//
// A datagram socket with an abstract name (nothing in the file system, nothing to leak), one per group and
// rank, whatever the number of peers: a ring is sent from one's own doorbell to the name of another's.
#pragma once

#include <cstddef>
#include <string>

#include "ring/base/clock.h"
#include "ring/base/fd.h"

namespace ring {

class Doorbell {
  public:
    Doorbell();  // binds to a random name

    int fd() const {
        return socket_.get();
    }  // readable when rung; edge-triggered use needs drain() after each event
    const std::string& name() const { return name_; }

    // Wakes the owner of `name`. Never blocks; a full queue means that a wake-up is pending already.
    // Thread-safe.
    void ring(const std::string& name) const;
    void drain() const;
    // Whether there is an owner of `name` in this network namespace of this machine; rings it.
    bool reaches(const std::string& name) const;

    // Passes a descriptor to the owner of `name`; `token` tells the group. Throws Error, or TimeoutError.
    void send_fd(const std::string& name, int fd, const std::string& token, Deadline deadline) const;
    // Tells the owner of `name`, who waits in receive_fd(), that there will be none.
    void send_error(const std::string& name, const std::string& token, const std::string& error) const;
    // Waits for the descriptor with that token. What comes from another user or with another token is
    // dropped. Throws TimeoutError, or Error with what the other side sent instead.
    UniqueFd receive_fd(const std::string& token, Deadline deadline) const;

  private:
    static std::string padded(const std::string& token);  // to the length that it is sent in

    UniqueFd socket_;
    std::string name_;
};

}  // namespace ring
