// See acceptor.h.
#include "ring/transport/tcp/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/log.h"
#include "ring/transport/frame.h"
#include "ring/transport/tcp/socket.h"

namespace ring {
namespace {

// What unproven visitors may hold: more than a group's own connections at any moment, and a share of what the
// process may have. Beyond it the oldest makes room.
constexpr size_t kMaxVisitors = 512;
constexpr rlim_t kShareOfLimit = 8;
// Descriptors that are kept for visitors where the rest of the process has taken all.
constexpr size_t kReserve = 8;
// Of how many groups that were left their callers are told so.
constexpr size_t kLeftGroups = 256;
// How long the listener is left alone when there is no descriptor for who knocks.
constexpr milliseconds kPause{100};
// The number of the listener in epoll; visitors count from 1.
constexpr uint64_t kListener = 0;

UniqueFd spare() {
    return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool knocks(const UniqueFd& listener) {
    pollfd waiting{listener.get(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) > 0;
}

size_t most_visitors() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kMaxVisitors;
    return std::clamp<size_t>(static_cast<size_t>(limit.rlim_cur / kShareOfLimit), 1, kMaxVisitors);
}

}  // namespace

// A connection that has not proven itself yet.
struct Acceptor::Visitor {
    enum class State { kHello, kUnknownGroup, kProof };

    Visitor(uint64_t number, UniqueFd connection, Clock::time_point until)
        : id(number), socket(std::move(connection)), deadline(until) {}

    const uint64_t id;
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
    : epoll_(checked_fd(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")), listeners_(ports) {
    refill();
}

Acceptor::~Acceptor() = default;

std::vector<Endpoint> Acceptor::listen(const std::vector<std::string>& addresses) {
    const std::lock_guard lock(mutex_);
    for (const Listeners::Listener* listener : listeners_.add(addresses)) {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = kListener}};
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
    const std::lock_guard lock(mutex_);
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    bool knocking = false;
    for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 == kListener) {
            knocking = true;
            continue;
        }
        const auto at = visitors_.find(events[i].data.u64);
        if (at != visitors_.end() && !advance(*at->second)) visitors_.erase(at);
    }
    const auto now = Clock::now();
    while (!visitors_.empty() && visitors_.begin()->second->deadline <= now)
        drop_oldest("was too slow to prove itself");
    refill();
    if (now >= resume_) {
        resume_ = Clock::time_point::max();
        listen_for_events(true);
        knocking = true;
    }
    if (knocking) accept_all();
}

Clock::time_point Acceptor::next_deadline() const {
    const std::lock_guard lock(mutex_);
    return visitors_.empty() ? resume_ : std::min(resume_, visitors_.begin()->second->deadline);
}

void Acceptor::accept_all() {
    for (const Listeners::Listener& listener : listeners_.all()) accept_from(listener.socket);
}

void Acceptor::accept_from(const UniqueFd& listener) {
    while (true) {
        UniqueFd socket = tcp_accept(listener);
        if (!socket) {
            const int code = errno;
            // The kernel takes a descriptor before it looks whether there is anybody to be let in.
            if (code == EAGAIN || !knocks(listener)) break;
            if (code == EMFILE || code == ENFILE) {
                if (make_room()) continue;
                if (no_descriptors_ == 0)
                    log(LogLevel::kWarning, "cannot take connections to " + describe(listeners_.endpoints()) +
                                                ": " + describe_errno(code));
                no_descriptors_ = code;
                refuse_all(listener);
            } else if (code == EINTR || code == ECONNABORTED) {
                continue;  // what was wrong was wrong with that connection alone
            }
            // Else the listener would go on waking this thread, which can do nothing about it.
            listen_for_events(false);
            resume_ = Clock::now() + kPause;
            return;
        }
        no_descriptors_ = 0;
        if (visitors_.size() >= most_visitors()) drop_oldest("made room for others");
        auto visitor =
            std::make_unique<Visitor>(++last_visitor_, std::move(socket),
                                      Clock::now() + std::chrono::seconds(config().connect_timeout_s));
        epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = visitor->id}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, visitor->socket.get(), &event) != 0) continue;
        if (advance(*visitor)) visitors_.emplace(visitor->id, std::move(visitor));
    }
}

bool Acceptor::make_room() {
    if (!reserve_.empty()) {
        reserve_.pop_back();
        return true;
    }
    // So that a crowd that never says a word cannot lock the peers out.
    if (visitors_.empty()) return false;
    drop_oldest("made room for others");
    return true;
}

