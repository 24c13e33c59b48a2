// See doorbell.h.
#include "ring/transport/shm/doorbell.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "ring/base/error.h"
#include "ring/base/interrupt.h"
#include "ring/transport/shm/abstract.h"

namespace ring {
namespace {

constexpr size_t kTokenBytes = 64;
constexpr size_t kErrorBytes = 1000;

}  // namespace

Doorbell::Doorbell()
    : socket_(checked_fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket(AF_UNIX)")),
      name_(random_name()) {
    const AbstractAddress address(name_);
    if (::bind(socket_.get(), address.get(), address.length) != 0) throw_errno("bind of the doorbell");
    const int on = 1;
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
        throw_errno("SO_PASSCRED");
}

void Doorbell::ring(const std::string& name) const {
    const AbstractAddress address(name);
    const char wake = 1;
    // Failures need no handling: full means pending, refused means that the peer is gone, which its watchers
    // report.
    (void)::sendto(socket_.get(), &wake, 1, MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.length);
}

bool Doorbell::reaches(const std::string& name) const {
    const AbstractAddress address(name);
    const char wake = 1;
    return ::sendto(socket_.get(), &wake, 1, MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.length) >=
               0 ||
           errno != ECONNREFUSED;
}

void Doorbell::drain() const {
    char bytes[16];
    while (::recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

std::string Doorbell::padded(const std::string& token) {
    std::string text = token.substr(0, kTokenBytes);
    text.resize(kTokenBytes);
    return text;
}

void Doorbell::send_error(const std::string& name, const std::string& token, const std::string& error) const {
    const AbstractAddress address(name);
    const std::string text = padded(token) + error.substr(0, kErrorBytes);
    // As in ring(): where it is refused, the peer is gone.
    (void)::sendto(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL, address.get(),
                   address.length);
}

void Doorbell::send_fd(const std::string& name, int fd, const std::string& token, Deadline deadline) const {
    AbstractAddress address(name);
    std::string text = padded(token);
    iovec piece{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_name = &address.un;
    message.msg_namelen = address.length;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
    while (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN && errno != EINTR) throw_errno("passing shared memory to a rank of this host");
        if (deadline.passed()) throw TimeoutError("a rank of this host does not take its shared memory");
        std::this_thread::sleep_for(milliseconds(1));
    }
}

UniqueFd Doorbell::receive_fd(const std::string& token, Deadline deadline) const {
    const std::string wanted = padded(token);
    while (true) {
        pollfd waiting{socket_.get(), POLLIN, 0};
        check_interrupt();
        const int ready = ::poll(&waiting, 1, deadline.poll_ms(kInterruptEvery.count()));
        if (ready < 0 && errno != EINTR) throw_errno("poll");
        if (ready <= 0) {
            if (deadline.passed())
                throw TimeoutError("the first rank of this host has not passed its shared memory");
            continue;
        }
        char text[kTokenBytes + kErrorBytes] = {};
        iovec piece{text, sizeof(text)};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        const ssize_t length = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (length < 0) {
            if (errno == EAGAIN || errno == EINTR) continue;
            throw_errno("recvmsg on the doorbell");
        }
        UniqueFd fd;
        bool same_user = false;
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
             header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET) continue;
            if (header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int))) {
                int number = -1;
                std::memcpy(&number, CMSG_DATA(header), sizeof(int));
                fd = UniqueFd(number);
            } else if (header->cmsg_type == SCM_CREDENTIALS) {
                ucred who{};
                std::memcpy(&who, CMSG_DATA(header), sizeof(who));
                same_user = who.uid == ::geteuid() || who.uid == 0;
            }
        }
        const std::string_view got(text, static_cast<size_t>(length));
        if (!same_user || !got.starts_with(wanted)) continue;
        if (got.size() > kTokenBytes) throw Error(std::string(got.substr(kTokenBytes)));
        if (fd) return fd;
    }
}

}  // namespace ring
