// The point-to-point part of a group: the user's send and recv, and the connections that messages go over.
// See communicator.h.
#include <sys/epoll.h>

#include <algorithm>

#include "ring/base/error.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"
#include "ring/transport/shm/pipe.h"
#include "ring/transport/tcp/pipe.h"

namespace ring {

void Communicator::open_mailbox() {
    for (const int rank : layout_.host_ranks())
        if (rank != layout_.rank())
            mailbox_.attach_local(
                rank,
                std::make_unique<ShmPipe>(*connections_.segment, layout_.local_index(rank),
                                          ChannelUse::kMessages),
                std::make_unique<PeerMemory>(*connections_.segment, layout_.local_index(rank)));
    if (acceptor_ == nullptr) return;
    acceptor_->watch(roster_.group, layout_.rank(), [this] {
        visitors_.store(true, std::memory_order_release);  // pairs with take_visitors()
        doorbell_->ring(doorbell_->name());
        engine_.kick();
    });
}

void Communicator::dial(int rank) {
    calls_.emplace(rank,
                   connections_.dialer.call(layout_, roster_, rank, Purpose::kMessages, 0,
                                            Deadline::after(group_timeout()), [this](int fd) { watch(fd); }));
}

bool Communicator::progress_messages() {
    bool moved = false;
    // Most groups never send a message: the rest must cost them nothing.
    if (message_posts_.load(std::memory_order_acquire) > 0) moved = take_posts();  // pairs with post()
    if (visitors_.load(std::memory_order_acquire)) moved = take_visitors() || moved;
    if (!calls_.empty()) moved = advance_calls() || moved;
    moved = mailbox_.progress() || moved;
    if (!messages_.empty()) moved = finish_messages() || moved;
    if (const auto lost = mailbox_.lost()) {
        if (lost->left) throw PeerError(watch_.describe_leaving(lost->rank));
        watch_.lose(lost->rank, lost->why);
    }
    return moved;
}

std::shared_ptr<Operation> Communicator::next_post() {
    const std::lock_guard lock(queue_mutex_);
    if (message_queue_.empty()) return nullptr;
    const auto operation = std::move(message_queue_.front());
    message_queue_.pop_front();
    message_posts_.store(message_queue_.size(),
                         std::memory_order_relaxed);  // posters change it under the lock
    return operation;
}

bool Communicator::take_posts() {
    while (const auto operation = next_post()) {
        const Arguments& arguments = operation->arguments;
        const Signature& called = arguments.signature;
        const MessageKey key{.operation = 0, .tag = arguments.tag};
        const size_t bytes = called.count * size_of(called.dtype);
        // Known before it can fail, so that it ends with the others.
        messages_.push_back({operation, nullptr});
        messages_.back().transfer = called.kind == Collective::kSend
                                        ? mailbox_.send(called.root, key, called,
                                                        static_cast<const std::byte*>(arguments.input), bytes)
                                        : mailbox_.receive(called.root, key, called,
                                                           static_cast<std::byte*>(arguments.output), bytes);
    }
    return true;
}

bool Communicator::finish_messages() {
    bool finished = false;
    std::erase_if(messages_, [&](const Message& message) {
        if (message.transfer == nullptr || !message.transfer->done) return false;
        message.operation->set_source(message.transfer->peer);
        finish(message.operation, nullptr);
        finished = true;
        return true;
    });
    return finished;
}

bool Communicator::take_visitors() {
    visitors_.store(false, std::memory_order_relaxed);  // a later one rings again
    bool any = false;
    for (auto& [rank, socket] : acceptor_->collect(roster_.group, layout_.rank())) {
        if (rank < 0 || rank >= layout_.size() || layout_.same_host(rank, layout_.rank()))
            throw Error("a connection for messages says that it comes from rank " + std::to_string(rank) +
                        ", which is " +
                        (rank < 0 || rank >= layout_.size() ? "not in this group" : "on this rank's host") +
                        ": torch_ring is broken, please report it");
        const int fd = socket.get();
        message_peers_[fd] = rank;
        mailbox_.attach_in(rank, std::make_unique<TcpPipe>(std::move(socket)));
        watch(fd);
        any = true;
    }
    return any;
}

bool Communicator::advance_calls() {
    bool any = false;
    for (auto at = calls_.begin(); at != calls_.end();) {
        const int rank = at->first;
        try {
            if (!at->second.advance()) {
                ++at;
                continue;
            }
        } catch (const PeerLeft&) {
            watch_.depart(rank);  // which tells who waits for it
            at = calls_.erase(at);
            continue;
        } catch (const PeerError& error) {
            throw PeerError(error.what() + watch_.who_went_before(rank));
        }
        connections_.dialer.remember(roster_, rank, at->second);
        UniqueFd socket = at->second.take();
        at = calls_.erase(at);
        message_peers_[socket.get()] = rank;
        mailbox_.attach_out(rank, std::make_unique<TcpPipe>(std::move(socket)));
        any = true;
    }
    return any;
}

void Communicator::check_message_deadlines() {
    const auto late = std::find_if(messages_.begin(), messages_.end(), [](const Message& message) {
        return message.operation->deadline.passed();
    });
    if (late == messages_.end()) return;
    const Signature& called = late->operation->arguments.signature;
    const bool sends = called.kind == Collective::kSend;
    std::string why = "nobody has sent it";
    if (called.root >= 0)
        why = layout_.describe(called.root) + (sends ? " has not received it" : " has not sent it");
    const auto other = mailbox_.unreceived(called.root, sends);
    if (sends && other) {
        why += ", and waits itself until this rank receives what it sends, tag " + std::to_string(*other) +
               ": a send of more than " + std::to_string(kEagerInHost >> 10) + " KiB inside a host, or " +
               std::to_string(kEagerBetweenHosts >> 10) +
               " KiB between hosts, returns when it is received, so two ranks must not be in send to each "
               "other; let one receive first, or use isend or batch_isend_irecv";
    } else if (sends) {
        why += ": it must call recv for a message of this rank (or of any) with tag " +
               std::to_string(late->operation->arguments.tag);
    } else if (other) {
        why += ", but a message with tag " + std::to_string(*other) +
               " that nobody receives: send and recv need equal tags";
    }
    if (acceptor_ != nullptr) why += acceptor_->trouble();
    fail({FailureKind::kTimeout, describe_timeout(*late->operation) + ": " + why, 0});
}

// When the next call has to be advanced, or the next message fails.
Clock::time_point Communicator::next_message_event() const {
    auto at = Clock::time_point::max();
    for (const Message& message : messages_) at = std::min(at, message.operation->deadline.at());
    for (const auto& [_, call] : calls_) at = std::min(at, call.next());
    return at;
}

}  // namespace ring
