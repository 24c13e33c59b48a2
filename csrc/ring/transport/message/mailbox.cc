// See mailbox.h.
#include "ring/transport/message/mailbox.h"
#include "ring/base/mismatch.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace ring {
namespace {

constexpr unsigned kThroughChannelEvery = 16;

}  // namespace

Mailbox::Mailbox(int self, int size, uint64_t group, HostCopies copies, Dial dial, Describe describe)
    : self_(self),
      group_(group),
      copies_(copies),
      dial_(std::move(dial)),
      describe_(std::move(describe)),
      peers_(static_cast<size_t>(size)) {}

// ---- posting ----

TransferPtr Mailbox::send(int to, const MessageKey& key, const Signature& signature, const std::byte* data,
                          size_t bytes, size_t credit) {
    call(to);
    // The payload is only ever read; one struct serves both directions.
    auto transfer = std::make_shared<Transfer>(
        Transfer{.peer = to, .key = key, .signature = signature, .data = const_cast<std::byte*>(data)});
    transfer->bytes = bytes;
    unfinished_.push_back(transfer);
    peers_[to].out->expect();
    peers_[to].out->send(transfer, credit);
    return transfer;
}

std::optional<TransferPtr> Mailbox::send_now(int to, const MessageKey& key, const Signature& signature,
                                             const std::byte* data, size_t bytes) {
    MessageLink* const out = peers_[to].out.get();
    if (out == nullptr) return std::nullopt;
    // A link of which nothing is awaited is not read otherwise: ranks that all send round a ring would each
    // find that the others owe them credit, and wait for it.
    if (out->low_on_credit()) out->progress();
    const auto sent = out->send_now(key, signature, data, bytes);
    if (sent && *sent) {
        unfinished_.push_back(*sent);
        out->expect();
        to_write_ = true;
    }
    return sent;
}

void Mailbox::call(int to) {
    Peer& peer = peers_[to];
    if (peer.out != nullptr) return;
    if (peer.in == nullptr) active_.push_back(to);
    peer.out = std::make_unique<MessageLink>(to, group_, *this);
    dial_(to);
}

TransferPtr Mailbox::receive(int from, const MessageKey& key, const Signature& signature, std::byte* data,
                             size_t bytes) {
    auto transfer = std::make_shared<Transfer>(
        Transfer{.peer = from, .key = key, .signature = signature, .data = data, .bytes = bytes});
    transfer->receives = true;
    const auto waiting = arrivals_.find(key);
    if (waiting != arrivals_.end()) {
        std::list<ArrivalPtr>& list = waiting->second;
        const auto at = std::find_if(list.begin(), list.end(), [&](const ArrivalPtr& arrival) {
            return from == kAnySource || arrival->source == from;
        });
        if (at != list.end()) {
            const ArrivalPtr arrival = *at;
            check(arrival->source, arrival->header, *transfer);
            list.erase(at);
            if (list.empty()) arrivals_.erase(waiting);
            transfer->peer = arrival->source;
            take(*arrival, transfer);
            if (!transfer->done) unfinished_.push_back(transfer);
            return transfer;
        }
    }
    posted_[key].push_back(transfer);
    unfinished_.push_back(transfer);
    for (const int rank : active_)
        if (MessageLink* const in = peers_[rank].in.get();
            in != nullptr && (from == rank || from == kAnySource))
            in->expect();
    return transfer;
}

void Mailbox::take(Arrival& arrival, const TransferPtr& transfer) {
    if (arrival.header.type == MessageType::kRequest) {
        arrival.link->fetch(arrival.header, transfer, copies_once(arrival.header));
        to_write_ = true;
    } else if (!arrival.complete) {
        arrival.link->redirect(transfer);
    } else {
        if (transfer->bytes > 0) std::memcpy(transfer->data, arrival.payload.get(), transfer->bytes);
        transfer->done = true;
        arrival.link->claimed(arrival.header);
        to_write_ = to_write_ || arrival.link->wants_write();
    }
}

