// See lifeline.h.
#include "ring/transport/shm/lifeline.h"

#include <sys/socket.h>

#include <cerrno>

#include "ring/base/error.h"
#include "ring/transport/shm/abstract.h"

namespace ring {
namespace {

// As many processes of this host may watch another one; the kernel allows fewer by default only before 5.4.
constexpr int kWatchers = 4096;

UniqueFd make_socket() {
    return checked_fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket(AF_UNIX)");
}

}  // namespace

Lifeline::Lifeline() : name_(random_name("life")), listener_(make_socket()) {
    const AbstractAddress address(name_);
    if (::bind(listener_.get(), address.get(), address.length) != 0) throw_errno("bind of the lifeline");
    if (::listen(listener_.get(), kWatchers) != 0) throw_errno("listen on the lifeline");
}

UniqueFd Lifeline::hold(const std::string& name) {
    UniqueFd socket = make_socket();
    const AbstractAddress address(name);
    if (::connect(socket.get(), address.get(), address.length) == 0) return socket;
    if (errno == ECONNREFUSED) return UniqueFd();
    throw_errno(
        "watching a process of this host: pidfd_open is refused, and so is its lifeline (connect of "
        "AF_UNIX); "
        "allow one of them in the container's seccomp profile");
}

}  // namespace ring
