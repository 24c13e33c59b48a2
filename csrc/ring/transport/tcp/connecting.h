// Opening a connection to a rank that can be reached at one of several addresses, without blocking.
//
// As RFC 8305 ("happy eyeballs") has it: the addresses are tried in their order, each a moment after the one
// before it or as soon as that has failed, until one of those who answer proves to be the peer (handshake.h):
// another machine with the same address does not. That one is told so, and the others are dropped. What fails
// is tried again while time is left.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/endpoint.h"
#include "ring/base/error.h"
#include "ring/base/fd.h"
#include "ring/transport/tcp/attempt.h"
#include "ring/transport/tcp/handshake.h"

namespace ring {

struct Route {
    Endpoint to;
    std::string from;      // the numeric source address; "" for any
    std::string obstacle;  // why it is not even tried; "" where it is
    std::string remark;    // for messages about it
};

// Not thread-safe: used by the one thread that forms or drives the group.
class Connecting {
  public:
    // `whom`: the peer, for messages. `watch` is called with the descriptor of each connection that is begun.
    Connecting(std::string whom, const std::vector<Route>& routes, const Hello& hello, std::string secret,
               Deadline deadline, std::function<void(int fd)> watch);

    // Goes on as far as it can without waiting; true when the connection is there, to be taken. Throws
    // PeerError where no route leads to the peer, TimeoutError where it does not answer in time; both say
    // what became of each address; PeerLeft where the peer says so.
    bool advance();
    UniqueFd take() { return std::move(connection_); }
    // After that: the address that it was.
    const Endpoint& reached() const { return reached_; }
    // When it must go on even if nothing happens to the descriptors.
    Clock::time_point next() const;

  private:
    // One address, and what became of it.
    struct Line {
        Route route;
        Clock::time_point start;  // of the next attempt, if none is under way
        milliseconds pause;       // after the next failure
        std::optional<Attempt> attempt;
        std::optional<Setback> setback;  // of the last one that failed
    };

    bool start_due(Clock::time_point now);
    bool advance_line(Line& line, Clock::time_point now);
    void answer(Line& line, Clock::time_point now);
    void fail(Line& line, Clock::time_point now);
    void give_up_where_hopeless(Clock::time_point now);
    std::string report() const;

    std::string whom_;
    Hello hello_;
    std::string secret_;
    Deadline deadline_;
    std::function<void(int)> watch_;
    std::vector<Line> lines_;
    bool answered_ = false;  // one of them has proven itself, and is the only one under way
    std::optional<Clock::time_point> closed_since_;  // no address has let anything through since then
    UniqueFd connection_;
    Endpoint reached_;
};

}  // namespace ring
