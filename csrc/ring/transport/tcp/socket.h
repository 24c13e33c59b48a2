// Sockets with deadlines: what the handshake and the pipes need of TCP, IPv4 and IPv6 alike.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "ring/base/clock.h"
#include "ring/base/endpoint.h"
#include "ring/base/fd.h"

namespace ring {

// Listens on this numeric address only, on this port; 0: on a free one. Throws Error.
UniqueFd tcp_listen(const std::string& address, uint16_t port = 0);
// The same; none, with errno, where the kernel refuses the address or the port.
UniqueFd tcp_try_listen(const Endpoint& at);

// The next connection, non-blocking; empty, with errno, where there is none.
UniqueFd tcp_accept(const UniqueFd& listener);

// The port that a socket is bound to.
uint16_t tcp_port(const UniqueFd& socket);

// Connects to a numeric address, retrying until the deadline while the peer refuses. The socket is
// non-blocking. Throws PeerError that says what the kernel said, or TimeoutError.
UniqueFd tcp_connect(const std::string& address, uint16_t port, Deadline deadline);

// The same without waiting: begins to connect, once, from the numeric address `from` or, "", from any. The
// code of the kernel's error; 0 where it has begun.
int tcp_start_connect(const std::string& from, const Endpoint& to, UniqueFd& socket);
// Whether that has come to its end; `code` is then the kernel's, 0 when connected.
bool tcp_connect_ended(const UniqueFd& socket, int& code);

// Options that every connection has, whatever it is for.
void tcp_configure(const UniqueFd& socket);

// What an error of a connection means, by its code: "the connection broke: Connection reset by peer".
std::string describe_loss(int code);

// All bytes, in the calling thread. Throw PeerError when the peer closes, TimeoutError when the deadline
// passes.
void tcp_write_all(const UniqueFd& socket, const void* data, size_t bytes, Deadline deadline);
void tcp_read_all(const UniqueFd& socket, void* data, size_t bytes, Deadline deadline);

}  // namespace ring