// Two copies that overlap take less than one by the kernel, as long as there are cores for both. Where these
// have other copies to make meanwhile, all that counts is how much.
bool Mailbox::copies_once(const MessageHeader& header) {
    if (header.address == 0) return false;  // there is no way to its memory
    if (copies_.single_copy != SingleCopy::kAuto) return copies_.single_copy == SingleCopy::kAll;
    switch (traits_of(header.signature.kind).large) {
        case LargeMessages::kTwice:
            return copies_.crowded && kernel_is_cheap();
        case LargeMessages::kOnce:
            return kernel_is_cheap();
        case LargeMessages::kOnceToSeveral:
            return local_peers_ > 1 && kernel_is_cheap();
        case LargeMessages::kOnceBothWays:
            return (copies_.crowded || sends_in_host()) && kernel_is_cheap();
    }
    return false;
}

bool Mailbox::kernel_is_cheap() {
    const KernelCopy kernel = copies_.kernel();
    // Where ranks outnumber cores, some are on one core, and what was measured between two does not hold.
    if (kernel != KernelCopy::kCheapNow || copies_.crowded) return kernel == KernelCopy::kCheap;
    // Now and then through the channel, whose writer finds out by that how far the cores are now.
    return ++read_by_kernel_ % kThroughChannelEvery != 0;
}

bool Mailbox::sends_in_host() const {
    return std::ranges::any_of(unfinished_, [&](const TransferPtr& transfer) {
        return !transfer->receives && !transfer->done && peers_[transfer->peer].local &&
               transfer->bytes > kEagerInHost;
    });
}

// ---- matching ----

TransferPtr Mailbox::match(int source, const MessageHeader& header) {
    const auto waiting = posted_.find(header.key);
    if (waiting == posted_.end()) return nullptr;
    std::list<TransferPtr>& list = waiting->second;
    const auto at = std::find_if(list.begin(), list.end(), [&](const TransferPtr& transfer) {
        return transfer->peer == kAnySource || transfer->peer == source;
    });
    if (at == list.end()) return nullptr;
    const TransferPtr transfer = *at;
    check(source, header, *transfer);
    list.erase(at);
    if (list.empty()) posted_.erase(waiting);
    transfer->peer = source;
    return transfer;
}

void Mailbox::check(int source, const MessageHeader& header, const Transfer& receive) const {
    const bool collective = header.key.operation != 0;
    if (collective && header.signature != receive.signature)
        throw DifferentCalls({source, header.key.operation, header.signature},
                             {self_, header.key.operation, receive.signature});
    if (header.length == receive.bytes) return;
    const std::string sizes = std::to_string(header.length) + " bytes, but " + describe_(self_) +
                              " expects " + std::to_string(receive.bytes);
    if (collective)
        throw MismatchError(describe(receive.signature) + ", operation " +
                                std::to_string(header.key.operation) + ": " + describe_(source) + " sent " +
                                sizes + " from it",
                            header.key.operation);
    throw MismatchError(describe_(source) + " sent a message with tag " + std::to_string(header.key.tag) +
                        " of " + sizes + ": send and recv need tensors of the same size");
}

Mailbox::Destination Mailbox::place(MessageLink& link, const MessageHeader& header) {
    if (TransferPtr transfer = match(link.peer(), header)) return {std::move(transfer), nullptr};
    return {nullptr, keep(link, header)};
}

void Mailbox::requested(MessageLink& link, const MessageHeader& header) {
    if (TransferPtr transfer = match(link.peer(), header)) {
        link.fetch(header, transfer, copies_once(header));
    } else {
        keep(link, header);
    }
}

void Mailbox::end_of(uint64_t operation, const Signature& signature) {
    ended_[operation % kRemembered] = {operation, signature};
    last_ended_ = operation;
    if (arrivals_.empty()) return;
    const auto at = arrivals_.lower_bound({operation, std::numeric_limits<int64_t>::min()});
    if (at != arrivals_.end() && at->first.operation == operation)
        refuse(at->second.front()->source, at->second.front()->header);
}

void Mailbox::refuse(int source, const MessageHeader& header) const {
    throw DifferentCalls({source, header.key.operation, header.signature},
                         {self_, header.key.operation, ended(header.key.operation).value_or(Signature{})});
}

std::optional<Signature> Mailbox::ended(uint64_t operation) const {
    const Ended& one = ended_[operation % kRemembered];
    if (operation == 0 || one.operation != operation) return std::nullopt;
    return one.signature;
}

