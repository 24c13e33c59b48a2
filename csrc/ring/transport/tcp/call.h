// Opening a connection to a peer without blocking: connects, proves itself (see handshake.h), and tries again
// while the peer drops it and time is left. For connections that are opened while a group works; those of its
// start are opened by introduce(), in the calling thread.
#pragma once

#include <functional>
#include <string>

#include "ring/base/clock.h"
#include "ring/base/fd.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {

// Not thread-safe: used by the one thread that drives the group.
class Call {
  public:
    // `watch` is called with the descriptor of each attempt.
    Call(std::string source, std::string address, uint16_t port, const Hello& hello, std::string secret,
         Deadline deadline, std::function<void(int fd)> watch);

    // Goes on as far as it can without waiting; true when the connection is there, to be taken.
    // Throws PeerError, or TimeoutError.
    bool advance();
    UniqueFd take() { return std::move(socket_); }
    // When it must go on even if nothing happens to the descriptor.
    Clock::time_point next() const { return pausing_ ? resume_ : deadline_.at(); }

  private:
    enum class State { kConnecting, kHello, kChallenge, kProof, kWelcome, kDone };

    void start();
    bool step();  // false: nothing can be done now
    bool write(const void* data, size_t bytes);
    bool read(void* data, size_t bytes);

    std::string source_;
    std::string address_;
    uint16_t port_;
    Hello hello_;
    std::string secret_;
    Deadline deadline_;
    std::function<void(int)> watch_;
    UniqueFd socket_;
    State state_ = State::kConnecting;
    size_t moved_ = 0;  // of what the state reads or writes
    Challenge challenge_;
    Digest answer_{};
    uint32_t welcome_ = 0;
    bool pausing_ = false;
    Clock::time_point resume_{};
};

}  // namespace ring
