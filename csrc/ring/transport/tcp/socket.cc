// See socket.h.
#include "ring/transport/tcp/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/interrupt.h"
#include "ring/transport/tcp/congestion.h"

namespace ring {
namespace {

constexpr milliseconds kConnectRetry{20};
// Beyond it the kernel drops new connections, which their clients retry: room for a burst of strays and peers
// together.
constexpr int kBacklog = 1024;
// An idle peer that does not answer so many probes, a quarter of TORCH_RING_KEEPALIVE_S and at most so many
// seconds apart, is gone.
constexpr int kProbes = 5;
constexpr int kLongestProbe = 30;

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const std::string& address, uint16_t port) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int code = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
    if (code != 0) throw Error("'" + address + "' is not a numeric network address: " + ::gai_strerror(code));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    SocketAddress result;
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
        check_interrupt();
        const int ready = ::poll(&waiting, 1, deadline.poll_ms(kInterruptEvery.count()));
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

// These say nothing about the connection itself.
bool refused_by_sandbox(int code) {
    return code == EPERM || code == ENOSYS || code == EACCES || code == EINVAL || code == EOPNOTSUPP;
}

}  // namespace

UniqueFd tcp_try_listen(const Endpoint& at) {
    const SocketAddress here = socket_address(at.address, at.port);
    UniqueFd socket = open_socket(here.storage.ss_family);
    const int on = 1;
    // What an earlier process left in TIME_WAIT on a port that was asked for does not matter.
    if (at.port != 0) (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (::bind(socket.get(), here.get(), here.length) != 0 || ::listen(socket.get(), kBacklog) != 0) {
        const int code = errno;
        socket.reset();
        errno = code;
        return socket;
    }
    // A congestion control that is not allowed is found out here, on every rank, before anyone connects.
    if (!config().congestion.empty()) choose_congestion_control(socket);
    return socket;
}

UniqueFd tcp_listen(const std::string& address, uint16_t port) {
    UniqueFd socket = tcp_try_listen({address, port});
    if (!socket) throw_errno("listen on " + describe(Endpoint{address, port}));
    return socket;
}

UniqueFd tcp_accept(const UniqueFd& listener) {
    int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && refused_by_sandbox(errno)) {  // which may know accept() only
        fd = ::accept(listener.get(), nullptr, nullptr);
        if (fd >= 0 &&
            (::fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)) {
            ::close(fd);
            fd = -1;
        }
    }
    return UniqueFd(fd);
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

int tcp_start_connect(const std::string& from, const Endpoint& to, UniqueFd& socket) {
    const SocketAddress peer = socket_address(to.address, to.port);
    socket = UniqueFd(::socket(peer.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return errno;
    if (!from.empty()) {
        const SocketAddress here = socket_address(from, 0);
        const int on = 1;
        // The port is chosen at connect, when the kernel knows the peer.
        (void)::setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (::bind(socket.get(), here.get(), here.length) != 0) return errno;
    }
    if (::connect(socket.get(), peer.get(), peer.length) == 0 || errno == EINPROGRESS) return 0;
    return errno;
}

bool tcp_connect_ended(const UniqueFd& socket, int& code) {
    pollfd waiting{socket.get(), POLLOUT, 0};
    if (::poll(&waiting, 1, 0) <= 0) return false;
    code = outcome_of(socket);
    return true;
}

UniqueFd tcp_connect(const std::string& address, uint16_t port, Deadline deadline) {
    const Endpoint peer{address, port};
    while (true) {
        UniqueFd socket;
        int code = tcp_start_connect("", peer, socket);
        if (code == 0 && (!wait_for(socket, POLLOUT, deadline) || !tcp_connect_ended(socket, code)))
            code = ETIMEDOUT;
        if (code == 0) {
            tcp_configure(socket);
            return socket;
        }
        if (deadline.passed())
            throw TimeoutError("cannot connect to " + describe(peer) + " in time: " + std::strerror(code));
        if (code != ECONNREFUSED && code != ETIMEDOUT && code != EAGAIN && code != ECONNRESET &&
            code != EINTR)
            throw PeerError("cannot connect to " + describe(peer) + ": " + std::strerror(code));
        std::this_thread::sleep_for(kConnectRetry);
    }
}

void tcp_configure(const UniqueFd& socket) {
    const int on = 1;
    if (::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        throw_errno("TCP_NODELAY");
    // A firewall forgets a connection on which nothing passes. Where the kernel refuses them, timeouts
    // remain.
    const int idle = config().keepalive_s;
    const int interval = std::clamp(idle / 4, 1, kLongestProbe);
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof(kProbes));
    choose_congestion_control(socket);
}

std::string describe_loss(int code) {
    std::string text = std::string("the connection broke: ") + std::strerror(code);
    if (code == ETIMEDOUT)
        text +=
            "; nothing came back any more, not even to the kernel's own questions (TORCH_RING_KEEPALIVE_S): "
            "its "
            "host is gone or cut off, or a firewall forgot the connection";
    return text;
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
            throw PeerError(describe_loss(errno));
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
            throw PeerError(describe_loss(errno));
        }
    }
}

}  // namespace ring
