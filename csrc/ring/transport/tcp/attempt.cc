// See attempt.h.
#include "ring/transport/tcp/attempt.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "ring/base/error.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

// What the kernel's code means to somebody who has to do something about it.
Setback setback_of(int code, const std::string& from) {
    const std::string said = std::strerror(code);
    switch (code) {
        case ECONNREFUSED:
            return {Setback::Kind::kRefused, said + ": nobody listens there, or a firewall refuses it"};
        case ETIMEDOUT:
            return {Setback::Kind::kSilent, said + ": a firewall drops it, or the host is cut off"};
        case ENETUNREACH:
        case EHOSTUNREACH:
            return {Setback::Kind::kUnreachable, said + " from this host"};
        case EADDRNOTAVAIL:
            return {Setback::Kind::kLocal,
                    said +
                        ": this host has no free local port for it, too many connections are open; see "
                        "net.ipv4.ip_local_port_range" +
                        (from.empty() ? "" : ", or it does not have the address " + from + " any more")};
        case EINVAL:
            return {Setback::Kind::kUnreachable,
                    said + ": it cannot be reached from " +
                        (from.empty() ? "this host's addresses" : from + ", is that loopback?")};
        case EPERM:
        case EACCES:
            return {Setback::Kind::kLocal, said + ": a firewall of this host does not let it out"};
        case EMFILE:
        case ENFILE:
            return {Setback::Kind::kLocal, describe_errno(code)};
        case EAGAIN:
        case EINTR:
        case ECONNRESET:
            return {Setback::Kind::kTransient, said};
        default:
            return {Setback::Kind::kLocal, said};
    }
}

}  // namespace

Attempt::Attempt(const std::string& from, const Endpoint& to, const Hello& hello, const std::string& secret)
    : secret_(secret), from_(from), hello_(hello) {
    hello_.version = kProtocolVersion;
    hello_.nonce = random_nonce();
    if (const int code = tcp_start_connect(from, to, socket_); code != 0) fail(setback_of(code, from));
}

void Attempt::fail(Setback why) {
    socket_.reset();
    setback_ = std::move(why);
    state_ = State::kFailed;
}

Setback Attempt::setback() const {
    if (state_ == State::kFailed) return setback_;
    if (state_ == State::kConnecting)
        return {Setback::Kind::kSilent, "no answer: a firewall drops it, or the host is cut off"};
    return {Setback::Kind::kTransient,
            "a connection, but no answer: it is stopped, or not the rank that was called"};
}

Attempt::Stage Attempt::advance() {
    while (step()) {
    }
    switch (state_) {
        case State::kProven:
            return Stage::kProven;
        case State::kProof:
        case State::kWelcome:
            return Stage::kAnswered;
        case State::kDone:
            return Stage::kDone;
        case State::kFailed:
            return Stage::kFailed;
        case State::kConnecting:
        case State::kHello:
        case State::kChallenge:
            break;
    }
    return Stage::kOpening;
}

void Attempt::answer() {
    answer_ = client_proof(secret_, hello_, challenge_.nonce);
    state_ = State::kProof;
}

bool Attempt::step() {
    switch (state_) {
        case State::kConnecting: {
            int code = 0;
            if (!tcp_connect_ended(socket_, code)) return false;
            if (code != 0) {
                fail(setback_of(code, from_));
                return false;
            }
            tcp_configure(socket_);
            state_ = State::kHello;
            return true;
        }
        case State::kHello:
            if (!write(&hello_, sizeof(hello_))) return false;
            state_ = State::kChallenge;
            return true;
        case State::kChallenge:
            if (!read(&challenge_, sizeof(challenge_))) return false;
            if (const std::string why = refusal(challenge_, secret_, hello_); !why.empty()) {
                fail({Setback::Kind::kTransient, why});
                return false;
            }
            if (challenge_.nonce == kLeftGroup) {
                fail({Setback::Kind::kLeft, "it has left the group"});
                return false;
            }
            state_ = State::kProven;
            return false;
        case State::kProof:
            if (!write(answer_.data(), answer_.size())) return false;
            state_ = State::kWelcome;
            return true;
        case State::kWelcome:
            if (!read(&welcome_, sizeof(welcome_))) return false;
            if (welcome_ == kWelcomeMagic)
                state_ = State::kDone;
            else
                fail({Setback::Kind::kTransient, "it answered something that is not torch_ring"});
            return false;
        case State::kProven:
        case State::kDone:
        case State::kFailed:
            break;
    }
    return false;
}

bool Attempt::write(const void* data, size_t bytes) {
    while (moved_ < bytes) {
        const ssize_t written = ::send(socket_.get(), static_cast<const char*>(data) + moved_, bytes - moved_,
                                       MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written > 0) {
            moved_ += static_cast<size_t>(written);
        } else if (errno == EAGAIN) {
            return false;
        } else if (errno != EINTR) {
            fail({Setback::Kind::kTransient, describe_loss(errno)});
            return false;
        }
    }
    moved_ = 0;
    return true;
}

bool Attempt::read(void* data, size_t bytes) {
    while (moved_ < bytes) {
        const ssize_t got =
            ::recv(socket_.get(), static_cast<char*>(data) + moved_, bytes - moved_, MSG_DONTWAIT);
        if (got > 0) {
            moved_ += static_cast<size_t>(got);
        } else if (got < 0 && errno == EAGAIN) {
            return false;
        } else if (got == 0) {
            fail({Setback::Kind::kTransient, "it closed the connection"});
            return false;
        } else if (errno != EINTR) {
            fail({Setback::Kind::kTransient, describe_loss(errno)});
            return false;
        }
    }
    moved_ = 0;
    return true;
}

}  // namespace ring
