// See message_link.h.
#include "ring/transport/message/message_link.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace ring {
namespace {

constexpr size_t kHeaderBytes = sizeof(MessageHeader);
constexpr size_t kFramesAtOnce = 16;
// Credit is returned in such portions, so that it costs little, or earlier where its sender runs out.
constexpr size_t kReturnBytes = kCreditBytes / 4;

}  // namespace

MessageLink::MessageLink(int peer, uint64_t group, MessageSorter& sorter)
    : peer_(peer), group_(group), sorter_(sorter), ahead_(kAheadBytes) {}

// ---- out ----

MessageHeader MessageLink::header_of(MessageType type, uint64_t id, uint64_t length) const {
    MessageHeader header;
    header.type = type;
    header.group = group_;
    header.id = id;
    header.length = length;
    return header;
}

void MessageLink::push(MessageType type, uint64_t id, uint64_t length) {
    frames_.push_back({.header = header_of(type, id, length)});
}

void MessageLink::send(const TransferPtr& transfer, size_t credit) {
    const size_t cost = kHeaderBytes + transfer->bytes;
    const bool small = transfer->bytes <= eager_bytes();
    const bool eager = small && on_credit_ + cost <= credit;
    push(eager ? MessageType::kEager : MessageType::kRequest, ++last_id_, transfer->bytes);
    Frame& frame = frames_.back();
    frame.header.low_on_credit = small && on_credit_ + (eager ? 2 : 1) * cost > credit;
    frame.header.key = transfer->key;
    frame.header.signature = transfer->signature;
    if (eager) {
        on_credit_ += cost;
        frame.data = transfer->data;
        frame.bytes = transfer->bytes;
        frame.transfer = transfer;
    } else {
        if (memory_ != nullptr) frame.header.address = reinterpret_cast<uint64_t>(transfer->data);
        requests_[last_id_] = transfer;
    }
}

std::optional<TransferPtr> MessageLink::send_now(const MessageKey& key, const Signature& signature,
                                                 const std::byte* data, size_t bytes) {
    const size_t cost = kHeaderBytes + bytes;
    if (pipe_ == nullptr || wants_write() || closed_to_send()) return std::nullopt;
    if (bytes > eager_bytes() || on_credit_ + cost > kCreditBytes) return std::nullopt;
    MessageHeader header = header_of(MessageType::kEager, last_id_ + 1, bytes);
    header.low_on_credit = on_credit_ + 2 * cost > kCreditBytes;
    header.key = key;
    header.signature = signature;
    // The payload is only ever read.
    auto* const payload = const_cast<std::byte*>(data);
    const std::array<iovec, 2> pieces{{{&header, kHeaderBytes}, {payload, bytes}}};
    size_t taken = 0;
    try {
        taken = pipe_->write(pieces.data(), bytes > 0 ? 2 : 1);
    } catch (const PeerGone& gone) {
        write_closed_ = true;
        why_closed_ = gone.what();
    }
    if (taken == 0) return std::nullopt;
    ++last_id_;
    on_credit_ += cost;
    if (taken == cost) return TransferPtr();
    auto transfer = std::make_shared<Transfer>(
        Transfer{.peer = peer_, .key = key, .signature = signature, .data = payload, .bytes = bytes});
    frames_.push_back({.header = header, .data = payload, .bytes = bytes, .transfer = transfer});
    written_ = taken;
    blocked_ = true;
    return transfer;
}

void MessageLink::push_data() {
    const auto [id, transfer] = granted_.front();
    granted_.pop_front();
    const size_t bytes = std::min(kDataBytes, transfer->bytes - transfer->moved);
    push(MessageType::kData, id, bytes);
    Frame& frame = frames_.back();
    frame.data = transfer->data + transfer->moved;
    frame.bytes = bytes;
    transfer->moved += bytes;
    if (transfer->moved == transfer->bytes) {
        frame.transfer = transfer;
    } else {
        granted_.emplace_back(id, transfer);  // behind the others: they share the pipe
    }
}

