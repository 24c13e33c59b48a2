// Two connected TCP sockets, for the tests of what goes over them.
#pragma once

#include <sys/socket.h>

#include <future>
#include <string>
#include <utility>

#include "ring/base/clock.h"
#include "ring/transport/tcp/socket.h"

namespace ring::testing {

// Over the loopback address `address`: the one that connected, and the one that was accepted.
inline std::pair<UniqueFd, UniqueFd> connected_sockets(const std::string& address) {
    const UniqueFd listener = tcp_listen(address);
    const Deadline deadline = Deadline::after(std::chrono::seconds(5));
    auto client =
        std::async(std::launch::async, [&] { return tcp_connect(address, tcp_port(listener), deadline); });
    int accepted = -1;
    while (accepted < 0 && !deadline.passed())
        accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK);
    return {client.get(), UniqueFd(accepted)};
}

}  // namespace ring::testing
