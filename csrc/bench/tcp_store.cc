// See tcp_store.h.
#include "tcp_store.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ring/base/error.h"
#include "ring/transport/tcp/socket.h"

namespace ring_perf {
namespace {

constexpr uint32_t kMagic = 0x50524952;  // "RIRP"
constexpr uint32_t kMaxKey = 4 << 10;
constexpr uint32_t kMaxValue = 1 << 20;
constexpr ring::milliseconds kAnswerTime{30'000};
constexpr ring::milliseconds kAskAgain{2};
constexpr size_t kStrangers = 64;  // connections at a time beyond those of the ranks

constexpr size_t kKeysPerRequest = 1000;

enum Ask : uint32_t {
    kHello,
    kSet,
    kGet,
    kCompareSet,
    kHas,
    kGetAll,
    kCount,
    kRemove,
    kSetAll,
    kAppend,
    kAsks
};

// Followed by the key and the value. Hello has the rank as its value, and is the first request. The value of
// kCompareSet is the length of what is expected, a uint32_t, that, and what is desired. kHas, kGetAll,
// kRemove and kSetAll have their keys in the value, each with its length before it, as kGetAll's answer has
// its values: of as many of the first keys as are there, and fit. kSetAll's key is what they are set to.
struct Request {
    uint32_t magic = kMagic;
    uint32_t what = kHello;
    uint32_t key_bytes = 0;
    uint32_t value_bytes = 0;
};

// Followed by the value.
struct Reply {
    uint32_t found = 0;
    uint32_t value_bytes = 0;
};

// Dual-stack where the kernel has IPv6, else IPv4.
ring::UniqueFd listen_everywhere(uint16_t port) {
    ring::UniqueFd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const bool six = static_cast<bool>(socket);
    if (!six)
        socket = ring::checked_fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    const int on = 1;
    const int off = 0;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (six) (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    sockaddr_in6 any6{};
    any6.sin6_family = AF_INET6;
    any6.sin6_port = htons(port);
    sockaddr_in any4{};
    any4.sin_family = AF_INET;
    any4.sin_port = htons(port);
    const auto* address = six ? reinterpret_cast<const sockaddr*>(&any6) : reinterpret_cast<sockaddr*>(&any4);
    if (::bind(socket.get(), address, six ? sizeof(any6) : sizeof(any4)) != 0 ||
        ::listen(socket.get(), SOMAXCONN) != 0)
        ring::throw_errno("rank 0 cannot serve its store on port " + std::to_string(port) +
                          "; set MASTER_PORT to one that is free, on every rank");
    return socket;
}

// Numeric; of IPv4 if it has such an address, which the server always listens on.
std::string resolve(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (code != 0) throw ring::Error("cannot resolve '" + host + "': " + ::gai_strerror(code));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    const addrinfo* chosen = list;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next)
        if (one->ai_family == AF_INET) {
            chosen = one;
            break;
        }
    char text[NI_MAXHOST] = "";
    if (::getnameinfo(chosen->ai_addr, chosen->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) !=
        0)
        throw ring::Error("cannot read the address of '" + host + "'");
    return text;
}

ring::Deadline answer_time() {
    return ring::Deadline::after(kAnswerTime);
}

template <typename Struct>
void append_bytes(std::string& buffer, const Struct& value) {
    buffer.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_text(std::string& buffer, const std::string& text) {
    append_bytes(buffer, static_cast<uint32_t>(text.size()));
    buffer += text;
}

std::string pack(std::span<const std::string> texts) {
    std::string buffer;
    for (const std::string& text : texts) append_text(buffer, text);
    return buffer;
}

// Nothing where it is not what pack() makes.
std::optional<std::vector<std::string>> unpack(const std::string& buffer) {
    std::vector<std::string> texts;
    for (size_t at = 0; at < buffer.size();) {
        uint32_t length = 0;
        if (buffer.size() - at < sizeof(length)) return std::nullopt;
        std::memcpy(&length, buffer.data() + at, sizeof(length));
        at += sizeof(length);
        if (buffer.size() - at < length) return std::nullopt;
        texts.push_back(buffer.substr(at, length));
        at += length;
    }
    return texts;
}

// Calls `ask` with some of the keys at a time, each time from where the last call came to.
void in_parts(const std::vector<std::string>& keys,
              const std::function<size_t(std::span<const std::string>)>& ask) {
    for (size_t at = 0; at < keys.size();)
        at += ask(std::span(keys).subspan(at, std::min(kKeysPerRequest, keys.size() - at)));
}

}  // namespace

TcpStoreServer::TcpStoreServer(uint16_t port, int ranks)
    : ranks_(ranks),
      listener_(listen_everywhere(port)),
      stop_(ring::checked_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
    port_ = ring::tcp_port(listener_);
    thread_ = std::thread([this] { run(); });
}

TcpStoreServer::~TcpStoreServer() {
    (void)::eventfd_write(stop_.get(), 1);
    thread_.join();
}

bool TcpStoreServer::drain(ring::Deadline deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline.at(), [this] { return present_.empty(); });
}

void TcpStoreServer::run() {
    while (true) {
        std::vector<pollfd> waiting{{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
        for (const Client& client : clients_)
            waiting.push_back(
                {client.socket.get(), static_cast<short>(client.out.empty() ? POLLIN : POLLOUT), 0});
        if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;  // EINTR
        if (waiting[0].revents != 0) return;
        auto events = waiting.begin() + 2;
        for (auto client = clients_.begin(); client != clients_.end(); ++events) {
            if (events->revents == 0 || advance(*client)) {
                ++client;
                continue;
            }
            if (client->rank >= 0) {
                const std::lock_guard lock(mutex_);
                present_.erase(client->rank);
                changed_.notify_all();
            }
            client = clients_.erase(client);
        }
        if (waiting[1].revents != 0) accept_all();
    }
}

void TcpStoreServer::accept_all() {
    while (true) {
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        ring::UniqueFd socket(fd);
        if (clients_.size() < static_cast<size_t>(ranks_) + kStrangers)
            clients_.push_back({.socket = std::move(socket), .rank = -1, .in = {}, .out = {}});
    }
}

// One request at a time, and none while a reply is not sent: what a client can make us keep is bounded.
bool TcpStoreServer::advance(Client& client) {
    if (client.out.empty()) {
        char buffer[64 << 10];
        const ssize_t got = ::recv(client.socket.get(), buffer, sizeof(buffer), 0);
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        if (got == 0) return false;
        client.in.append(buffer, static_cast<size_t>(got));
    }
    while (true) {
        if (!client.out.empty()) {
            const ssize_t sent =
                ::send(client.socket.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
            if (sent < 0) return errno == EAGAIN || errno == EINTR;
            client.out.erase(0, static_cast<size_t>(sent));
            if (!client.out.empty()) return true;
        }
        if (client.in.size() < sizeof(Request)) return true;
        Request request;
        std::memcpy(&request, client.in.data(), sizeof(request));
        if (request.magic != kMagic || request.what >= kAsks || request.key_bytes > kMaxKey ||
            request.value_bytes > kMaxValue)
            return false;
        if ((client.rank < 0) != (request.what == kHello)) return false;
        const size_t bytes = sizeof(request) + request.key_bytes + request.value_bytes;
        if (client.in.size() < bytes) return true;
        const std::string key = client.in.substr(sizeof(request), request.key_bytes);
        std::string value = client.in.substr(sizeof(request) + request.key_bytes, request.value_bytes);
        client.in.erase(0, bytes);
        const bool sound = request.what == kHello ? enter(client, value)
                                                  : answer(client, request.what, key, std::move(value));
        if (!sound) return false;
    }
}

bool TcpStoreServer::enter(Client& client, const std::string& value) {
    uint32_t rank = 0;
    if (value.size() != sizeof(rank)) return false;
    std::memcpy(&rank, value.data(), sizeof(rank));
    if (rank >= static_cast<uint32_t>(ranks_)) return false;
    client.rank = static_cast<int>(rank);
    append_bytes(client.out, Reply{.found = 1, .value_bytes = 0});
    const std::lock_guard lock(mutex_);
    present_.insert(client.rank);
    return true;
}

bool TcpStoreServer::answer(Client& client, uint32_t what, const std::string& key, std::string value) {
    bool found = true;
    std::string result;
    if (what == kSet) {
        values_[key] = std::move(value);
    } else if (what == kCompareSet) {
        uint32_t length = 0;
        if (value.size() < sizeof(length)) return false;
        std::memcpy(&length, value.data(), sizeof(length));
        if (length > value.size() - sizeof(length)) return false;
        const auto entry = values_.find(key);
        if (entry != values_.end()) result = entry->second;
        if (result == value.substr(sizeof(length), length))
            values_[key] = result = value.substr(sizeof(length) + length);
    } else if (what == kGet) {
        const auto entry = values_.find(key);
        found = entry != values_.end();
        if (found) result = entry->second;
    } else if (what == kAppend) {
        std::string& all = values_[key];
        if (all.size() + value.size() > kMaxValue) return false;
        all += value;
    } else if (what == kCount) {
        result = std::to_string(++counts_[key]);
    } else {
        const auto keys = unpack(value);
        if (!keys) return false;
        if (what == kRemove) {
            for (const std::string& one : *keys) {
                values_.erase(one);
                counts_.erase(one);
            }
        } else if (what == kSetAll) {
            for (const std::string& one : *keys) values_[one] = key;
        } else if (what == kHas) {
            found = std::all_of(keys->begin(), keys->end(),
                                [this](const std::string& one) { return values_.contains(one); });
        } else {
            for (const std::string& one : *keys) {
                const auto entry = values_.find(one);
                if (entry == values_.end() ||
                    (!result.empty() && result.size() + entry->second.size() >= kMaxValue))
                    break;
                append_text(result, entry->second);
            }
        }
    }
    append_bytes(client.out, Reply{.found = found, .value_bytes = static_cast<uint32_t>(result.size())});
    client.out += result;
    return true;
}

TcpStore::TcpStore(const std::string& host, uint16_t port, int rank, ring::Deadline deadline)
    : where_("the store of rank 0 at " + host + " port " + std::to_string(port)) {
    try {
        socket_ = ring::tcp_connect(resolve(host), port, deadline);
    } catch (const ring::Error& error) {
        throw ring::Error("rank " + std::to_string(rank) + " cannot reach " + where_ + ": " + error.what());
    }
    const auto number = static_cast<uint32_t>(rank);
    ask(kHello, "", std::string(reinterpret_cast<const char*>(&number), sizeof(number)), deadline);
}

TcpStore::Answer TcpStore::ask(uint32_t what, const std::string& key, const std::string& value,
                               ring::Deadline deadline) {
    if (key.size() > kMaxKey || value.size() > kMaxValue)
        throw ring::Error("too large for " + where_ + ": key '" + key.substr(0, 64) + "' of " +
                          std::to_string(key.size()) + " bytes, value of " + std::to_string(value.size()));
    std::string message;
    append_bytes(message, Request{.magic = kMagic,
                                  .what = what,
                                  .key_bytes = static_cast<uint32_t>(key.size()),
                                  .value_bytes = static_cast<uint32_t>(value.size())});
    message += key;
    message += value;
    const std::lock_guard lock(mutex_);
    try {
        ring::tcp_write_all(socket_, message.data(), message.size(), deadline);
        Reply reply;
        ring::tcp_read_all(socket_, &reply, sizeof(reply), deadline);
        if (reply.value_bytes > kMaxValue + sizeof(uint32_t))
            throw ring::PeerError("the answer makes no sense");
        Answer answer{.found = reply.found != 0, .value = std::string(reply.value_bytes, '\0')};
        ring::tcp_read_all(socket_, answer.value.data(), answer.value.size(), deadline);
        return answer;
    } catch (const ring::Error& error) {
        throw ring::PeerError(where_ + ": " + error.what());
    }
}

TcpStore::Answer TcpStore::ask(uint32_t what, const std::string& key, const std::string& value) {
    return ask(what, key, value, answer_time());
}

void TcpStore::set(const std::string& key, const std::string& value) {
    ask(kSet, key, value);
}

void TcpStore::wait_for(const std::string& key, ring::Deadline deadline) const {
    if (deadline.passed()) throw ring::TimeoutError("nobody has set the key '" + key + "' in " + where_);
    std::this_thread::sleep_for(kAskAgain);
}

std::string TcpStore::get(const std::string& key, ring::Deadline deadline) {
    while (true) {
        Answer answer = ask(kGet, key, "");
        if (answer.found) return std::move(answer.value);
        wait_for(key, deadline);
    }
}

std::vector<std::string> TcpStore::get_all(const std::vector<std::string>& keys, ring::Deadline deadline) {
    std::vector<std::string> values;
    in_parts(keys, [&](std::span<const std::string> some) {
        const auto there = unpack(ask(kGetAll, "", pack(some)).value);
        if (!there || there->size() > some.size())
            throw ring::PeerError(where_ + ": the answer makes no sense");
        if (there->empty()) wait_for(some.front(), deadline);
        values.insert(values.end(), there->begin(), there->end());
        return there->size();
    });
    return values;
}

std::string TcpStore::compare_set(const std::string& key, const std::string& expected,
                                  const std::string& desired) {
    std::string both;
    append_text(both, expected);
    return ask(kCompareSet, key, both + desired).value;
}

void TcpStore::set_all(const std::vector<std::string>& keys, const std::string& value) {
    in_parts(keys, [&](std::span<const std::string> some) {
        ask(kSetAll, value, pack(some));
        return some.size();
    });
}

bool TcpStore::append(const std::string& key, const std::string& text) {
    ask(kAppend, key, text);
    return true;
}

bool TcpStore::has(const std::vector<std::string>& keys) {
    bool all = true;
    in_parts(keys, [&](std::span<const std::string> some) {
        all = all && ask(kHas, "", pack(some)).found;
        return some.size();
    });
    return all;
}

std::optional<int64_t> TcpStore::count(const std::string& key) {
    return std::stoll(ask(kCount, key, "").value);
}

void TcpStore::remove(const std::vector<std::string>& keys) {
    in_parts(keys, [&](std::span<const std::string> some) {
        ask(kRemove, "", pack(some));
        return some.size();
    });
}

}  // namespace ring_perf