bool MessageLink::write() {
    bool moved = false;
    while (pipe_ != nullptr && !write_closed_) {
        while (frames_.size() < 2 && !granted_.empty()) push_data();
        if (frames_.empty()) break;
        std::array<iovec, 2 * kFramesAtOnce> pieces;
        int count = 0;
        size_t offered = 0;
        size_t skip = written_;
        for (size_t i = 0; i < std::min(frames_.size(), kFramesAtOnce); ++i) {
            Frame& frame = frames_[i];
            if (skip < kHeaderBytes)
                pieces[count++] = {reinterpret_cast<std::byte*>(&frame.header) + skip, kHeaderBytes - skip};
            const size_t payload_skip = skip > kHeaderBytes ? skip - kHeaderBytes : 0;
            if (payload_skip < frame.bytes)
                pieces[count++] = {frame.data + payload_skip, frame.bytes - payload_skip};
            offered += kHeaderBytes + frame.bytes - skip;
            skip = 0;
        }
        const size_t taken = pipe_->write(pieces.data(), count);
        moved = moved || taken > 0;
        written_ += taken;
        while (!frames_.empty() && written_ >= kHeaderBytes + frames_.front().bytes) {
            written_ -= kHeaderBytes + frames_.front().bytes;
            if (frames_.front().transfer != nullptr) frames_.front().transfer->done = true;
            frames_.pop_front();
        }
        // A short write means a full pipe: asking again at once would only cost a system call.
        blocked_ = taken < offered;
        if (blocked_) break;
    }
    if (frames_.empty()) blocked_ = false;
    return moved;
}

// ---- in ----

void MessageLink::fetch(const MessageHeader& header, const TransferPtr& transfer, bool copy_once) {
    return_credit(header);
    if (copy_once && memory_ != nullptr) {
        pulls_.push_back({header.id, header.address, transfer});
    } else {
        grant(header.id, transfer);
    }
}

void MessageLink::grant(uint64_t id, const TransferPtr& transfer) {
    incoming_[id] = transfer;
    push(MessageType::kGrant, id, 0);
}

void MessageLink::claimed(const MessageHeader& header) {
    to_return_ += kHeaderBytes + header.length;
    return_credit(header);
}

void MessageLink::return_credit(const MessageHeader& header) {
    if (to_return_ == 0 || (to_return_ < kReturnBytes && !header.low_on_credit)) return;
    push(MessageType::kCredit, 0, to_return_);
    unclaimed_ -= to_return_;
    to_return_ = 0;
}

void MessageLink::redirect(const TransferPtr& transfer) {
    const size_t got = header_.length - left_;
    if (got > 0) std::memcpy(transfer->data, place_.arrival->payload.get(), got);
    to_ = transfer->data + got;
    place_ = {transfer, nullptr};
}

void MessageLink::open(const MessageHeader& header) {
    const std::string from = "rank " + std::to_string(peer_);
    if (header.magic != kMessageMagic || header.version != kProtocolVersion || header.group != group_)
        throw Error(from + " sent something that is not a message of this group");
    const auto unknown = [&] {
        return Error(from + " sent a message out of turn: torch_ring is broken, please report it");
    };
    header_ = header;
    switch (header.type) {
        case MessageType::kEager:
            if (header.id != ++last_in_ || header.length > eager_bytes()) throw unknown();
            unclaimed_ += kHeaderBytes + header.length;
            if (unclaimed_ > kCreditBytes) throw unknown();
            // Read in any case: what comes behind it may be for an operation that can still end.
            reading_ = true;
            left_ = header.length;
            to_ = nullptr;
            place_ = sorter_.place(*this, header);
            to_ = place_.transfer != nullptr ? place_.transfer->data : place_.arrival->payload.get();
            return;
        case MessageType::kRequest:
            if (header.id != ++last_in_) throw unknown();
            sorter_.requested(*this, header);
            return;
        case MessageType::kData: {
            const auto at = incoming_.find(header.id);
            if (at == incoming_.end() || header.length > at->second->bytes - at->second->moved)
                throw unknown();
            place_ = {at->second, nullptr};
            to_ = at->second->data + at->second->moved;
            left_ = header.length;
            reading_ = true;
            return;
        }
        case MessageType::kGrant: {
            const auto at = requests_.find(header.id);
            if (at == requests_.end()) throw unknown();
            granted_.emplace_back(at->first, at->second);
            requests_.erase(at);
            return;
        }
        case MessageType::kTaken: {
            const auto at = requests_.find(header.id);
            if (at == requests_.end()) throw unknown();
            at->second->done = true;
            requests_.erase(at);
            return;
        }
        case MessageType::kCredit:
            if (header.length > on_credit_) throw unknown();
            on_credit_ -= header.length;
            return;
        case MessageType::kGoodbye:
            // Nothing follows, though the connection may stay open for as long as the peer keeps its group.
            goodbye_ = read_closed_ = true;
            return;
    }
    throw unknown();
}

