// See acceptor.h.
#include "ring/transport/tcp/acceptor.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/interrupt.h"
#include "ring/base/log.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

// More than a group's own connections at any moment; beyond it the oldest unproven one makes room.
constexpr size_t kMaxVisitors = 512;

}  // namespace

// A connection that has not proven itself yet.
struct Acceptor::Visitor {
    enum class State { kHello, kUnknownGroup, kProof };

    UniqueFd socket;
    Clock::time_point deadline;
    State state = State::kHello;
    Hello hello;
    Nonce nonce{};
    std::array<char, sizeof(Hello)> buffer{};  // the larger of the two things that a client sends
    size_t have = 0;

    // True when `bytes` bytes are there; throws PeerError when they will never be.
    bool read(size_t bytes) {
        while (have < bytes) {
            const ssize_t got = ::recv(socket.get(), buffer.data() + have, bytes - have, MSG_DONTWAIT);
            if (got > 0) {
                have += static_cast<size_t>(got);
            } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
                return false;
            } else {
                throw PeerError("closed before it had proven itself");
            }
        }
        return true;
    }

    // The few bytes of an answer always fit an empty socket buffer.
    void write(const void* data, size_t bytes) const {
        if (::send(socket.get(), data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != static_cast<ssize_t>(bytes))
            throw PeerError("does not take an answer");
    }
};

Acceptor::Acceptor(const PortRange& ports)
    : epoll_(checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")), listeners_(ports) {}

Acceptor::~Acceptor() = default;

std::vector<Endpoint> Acceptor::listen(const std::vector<std::string>& addresses) {
    const std::lock_guard lock(mutex_);
    for (const Listeners::Listener* listener : listeners_.add(addresses)) {
        epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener->socket.get(), &event) != 0)
            throw_errno("epoll_ctl");
        log(LogLevel::kInfo, "listening on " + describe(listener->at));
    }
    std::vector<Endpoint> endpoints;
    for (const std::string& address : addresses)
        if (const auto* listener = listeners_.find(address)) endpoints.push_back(listener->at);
    return endpoints;
}

void Acceptor::handle() {
    std::array<epoll_event, 64> events;
    // Under the lock from here on: expect() may end a visitor of whom an event has been taken.
    const std::lock_guard lock(mutex_);
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    bool knocking = false;
    for (int i = 0; i < count; ++i) {
        auto* visitor = static_cast<Visitor*>(events[i].data.ptr);
        if (visitor == nullptr) {
            knocking = true;
        } else if (!advance(*visitor)) {
            erase(visitor);
        }
    }
    // After the visitors, because it may make room by erasing one that has an event above.
    if (knocking) accept_all();
    const auto now = Clock::now();
    while (!visitors_.empty() && visitors_.front()->deadline <= now) {
        drop(*visitors_.front(), "was too slow to prove itself");
        visitors_.erase(visitors_.begin());
    }
}

Clock::time_point Acceptor::next_deadline() const {
    const std::lock_guard lock(mutex_);
    return visitors_.empty() ? Clock::time_point::max() : visitors_.front()->deadline;
}

void Acceptor::accept_all() {
    for (const Listeners::Listener& listener : listeners_.all()) accept_from(listener.socket);
}

void Acceptor::accept_from(const UniqueFd& listener) {
    while (true) {
        UniqueFd socket = tcp_accept(listener);
        if (!socket) {
            // Out of descriptors: the oldest stranger makes room, so that a flood cannot lock the peers out.
            if ((errno == EMFILE || errno == ENFILE) && !visitors_.empty()) {
                drop(*visitors_.front(), "made room for others");
                visitors_.erase(visitors_.begin());
                continue;
            }
            return;
        }
        if (visitors_.size() >= kMaxVisitors) {
            drop(*visitors_.front(), "made room for others");
            visitors_.erase(visitors_.begin());
        }
        auto visitor = std::make_unique<Visitor>();
        visitor->socket = std::move(socket);
        visitor->deadline = Clock::now() + std::chrono::seconds(config().connect_timeout_s);
        epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = visitor.get()}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, visitor->socket.get(), &event) != 0) continue;
        visitors_.push_back(std::move(visitor));
        if (!advance(*visitors_.back())) visitors_.pop_back();
    }
}

