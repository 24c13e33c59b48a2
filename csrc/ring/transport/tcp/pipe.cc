// See pipe.h.
#include "ring/transport/tcp/pipe.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

const char* const kClosed = "the connection was closed";

msghdr message_of(const iovec* pieces, int count) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);  // the kernel only reads it
    message.msg_iovlen = static_cast<size_t>(count);
    return message;
}

bool would_block(int code) {
    return code == EAGAIN || code == EINTR || code == ENOBUFS;
}

}  // namespace

size_t TcpPipe::write(const iovec* pieces, int count) {
    const msghdr message = message_of(pieces, count);
    const ssize_t written = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written >= 0) {
        congestion_.wrote(socket_, static_cast<size_t>(written));
        return static_cast<size_t>(written);
    }
    if (would_block(errno)) return 0;
    throw PeerGone(errno == EPIPE ? kClosed : describe_loss(errno));
}

size_t TcpPipe::read(const iovec* pieces, int count) {
    msghdr message = message_of(pieces, count);
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) throw PeerClosed(kClosed);
    if (would_block(errno)) return 0;
    throw PeerGone(describe_loss(errno));
}

bool TcpPipe::pending() const {
    int unacknowledged = 0;
    return ::ioctl(socket_.get(), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0;
}

}  // namespace ring