ArrivalPtr Mailbox::keep(MessageLink& link, const MessageHeader& header) {
    if (header.key.operation != 0 && header.key.operation <= last_ended_) refuse(link.peer(), header);
    auto arrival = std::make_shared<Arrival>();
    arrival->source = link.peer();
    arrival->header = header;
    arrival->link = &link;
    if (header.type == MessageType::kEager)
        arrival->payload = std::make_unique_for_overwrite<std::byte[]>(header.length);
    arrivals_[header.key].push_back(arrival);
    return arrival;
}

// ---- connections ----

void Mailbox::attach_local(int rank, std::unique_ptr<Pipe> pipe, std::unique_ptr<PeerMemory> memory) {
    Peer& peer = peers_[rank];
    peer.out = std::make_unique<MessageLink>(rank, group_, *this);
    peer.out->attach(std::move(pipe), std::move(memory));
    peer.local = true;
    ++local_peers_;
    active_.push_back(rank);
}

MessageLink& Mailbox::attach_out(int rank, std::unique_ptr<Pipe> pipe) {
    peers_[rank].out->attach(std::move(pipe));
    to_write_ = true;
    return *peers_[rank].out;
}

MessageLink& Mailbox::attach_in(int rank, std::unique_ptr<Pipe> pipe) {
    Peer& peer = peers_[rank];
    if (peer.in != nullptr) throw Error(describe_(rank) + " opened two connections for its messages");
    peer.in = std::make_unique<MessageLink>(rank, group_, *this);
    peer.in->attach(std::move(pipe));
    if (peer.out == nullptr) active_.push_back(rank);
    peer.readable = to_read_ = true;
    return *peer.in;
}

void Mailbox::mark_readable(int rank) {
    peers_[rank].readable = to_read_ = true;
}

// ---- driving ----

bool Mailbox::progress() {
    if (unfinished_.empty() && !to_read_ && !to_write_) return false;
    const Interest interest = find_interest();
    to_read_ = to_write_ = false;
    bool moved = false;
    for (const int rank : active_) {
        Peer& peer = peers_[rank];
        const bool told = std::exchange(peer.readable, false);
        const bool awaited = interest.any || peer.awaited;
        for (MessageLink* const link : {peer.out.get(), peer.in.get()}) {
            if (link == nullptr) continue;
            if (told || ((awaited || link->wants_write() || link->wants_read()) && !link->rests()))
                moved = link->progress() || moved;
            to_write_ = to_write_ || link->wants_write();
        }
    }
    std::erase_if(unfinished_, [](const TransferPtr& transfer) { return transfer->done; });
    return moved;
}

Mailbox::Interest Mailbox::find_interest() {
    Interest interest;
    for (const int rank : active_) peers_[rank].awaited = false;
    for (const TransferPtr& transfer : unfinished_) {
        if (!transfer->receives) continue;
        if (transfer->peer == kAnySource) {
            interest.any = true;
        } else {
            peers_[transfer->peer].awaited = true;
        }
    }
    return interest;
}

bool Mailbox::busy() const {
    return !unfinished_.empty() || to_write_;
}

bool Mailbox::awaits(int rank) const {
    return std::any_of(unfinished_.begin(), unfinished_.end(), [&](const TransferPtr& transfer) {
        return transfer->receives && (transfer->peer == rank || transfer->peer == kAnySource);
    });
}

bool Mailbox::ready() const {
    if (!busy()) return false;
    // What nobody awaits stays where it is, see progress().
    return std::any_of(active_.begin(), active_.end(), [&](int rank) {
        const Peer& peer = peers_[rank];
        return peer.local && peer.out->ready() &&
               (peer.out->wants_write() || peer.out->wants_read() || awaits(rank));
    });
}

bool Mailbox::slow() const {
    if (!busy()) return false;
    return std::any_of(active_.begin(), active_.end(), [&](int rank) {
        const Peer& peer = peers_[rank];
        return !peer.local &&
               ((peer.out != nullptr && peer.out->slow()) || (peer.in != nullptr && peer.in->slow()));
    });
}

