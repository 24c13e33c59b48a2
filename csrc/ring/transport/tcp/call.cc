// See call.h.
#include "ring/transport/tcp/call.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "ring/base/error.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

constexpr milliseconds kRetry{50};

}  // namespace

Call::Call(std::string source, std::string address, uint16_t port, const Hello& hello, std::string secret,
           Deadline deadline, std::function<void(int fd)> watch)
    : source_(std::move(source)),
      address_(std::move(address)),
      port_(port),
      hello_(hello),
      secret_(std::move(secret)),
      deadline_(deadline),
      watch_(std::move(watch)) {
    start();
}

void Call::start() {
    socket_ = tcp_start_connect(source_, address_, port_);
    hello_.version = kProtocolVersion;
    hello_.nonce = random_nonce();
    state_ = State::kConnecting;
    moved_ = 0;
    pausing_ = false;
    watch_(socket_.get());
}

bool Call::advance() {
    if (pausing_) {
        if (Clock::now() < resume_) return false;
        start();
    }
    try {
        while (state_ != State::kDone && step()) {
        }
    } catch (const PeerError&) {
        if (deadline_.passed()) throw;
        // It may be flooded by strangers, and drop whom it does not know yet.
        socket_.reset();
        pausing_ = true;
        resume_ = Clock::now() + kRetry;
        return false;
    }
    if (state_ != State::kDone && deadline_.passed())
        throw TimeoutError("no connection to " + address_ + " port " + std::to_string(port_) + " in time");
    return state_ == State::kDone;
}

bool Call::step() {
    switch (state_) {
        case State::kConnecting:
            if (!tcp_connected(socket_)) return false;
            state_ = State::kHello;
            return true;
        case State::kHello:
            if (!write(&hello_, sizeof(hello_))) return false;
            state_ = State::kChallenge;
            return true;
        case State::kChallenge:
            if (!read(&challenge_, sizeof(challenge_))) return false;
            if (!equal_in_constant_time(challenge_.proof, server_proof(secret_, hello_, challenge_.nonce)))
                throw PeerError("whoever listens there does not know the secret of this job");
            answer_ = client_proof(secret_, hello_, challenge_.nonce);
            state_ = State::kProof;
            return true;
        case State::kProof:
            if (!write(answer_.data(), answer_.size())) return false;
            state_ = State::kWelcome;
            return true;
        case State::kWelcome:
            if (!read(&welcome_, sizeof(welcome_))) return false;
            if (welcome_ != kWelcomeMagic)
                throw PeerError("the peer answered something that is not torch_ring");
            state_ = State::kDone;
            return true;
        case State::kDone:
            break;
    }
    return false;
}

bool Call::write(const void* data, size_t bytes) {
    while (moved_ < bytes) {
        const ssize_t written = ::send(socket_.get(), static_cast<const char*>(data) + moved_, bytes - moved_,
                                       MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written > 0) {
            moved_ += static_cast<size_t>(written);
        } else if (errno == EAGAIN) {
            return false;
        } else if (errno != EINTR) {
            throw PeerError(std::string("the connection broke: ") + std::strerror(errno));
        }
    }
    moved_ = 0;
    return true;
}

bool Call::read(void* data, size_t bytes) {
    while (moved_ < bytes) {
        const ssize_t got =
            ::recv(socket_.get(), static_cast<char*>(data) + moved_, bytes - moved_, MSG_DONTWAIT);
        if (got > 0) {
            moved_ += static_cast<size_t>(got);
        } else if (got == 0) {
            throw PeerError("the peer closed the connection");
        } else if (errno == EAGAIN) {
            return false;
        } else if (errno != EINTR) {
            throw PeerError(std::string("the connection broke: ") + std::strerror(errno));
        }
    }
    moved_ = 0;
    return true;
}

}  // namespace ring