void Acceptor::refuse_all(const UniqueFd& listener) {
    for (size_t i = 0; i < kMaxVisitors && last_; ++i) {
        last_.reset();
        UniqueFd socket = tcp_accept(listener);
        const bool any = static_cast<bool>(socket);
        if (any) {
            // What is left unread when it is closed would make the kernel take back the answer.
            std::array<char, sizeof(Hello)> words;
            (void)::recv(socket.get(), words.data(), words.size(), MSG_DONTWAIT);
            const Challenge refusal{.nonce = kNoDescriptors};
            (void)::send(socket.get(), &refusal, sizeof(refusal), MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        socket.reset();
        last_ = spare();
        if (!any) return;
    }
}

void Acceptor::refill() {
    if (!last_) last_ = spare();
    while (last_ && reserve_.size() < kReserve) {
        reserve_.push_back(spare());
        if (!reserve_.back()) {
            reserve_.pop_back();
            return;
        }
    }
}

void Acceptor::listen_for_events(bool on) {
    epoll_event event{.events = on ? static_cast<uint32_t>(EPOLLIN) : 0U, .data = {.u64 = kListener}};
    for (const Listeners::Listener& listener : listeners_.all())
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener.socket.get(), &event) != 0)
            throw_errno("epoll_ctl");
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
            if (secret == secrets_.end()) {
                if (!tell_of_leaving(visitor)) return true;
                throw PeerError("came for a group that has been left");
            }
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
        unwatch(visitor.socket);
        ready_[key] = std::move(visitor.socket);
        const auto watcher = watchers_.find({visitor.hello.group, visitor.hello.to});
        if (watcher != watchers_.end()) watcher->second();
    } catch (const Error& error) {
        drop(visitor, error.what());
    }
    return false;
}

void Acceptor::drop(Visitor& visitor, const char* why) {
    ++dropped_;
    log(LogLevel::kInfo, "dropped a connection to " + describe(listeners_.endpoints()) + ": it " + why);
    unwatch(visitor.socket);
    visitor.socket.reset();
}

void Acceptor::drop_oldest(const char* why) {
    drop(*visitors_.begin()->second, why);
    visitors_.erase(visitors_.begin());
}

void Acceptor::unwatch(const UniqueFd& socket) {
    // Closing alone does not end it where a child that was being forked has a copy.
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.get(), nullptr);
}

void Acceptor::expect(uint64_t group, int to, const std::string& secret) {
    const std::lock_guard lock(mutex_);
    secrets_[{group, to}] = secret;
    std::erase_if(visitors_, [&](const auto& entry) {
        Visitor& visitor = *entry.second;
        return visitor.state == Visitor::State::kUnknownGroup && visitor.hello.group == group &&
               visitor.hello.to == to && !advance(visitor);
    });
}

void Acceptor::forget(uint64_t group, int to) {
    const std::lock_guard lock(mutex_);
    secrets_.erase({group, to});
    watchers_.erase({group, to});
    std::erase_if(ready_, [&](const auto& entry) {
        return std::get<0>(entry.first) == group && std::get<2>(entry.first) == to;
    });
}

void Acceptor::leave(uint64_t group, int to) {
    {
        const std::lock_guard lock(mutex_);
        const auto secret = secrets_.find({group, to});
        if (secret == secrets_.end()) return;
        left_.emplace_back(Member{group, to}, secret->second);
        if (left_.size() > kLeftGroups) left_.pop_front();
    }
    forget(group, to);
}

bool Acceptor::tell_of_leaving(Visitor& visitor) {
    const Member whom{visitor.hello.group, visitor.hello.to};
    const auto at =
        std::find_if(left_.begin(), left_.end(), [&](const auto& one) { return one.first == whom; });
    if (at == left_.end()) return false;
    const Challenge challenge{kLeftGroup, server_proof(at->second, visitor.hello, kLeftGroup)};
    visitor.write(&challenge, sizeof(challenge));
    return true;
}

void Acceptor::watch(uint64_t group, int to, std::function<void()> notify) {
    const std::lock_guard lock(mutex_);
    const auto waits = [&](const auto& entry) {
        return std::get<0>(entry.first) == group && std::get<2>(entry.first) == to;
    };
    if (notify == nullptr) {
        watchers_.erase({group, to});
        return;
    }
    if (std::any_of(ready_.begin(), ready_.end(), waits)) notify();
    watchers_[{group, to}] = std::move(notify);
}

std::vector<Acceptor::Arrival> Acceptor::collect(uint64_t group, int to, Purpose purpose) {
    const std::lock_guard lock(mutex_);
    std::vector<Arrival> arrivals;
    for (auto at = ready_.begin(); at != ready_.end();) {
        const auto& [of_group, from, for_rank, came_for, stream] = at->first;
        if (of_group == group && for_rank == to && came_for == purpose) {
            tcp_configure(at->second);
            arrivals.push_back({from, stream, std::move(at->second)});
            at = ready_.erase(at);
        } else {
            ++at;
        }
    }
    return arrivals;
}

std::vector<Endpoint> Acceptor::endpoints() const {
    const std::lock_guard lock(mutex_);
    return listeners_.endpoints();
}

std::string Acceptor::trouble() const {
    const std::lock_guard lock(mutex_);
    if (no_descriptors_ == 0) return "";
    return "; connections to " + describe(listeners_.endpoints()) +
           " cannot be taken: " + describe_errno(no_descriptors_);
}

uint64_t Acceptor::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

}  // namespace ring
