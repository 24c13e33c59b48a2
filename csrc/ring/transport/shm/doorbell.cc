// See doorbell.h.
#include "ring/transport/shm/doorbell.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "ring/base/error.h"
#include "ring/base/hex.h"
#include "ring/base/interrupt.h"

namespace ring {
namespace {

constexpr size_t kTokenBytes = 64;

struct Address {
    sockaddr_un un{};
    socklen_t length;

    explicit Address(const std::string& name) {
        un.sun_family = AF_UNIX;
        // sun_path[0] stays 0: the abstract namespace.
        std::memcpy(un.sun_path + 1, name.data(), std::min(name.size(), sizeof(un.sun_path) - 1));
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&un); }
};

std::string random_name() {
    char bytes[16];
    if (::getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) throw_errno("getrandom");
    return "torch_ring." + hex({bytes, sizeof(bytes)});
}

}  // namespace

Doorbell::Doorbell()
    : socket_(checked_fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket(AF_UNIX)")),
      name_(random_name()) {
    const Address address(name_);
    if (::bind(socket_.get(), address.get(), address.length) != 0) throw_errno("bind of the doorbell");
    const int on = 1;
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
        throw_errno("SO_PASSCRED");
}

void Doorbell::ring(const std::string& name) const {
    const Address address(name);
    const char wake = 1;
    // Failures need no handling: full means pending, refused means that the peer is gone, which its watchers
    // report.
    (void)::sendto(socket_.get(), &wake, 1, MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.length);
}

void Doorbell::drain() const {
    char bytes[16];
    while (::recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

void Doorbell::send_fd(const std::string& name, int fd, const std::string& token, Deadline deadline) const {
    Address address(name);
    char text[kTokenBytes] = {};
    std::memcpy(text, token.data(), std::min(token.size(), sizeof(text)));
    iovec piece{text, sizeof(text)};
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
    char wanted[kTokenBytes] = {};
    std::memcpy(wanted, token.data(), std::min(token.size(), sizeof(wanted)));
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
        char text[kTokenBytes] = {};
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
        if (fd && same_user && length == sizeof(text) && std::memcmp(text, wanted, sizeof(text)) == 0)
            return fd;
    }
}

}  // namespace ring