std::optional<Mailbox::Lost> Mailbox::lost() const {
    for (const TransferPtr& transfer : unfinished_) {
        if (transfer->done || transfer->peer < 0) continue;
        const Peer& peer = peers_[transfer->peer];
        const MessageLink* const link = transfer->receives && !peer.local ? peer.in.get() : peer.out.get();
        if (link == nullptr) continue;
        if (transfer->receives ? link->closed_to_receive() : link->closed_to_send())
            return Lost{transfer->peer, link->why_closed(), peer.local || link->said_goodbye()};
    }
    return std::nullopt;
}

std::optional<int64_t> Mailbox::unreceived(int from, bool asks) const {
    for (const auto& [key, list] : arrivals_) {
        if (key.operation != 0) break;  // of collectives, behind all of the user's
        for (const ArrivalPtr& arrival : list)
            if ((from == kAnySource || arrival->source == from) &&
                (!asks || arrival->header.type == MessageType::kRequest))
                return key.tag;
    }
    return std::nullopt;
}

std::vector<int> Mailbox::unconnected() const {
    std::vector<int> ranks;
    for (const TransferPtr& transfer : unfinished_) {
        if (transfer->peer < 0 || peers_[transfer->peer].local) continue;
        const Peer& peer = peers_[transfer->peer];
        if (transfer->receives ? peer.in == nullptr : !peer.out->attached()) ranks.push_back(transfer->peer);
    }
    return ranks;
}

bool Mailbox::receives() const {
    return std::any_of(unfinished_.begin(), unfinished_.end(),
                       [](const TransferPtr& transfer) { return transfer->receives && !transfer->done; });
}

std::set<int> Mailbox::awaited() const {
    std::set<int> ranks;
    const auto add = [&](int rank) {
        if (rank != self_ && !peers_[rank].local) ranks.insert(rank);
    };
    if (awaits_any())
        for (int rank = 0; rank < static_cast<int>(peers_.size()); ++rank) add(rank);
    for (const TransferPtr& transfer : unfinished_)
        if (transfer->receives && !transfer->done && transfer->peer >= 0) add(transfer->peer);
    return ranks;
}

bool Mailbox::connected(int rank) const {
    const Peer& peer = peers_[rank];
    return peer.in != nullptr || (peer.out != nullptr && peer.out->attached());
}

std::optional<Mailbox::Lost> Mailbox::end_of(int rank) const {
    const Peer& peer = peers_[rank];
    const MessageLink* const link = peer.in != nullptr ? peer.in.get() : peer.out.get();
    if (link == nullptr || !link->closed_to_receive()) return std::nullopt;
    return Lost{rank, link->why_closed(), link->said_goodbye()};
}

bool Mailbox::awaits_any() const {
    return std::any_of(unfinished_.begin(), unfinished_.end(), [](const TransferPtr& transfer) {
        return transfer->receives && !transfer->done && transfer->peer == kAnySource;
    });
}

std::optional<bool> Mailbox::finished(int rank) const {
    const Peer& peer = peers_[rank];
    const MessageLink* const link = peer.local ? peer.out.get() : peer.in.get();
    if (link == nullptr) return std::nullopt;
    if (!link->closed_to_receive()) return false;
    return peer.local || link->said_goodbye() ? std::optional(true) : std::nullopt;
}

std::optional<uint64_t> Mailbox::needs(int rank) const {
    std::optional<uint64_t> lowest;
    for (const TransferPtr& transfer : unfinished_)
        if (!transfer->done && (transfer->peer == rank || transfer->peer == kAnySource))
            lowest = std::min(lowest.value_or(UINT64_MAX), transfer->key.operation);
    return lowest;
}

void Mailbox::abort() {
    for (const int rank : active_) {
        if (peers_[rank].out != nullptr) peers_[rank].out->abort();
        if (peers_[rank].in != nullptr) peers_[rank].in->abort();
    }
    posted_.clear();
    arrivals_.clear();
    unfinished_.clear();
    to_read_ = to_write_ = false;
}

std::vector<int> Mailbox::leave() {
    std::vector<int> lacking;
    for (const int rank : active_) {
        const Peer& peer = peers_[rank];
        if (peer.local) continue;
        bool left = peer.out == nullptr || peer.out->leave();
        if (peer.in != nullptr) left = peer.in->leave() && left;
        if (!left) lacking.push_back(rank);
    }
    return lacking;
}

}  // namespace ring
