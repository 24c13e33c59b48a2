// Sockets with deadlines: what the handshake and the pipes need of TCP, IPv4 and IPv6 alike.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "ring/base/clock.h"
#include "ring/base/fd.h"

namespace ring {

// Listens on a free port of this numeric address only. Throws Error.
UniqueFd tcp_listen(const std::string& address);

// The port that a socket is bound to.
uint16_t tcp_port(const UniqueFd& socket);

// Connects from the numeric address `source` to `address`, retrying until the deadline while the peer
// refuses. The socket is non-blocking. Throws PeerError that says what the kernel said, or TimeoutError.
UniqueFd tcp_connect(const std::string& source, const std::string& address, uint16_t port, Deadline deadline);

// The same without waiting: begins to connect, once. Throws PeerError.
UniqueFd tcp_start_connect(const std::string& source, const std::string& address, uint16_t port);
// Whether that has come to its end. Throws PeerError where it failed.
bool tcp_connected(const UniqueFd& socket);

// Options that every data and control socket has.
void tcp_configure(const UniqueFd& socket);

// All bytes, in the calling thread. Throw PeerError when the peer closes, TimeoutError when the deadline
// passes.
void tcp_write_all(const UniqueFd& socket, const void* data, size_t bytes, Deadline deadline);
void tcp_read_all(const UniqueFd& socket, void* data, size_t bytes, Deadline deadline);

}  // namespace ring
