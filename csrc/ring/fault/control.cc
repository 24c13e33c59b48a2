// See control.h.
#include "ring/fault/control.h"

#include <algorithm>
#include <cstring>

namespace ring {
namespace {

constexpr uint32_t kMagic = 0x4c544352;  // "RCTL"
constexpr size_t kMaxPayload = 60 * 1024;
constexpr size_t kEntriesPerMessage = 1000;  // of news
static_assert(kEntriesPerMessage * sizeof(CallProgress) <= kMaxPayload);

struct Header {
    uint32_t magic = kMagic;
    Control::Type type = Control::Type::kGoodbye;
    uint8_t reserved = 0;
    uint16_t length = 0;
};
static_assert(sizeof(Header) == 8);

}  // namespace

void Control::send(Type type, const std::string& payload) {
    if (closed_) return;
    append(type, payload);
    flush();
}

void Control::append(Type type, const std::string& payload) {
    const size_t length = std::min(payload.size(), kMaxPayload);
    const Header header{.type = type, .length = static_cast<uint16_t>(length)};
    outgoing_.append(reinterpret_cast<const char*>(&header), sizeof(header));
    outgoing_.append(payload, 0, length);
}

void Control::tell(const std::vector<CallProgress>& news) {
    if (closed_) return;
    for (const CallProgress& one : news) news_[one.rank] = one;
    flush();
}

void Control::append_news() {
    std::vector<CallProgress> some;
    while (!news_.empty() && some.size() < kEntriesPerMessage)
        some.push_back(news_.extract(news_.begin()).mapped());
    append(Type::kProgress, encode(some));
}

void Control::flush() {
    while (!closed_) {
        if (outgoing_.empty() && !news_.empty()) append_news();
        if (outgoing_.empty()) return;
        try {
            const iovec rest{outgoing_.data(), outgoing_.size()};
            const size_t sent = pipe_->write(&rest, 1);
            if (sent == 0) return;
            outgoing_.erase(0, sent);
        } catch (const PeerGone& gone) {
            // Reading tells more: the peer may have said why before it went. The kernel tells this only once.
            broke_ = gone.what();
            outgoing_.clear();
            news_.clear();
        }
    }
}

bool Control::pending() const {
    return !closed_ && (!outgoing_.empty() || pipe_->pending());
}

std::vector<Control::Message> Control::receive() {
    std::vector<Message> messages;
    try {
        char bytes[4096];
        const iovec room{bytes, sizeof(bytes)};
        while (!closed_) {
            const size_t got = pipe_->read(&room, 1);
            if (got == 0) break;
            incoming_.append(bytes, got);
        }
    } catch (const PeerClosed& gone) {
        close(broke_.empty() ? gone.what() : broke_);
    } catch (const PeerGone& gone) {
        close(gone.what());
    }
    size_t at = 0;
    while (incoming_.size() - at >= sizeof(Header)) {
        Header header;
        std::memcpy(&header, incoming_.data() + at, sizeof(header));
        if (header.magic != kMagic || header.type < Type::kFailure || header.type > Type::kProgress) {
            close("it sent something that is not a message of torch_ring");
            break;
        }
        if (incoming_.size() - at < sizeof(header) + header.length) break;
        if (header.type == Type::kGoodbye) goodbye_ = true;
        messages.push_back({header.type, incoming_.substr(at + sizeof(header), header.length)});
        at += sizeof(header) + header.length;
    }
    incoming_.erase(0, at);
    return messages;
}

void Control::close(std::string why) {
    closed_ = true;
    why_closed_ = std::move(why);
}

std::string encode(const Failure& failure) {
    std::string payload(1, static_cast<char>(failure.kind));
    payload.append(reinterpret_cast<const char*>(&failure.operation), sizeof(failure.operation));
    return payload + failure.text;
}

std::optional<Failure> decode_failure(const std::string& payload) {
    Failure failure;
    constexpr size_t kFixed = 1 + sizeof(failure.operation);
    if (payload.size() < kFixed || !is_failure_kind(static_cast<uint8_t>(payload[0]))) return std::nullopt;
    failure.kind = static_cast<FailureKind>(payload[0]);
    std::memcpy(&failure.operation, payload.data() + 1, sizeof(failure.operation));
    failure.text = payload.substr(kFixed);
    return failure;
}

std::string encode(const std::vector<CallProgress>& progress) {
    return {reinterpret_cast<const char*>(progress.data()), progress.size() * sizeof(CallProgress)};
}

std::optional<std::vector<CallProgress>> decode_progress(const std::string& payload) {
    if (payload.size() % sizeof(CallProgress) != 0) return std::nullopt;
    std::vector<CallProgress> progress(payload.size() / sizeof(CallProgress));
    if (!progress.empty()) std::memcpy(progress.data(), payload.data(), payload.size());
    return progress;
}

}  // namespace ring
