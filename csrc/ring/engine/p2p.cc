// See p2p.h.
#include "ring/engine/p2p.h"

#include <algorithm>

#include "ring/base/error.h"
#include "ring/base/log.h"
#include "ring/transport/shm/pipe.h"

namespace ring {

P2p::P2p(const Layout& layout, uint64_t group, Connections& connections, HostCopies copies, Hooks hooks)
    : layout_(layout),
      fabric_(connections.fabric.get()),
      hooks_(std::move(hooks)),
      mailbox_(
          layout.rank(), layout.size(), group, copies, [this](int rank) { dial(rank); },
          [this](int rank) { return layout_.describe(rank); }) {
    for (const int rank : layout_.host_ranks())
        if (rank != layout_.rank())
            mailbox_.attach_local(
                rank,
                std::make_unique<ShmPipe>(*connections.segment, layout_.local_index(rank),
                                          ChannelUse::kMessages),
                std::make_unique<PeerMemory>(*connections.segment, layout_.local_index(rank)));
    if (fabric_ == nullptr) return;
    fabric_->watch([this] {
        visitors_.store(true, std::memory_order_release);  // pairs with has_visitors()
        hooks_.visited();
    });
}

P2p::~P2p() {
    if (fabric_ != nullptr) fabric_->watch(nullptr);
}

void P2p::dial(int rank) {
    dialing_.emplace(
        rank, fabric_->call(rank, {Purpose::kMessages}, Deadline::after(hooks_.timeout()), hooks_.watch));
}

TransferPtr P2p::start(const Arguments& arguments) {
    const Signature& called = arguments.signature;
    const MessageKey key{.operation = 0, .tag = arguments.tag};
    const size_t bytes = called.count * size_of(called.dtype);
    return called.kind == Collective::kSend
               ? mailbox_.send(called.root, key, called, static_cast<const std::byte*>(arguments.input),
                               bytes)
               : mailbox_.receive(called.root, key, called, static_cast<std::byte*>(arguments.output), bytes);
}

void P2p::post(OperationPtr operation) {
    // Known before it can fail, so that it ends with the others.
    Message& message = messages_.emplace_back(std::move(operation), nullptr);
    message.transfer = start(message.operation->arguments);
}

void P2p::begin(const Arguments& arguments) {
    const Signature& called = arguments.signature;
    begun_.emplace();  // known before it can fail
    std::optional<TransferPtr> sent;
    if (called.kind == Collective::kSend)
        sent = mailbox_.send_now(called.root, {.operation = 0, .tag = arguments.tag}, called,
                                 static_cast<const std::byte*>(arguments.input),
                                 called.count * size_of(called.dtype));
    if (!sent) begun_ = start(arguments);
    if (sent && *sent) begun_ = *sent;
    if (sent && !*sent) begun_.reset();
}

bool P2p::ends() {
    if (begun_) {
        const TransferPtr& transfer = *begun_;
        if (transfer == nullptr) return false;
        if (!transfer->done) mailbox_.progress();
        if (!transfer->done) return false;
    }
    // Such as the credit of what was received.
    if (mailbox_.writes()) mailbox_.progress();
    begun_.reset();
    return true;
}

void P2p::adopt(OperationPtr operation) {
    // There is nothing begun where a send went at once, and then something else failed.
    messages_.push_back({std::move(operation), begun_.value_or(nullptr)});
    begun_.reset();
}

bool P2p::progress(Watch& watch) {
    // Most groups never send a message: the rest must cost them nothing.
    bool moved = has_visitors() && take_visitors();
    if (!dialing_.empty()) moved = advance_dialing(watch) || moved;
    moved = mailbox_.progress() || moved;
    if (!messages_.empty()) moved = finish_messages() || moved;
    if (const auto lost = mailbox_.lost()) watch.lose(lost->rank, lost->why, lost->left);
    return moved;
}

bool P2p::finish_messages() {
    bool finished = false;
    std::erase_if(messages_, [&](const Message& message) {
        if (message.transfer == nullptr || !message.transfer->done) return false;
        message.operation->set_source(message.transfer->peer);
        hooks_.ended(message.operation);
        finished = true;
        return true;
    });
    return finished;
}

bool P2p::take_visitors() {
    visitors_.store(false, std::memory_order_relaxed);  // a later one rings again
    bool any = false;
    for (auto& [rank, _, pipe] : fabric_->accept(Purpose::kMessages)) {
        if (rank < 0 || rank >= layout_.size() || !fabric_->viable(rank))
            throw Error("a connection for messages says that it comes from rank " + std::to_string(rank) +
                        ", which is " +
                        (rank < 0 || rank >= layout_.size() ? "not in this group" : "on this rank's host") +
                        ": torch_ring is broken, please report it");
        const int fd = pipe->fd();
        ranks_[fd] = rank;
        mailbox_.attach_in(rank, std::move(pipe));
        hooks_.watch(fd);
        any = true;
    }
    return any;
}

bool P2p::advance_dialing(Watch& watch) {
    bool any = false;
    for (auto at = dialing_.begin(); at != dialing_.end();) {
        const int rank = at->first;
        std::unique_ptr<Pipe> pipe;
        try {
            pipe = at->second->advance();
        } catch (const PeerLeft&) {
            watch.depart(rank);  // which tells who waits for it
            at = dialing_.erase(at);
            continue;
        } catch (const PeerError& error) {
            throw PeerError(error.what() + watch.who_went_before(rank));
        }
        if (pipe == nullptr) {
            ++at;
            continue;
        }
        at = dialing_.erase(at);
        ranks_[pipe->fd()] = rank;
        mailbox_.attach_out(rank, std::move(pipe));
        any = true;
    }
    return any;
}

std::optional<P2p::Late> P2p::late() const {
    const auto late = std::find_if(messages_.begin(), messages_.end(), [](const Message& message) {
        return message.operation->deadline.passed();
    });
    if (late == messages_.end()) return std::nullopt;
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
    if (fabric_ != nullptr) why += fabric_->trouble();
    return Late{late->operation, why};
}

Clock::time_point P2p::next() const {
    auto at = Clock::time_point::max();
    for (const Message& message : messages_) at = std::min(at, message.operation->deadline.at());
    for (const auto& [_, call] : dialing_) at = std::min(at, call->next());
    return at;
}

void P2p::greet_late_visitors() {
    try {
        if (has_visitors()) take_visitors();
    } catch (const Error& error) {
        log(LogLevel::kInfo, std::string("while leaving a group: ") + error.what());
    }
}

void P2p::has_event(int fd) {
    if (const auto peer = ranks_.find(fd); peer != ranks_.end()) mailbox_.mark_readable(peer->second);
}

std::vector<OperationPtr> P2p::abandon() {
    mailbox_.abort();
    dialing_.clear();
    std::vector<OperationPtr> abandoned;
    for (Message& message : messages_) abandoned.push_back(std::move(message.operation));
    messages_.clear();
    return abandoned;
}

}  // namespace ring
