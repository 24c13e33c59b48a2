// See socket.h.
#include "ring/transport/tcp/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/transport/tcp/congestion.h"

namespace ring {
namespace {

constexpr milliseconds kConnectRetry{20};
// Beyond it the kernel drops new connections, which their clients retry: room for a burst of strays and peers
// together.
constexpr int kBacklog = 1024;

struct Endpoint {
    sockaddr_storage storage{};
    socklen_t length = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Endpoint endpoint(const std::string& address, uint16_t port) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int code = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
    if (code != 0) throw Error("'" + address + "' is not a numeric network address: " + ::gai_strerror(code));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    Endpoint result;
    std::memcpy(&result.storage, list->ai_addr, list->ai_addrlen);
    result.length = list->ai_addrlen;
    return result;
}

UniqueFd open_socket(int family) {
    return checked_fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
}

// Waits for an event; false when the deadline has passed.
bool wait_for(const UniqueFd& socket, short events, Deadline deadline) {
    while (!deadline.passed()) {
        pollfd waiting{socket.get(), events, 0};
        const int ready = ::poll(&waiting, 1, deadline.poll_ms());
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) throw_errno("poll");
    }
    return false;
}

// What became of a connection attempt that has come to its end: the error code of the kernel, 0 when
// connected.
int outcome_of(const UniqueFd& socket) {
    int code = 0;
    socklen_t length = sizeof(code);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &code, &length) != 0) return errno;
    return code;
}

// A socket of the chosen interface; its port is chosen at connect, when the kernel knows the peer.
UniqueFd open_from(const std::string& source, const Endpoint& peer, const std::string& where) {
    const Endpoint here = endpoint(source, 0);
    UniqueFd socket = open_socket(peer.storage.ss_family);
    if (here.storage.ss_family != peer.storage.ss_family)
        throw PeerError("cannot connect from " + source + " to " + where +
                        ": one is IPv4, the other IPv6; set TORCH_RING_IFNAME to interfaces of one family");
    const int on = 1;
    (void)::setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (::bind(socket.get(), here.get(), here.length) != 0) throw_errno("bind to " + source);
    return socket;
}

// One attempt; the error code of the kernel, 0 when connected.
int try_connect(const UniqueFd& socket, const Endpoint& peer, Deadline deadline) {
    if (::connect(socket.get(), peer.get(), peer.length) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!wait_for(socket, POLLOUT, deadline)) return ETIMEDOUT;
    return outcome_of(socket);
}

}  // namespace

UniqueFd tcp_listen(const std::string& address) {
    const Endpoint here = endpoint(address, 0);
    UniqueFd socket = open_socket(here.storage.ss_family);
    if (::bind(socket.get(), here.get(), here.length) != 0) throw_errno("bind to " + address);
    if (::listen(socket.get(), kBacklog) != 0) throw_errno("listen on " + address);
    // A congestion control that is not allowed is found out here, on every rank, before anyone connects.
    if (!config().congestion.empty()) choose_congestion_control(socket);
    return socket;
}

uint16_t tcp_port(const UniqueFd& socket) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &length) != 0)
        throw_errno("getsockname");
    const in_port_t port = storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                                         : reinterpret_cast<sockaddr_in&>(storage).sin_port;
    return ntohs(port);
}

UniqueFd tcp_connect(const std::string& source, const std::string& address, uint16_t port,
                     Deadline deadline) {
    const Endpoint peer = endpoint(address, port);
    const std::string where = address + " port " + std::to_string(port);
    while (true) {
        UniqueFd socket = open_from(source, peer, where);
        const int code = try_connect(socket, peer, deadline);
        if (code == 0) {
            tcp_configure(socket);
            return socket;
        }
        if (deadline.passed())
            throw TimeoutError("cannot connect to " + where + " in time: " + std::strerror(code));
        if (code != ECONNREFUSED && code != ETIMEDOUT && code != EAGAIN && code != ECONNRESET &&
            code != EINTR)
            throw PeerError("cannot connect from " + source + " to " + where + ": " + std::strerror(code) +
                            "; if that is the wrong interface, set TORCH_RING_IFNAME");
        std::this_thread::sleep_for(kConnectRetry);
    }
}

UniqueFd tcp_start_connect(const std::string& source, const std::string& address, uint16_t port) {
    const Endpoint peer = endpoint(address, port);
    UniqueFd socket = open_from(source, peer, address + " port " + std::to_string(port));
    if (::connect(socket.get(), peer.get(), peer.length) != 0 && errno != EINPROGRESS)
        throw PeerError("cannot connect from " + source + " to " + address + " port " + std::to_string(port) +
                        ": " + std::strerror(errno));
    return socket;
}

bool tcp_connected(const UniqueFd& socket) {
    pollfd waiting{socket.get(), POLLOUT, 0};
    if (::poll(&waiting, 1, 0) <= 0) return false;
    if (const int code = outcome_of(socket); code != 0)
        throw PeerError(std::string("it does not take a connection: ") + std::strerror(code));
    tcp_configure(socket);
    return true;
}

void tcp_configure(const UniqueFd& socket) {
    const int on = 1;
    if (::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        throw_errno("TCP_NODELAY");
    choose_congestion_control(socket);
}

void tcp_write_all(const UniqueFd& socket, const void* data, size_t bytes, Deadline deadline) {
    const auto* from = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t written = ::send(socket.get(), from, bytes, MSG_NOSIGNAL);
        if (written > 0) {
            from += written;
            bytes -= static_cast<size_t>(written);
        } else if (errno == EAGAIN) {
            if (!wait_for(socket, POLLOUT, deadline)) throw TimeoutError("the peer does not read");
        } else if (errno != EINTR) {
            throw PeerError(std::string("the connection broke: ") + std::strerror(errno));
        }
    }
}

void tcp_read_all(const UniqueFd& socket, void* data, size_t bytes, Deadline deadline) {
    auto* to = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t got = ::recv(socket.get(), to, bytes, 0);
        if (got > 0) {
            to += got;
            bytes -= static_cast<size_t>(got);
        } else if (got == 0) {
            throw PeerError("the peer closed the connection");
        } else if (errno == EAGAIN) {
            if (!wait_for(socket, POLLIN, deadline)) throw TimeoutError("the peer does not answer");
        } else if (errno != EINTR) {
            throw PeerError(std::string("the connection broke: ") + std::strerror(errno));
        }
    }
}

}  // namespace ring