bool Acceptor::advance(Visitor& visitor) {
    try {
        if (visitor.state == Visitor::State::kHello) {
            if (!visitor.read(sizeof(Hello))) return true;
            std::memcpy(&visitor.hello, visitor.buffer.data(), sizeof(Hello));
            visitor.have = 0;
            if (visitor.hello.magic != kHelloMagic) throw PeerError("is not torch_ring");
            if (visitor.hello.version != kProtocolVersion) throw PeerError("speaks another protocol version");
            if (visitor.hello.purpose < Purpose::kControl || visitor.hello.purpose > Purpose::kMessages)
                throw PeerError("asked for something unknown");
            visitor.state = Visitor::State::kUnknownGroup;
        }
        if (visitor.state == Visitor::State::kUnknownGroup) {
            // A peer may be faster than this process: expect() comes back here.
            const auto secret = secrets_.find({visitor.hello.group, visitor.hello.to});
            if (secret == secrets_.end()) return true;
            visitor.nonce = random_nonce();
            const Challenge challenge{visitor.nonce,
                                      server_proof(secret->second, visitor.hello, visitor.nonce)};
            visitor.write(&challenge, sizeof(challenge));
            visitor.state = Visitor::State::kProof;
        }
        if (!visitor.read(sizeof(Digest))) return true;
        const auto secret = secrets_.find({visitor.hello.group, visitor.hello.to});
        if (secret == secrets_.end()) throw PeerError("came for a group that is gone");
        Digest proof;
        std::memcpy(proof.data(), visitor.buffer.data(), sizeof(proof));
        if (!equal_in_constant_time(proof, client_proof(secret->second, visitor.hello, visitor.nonce)))
            throw PeerError("does not know the secret of the job");
        const Key key{visitor.hello.group, visitor.hello.from, visitor.hello.to, visitor.hello.purpose,
                      visitor.hello.stream};
        if (ready_.count(key) != 0) throw PeerError("came twice for the same thing");
        visitor.write(&kWelcomeMagic, sizeof(kWelcomeMagic));
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, visitor.socket.get(), nullptr) != 0)
            throw_errno("epoll_ctl");
        ready_[key] = std::move(visitor.socket);
        arrived_.notify_all();
        const auto watcher = watchers_.find({visitor.hello.group, visitor.hello.to});
        if (visitor.hello.purpose == Purpose::kMessages && watcher != watchers_.end()) watcher->second();
    } catch (const Error& error) {
        drop(visitor, error.what());
    }
    return false;
}

void Acceptor::drop(Visitor& visitor, const char* why) {
    ++dropped_;
    log(LogLevel::kInfo, "dropped a connection to " + describe(listeners_.endpoints()) + ": it " + why);
    visitor.socket.reset();
}

void Acceptor::erase(Visitor* visitor) {
    const auto at =
        std::find_if(visitors_.begin(), visitors_.end(), [=](const auto& v) { return v.get() == visitor; });
    if (at != visitors_.end()) visitors_.erase(at);
}

void Acceptor::expect(uint64_t group, int to, const std::string& secret) {
    const std::lock_guard lock(mutex_);
    secrets_[{group, to}] = secret;
    std::vector<Visitor*> over;
    for (const auto& visitor : visitors_)
        if (visitor->state == Visitor::State::kUnknownGroup && visitor->hello.group == group &&
            visitor->hello.to == to)
            if (!advance(*visitor)) over.push_back(visitor.get());
    for (Visitor* visitor : over) erase(visitor);
}

void Acceptor::forget(uint64_t group, int to) {
    const std::lock_guard lock(mutex_);
    secrets_.erase({group, to});
    watchers_.erase({group, to});
    std::erase_if(ready_, [&](const auto& entry) {
        return std::get<0>(entry.first) == group && std::get<2>(entry.first) == to;
    });
}

void Acceptor::watch(uint64_t group, int to, std::function<void()> notify) {
    const std::lock_guard lock(mutex_);
    const auto waits = [&](const auto& entry) {
        return std::get<0>(entry.first) == group && std::get<2>(entry.first) == to;
    };
    if (std::any_of(ready_.begin(), ready_.end(), waits)) notify();
    watchers_[{group, to}] = std::move(notify);
}

std::vector<std::pair<int, UniqueFd>> Acceptor::collect(uint64_t group, int to) {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<int, UniqueFd>> sockets;
    for (auto at = ready_.begin(); at != ready_.end();) {
        const auto& [of_group, from, for_rank, purpose, _] = at->first;
        if (of_group == group && for_rank == to && purpose == Purpose::kMessages) {
            tcp_configure(at->second);
            sockets.emplace_back(from, std::move(at->second));
            at = ready_.erase(at);
        } else {
            ++at;
        }
    }
    return sockets;
}

UniqueFd Acceptor::take(uint64_t group, int from, int to, Purpose purpose, int stream, Deadline deadline) {
    std::unique_lock lock(mutex_);
    const Key key{group, from, to, purpose, stream};
    while (!arrived_.wait_until(lock, std::min(deadline.at(), Clock::now() + kInterruptEvery),
                                [&] { return ready_.count(key) != 0; })) {
        lock.unlock();
        check_interrupt();
        lock.lock();
        if (!deadline.passed()) continue;
        throw TimeoutError(
            "rank " + std::to_string(from) + " has not connected to " + describe(listeners_.endpoints()) +
            " in time; is it alive, can it reach one of these, and does every firewall between "
            "let it through? TORCH_RING_PORT_RANGE says which ports they may be");
    }
    UniqueFd socket = std::move(ready_[key]);
    ready_.erase(key);
    tcp_configure(socket);
    return socket;
}

uint64_t Acceptor::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

}  // namespace ring