void MessageLink::payload_complete() {
    reading_ = false;
    const auto [transfer, arrival] = std::exchange(place_, {});
    if (header_.type == MessageType::kData) {
        transfer->moved += header_.length;
        if (transfer->moved < transfer->bytes) return;
        incoming_.erase(header_.id);
        transfer->done = true;
    } else if (transfer != nullptr) {
        transfer->done = true;
        claimed(header_);
    } else if (arrival != nullptr) {
        arrival->complete = true;
    }
}

bool MessageLink::digest() {
    if (reading_) {
        const size_t step = std::min(left_, end_ - begin_);
        if (to_ != nullptr && step > 0) {
            std::memcpy(to_, ahead_.data() + begin_, step);
            to_ += step;
        }
        begin_ += step;
        left_ -= step;
        if (left_ > 0) return false;
        payload_complete();
    }
    if (end_ - begin_ < kHeaderBytes) return false;
    MessageHeader header;
    std::memcpy(&header, ahead_.data() + begin_, kHeaderBytes);
    begin_ += kHeaderBytes;
    open(header);
    return true;
}

bool MessageLink::read() {
    bool moved = false;
    while (pipe_ != nullptr && !read_closed_) {
        while (digest()) {
        }
        if (begin_ > 0) {
            std::memmove(ahead_.data(), ahead_.data() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        // The payload goes where it belongs; with its end may come the next headers.
        std::array<iovec, 2> pieces;
        int count = 0;
        if (reading_ && to_ != nullptr && left_ > 0) pieces[count++] = {to_, left_};
        pieces[count++] = {ahead_.data() + end_, ahead_.size() - end_};
        const size_t got = pipe_->read(pieces.data(), count);
        if (got == 0) break;
        moved = true;
        const size_t direct = count == 2 ? std::min(got, left_) : 0;
        if (direct > 0) to_ += direct;
        left_ -= direct;
        end_ += got - direct;
    }
    return moved;
}

bool MessageLink::pull() {
    if (pulls_.empty()) return false;
    const auto [id, address, transfer] = pulls_.front();
    const size_t step = std::min(kPullStep, transfer->bytes - transfer->moved);
    if (memory_->read(transfer->data + transfer->moved, address + transfer->moved, step)) {
        transfer->moved += step;
        if (transfer->moved < transfer->bytes) return true;
        transfer->done = true;
        push(MessageType::kTaken, id, 0);
    } else {
        transfer->moved = 0;
        grant(id, transfer);
    }
    pulls_.pop_front();
    return true;
}

bool MessageLink::rests() {
    if (fruitless_ < kEagerPasses) return false;
    // What another process makes in shared memory is seen without the kernel.
    if (pipe_ == nullptr || pipe_->fd() < 0 || (wants_write() && !blocked_)) return false;
    return ++rested_ % kPassesPerLook != 0;
}

bool MessageLink::progress() {
    const bool moved = move();
    fruitless_ = moved ? 0 : std::min(fruitless_ + 1, kEagerPasses);
    return moved;
}

bool MessageLink::move() {
    bool moved = false;
    try {
        moved = write();
    } catch (const PeerGone& gone) {
        // What it sent before may still be there to be read.
        write_closed_ = true;
        why_closed_ = gone.what();
        frames_.clear();
        granted_.clear();
        moved = true;
    }
    try {
        const bool got = read();
        if (pull() || got) {
            moved = true;
            if (wants_write() && !blocked_ && !write_closed_) write();  // what it answers
        }
    } catch (const PeerGone& gone) {
        read_closed_ = true;
        pulls_.clear();
        if (why_closed_.empty()) why_closed_ = gone.what();
        return true;
    }
    return moved;
}

void MessageLink::abort() {
    const bool midst = written_ > 0;
    frames_.clear();
    requests_.clear();
    granted_.clear();
    incoming_.clear();
    pulls_.clear();
    place_ = {};
    reading_ = false;
    write_closed_ = write_closed_ || midst;
    read_closed_ = true;
    why_closed_ = "the group has ended";
}

bool MessageLink::leave() {
    if (pipe_ == nullptr) return true;
    if (!std::exchange(leaving_, true)) push(MessageType::kGoodbye, 0, 0);
    try {
        write();
        const iovec rest{ahead_.data(), ahead_.size()};
        while (pipe_->read(&rest, 1) > 0) {
        }
    } catch (const PeerGone&) {
        return true;
    }
    return (frames_.empty() || write_closed_) && !pipe_->pending();
}

}  // namespace ring
