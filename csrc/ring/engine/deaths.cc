// What the death of a rank means for this one. See communicator.h.
//
// A rank may end without a word when it has done its part: what it had published in shared memory stays
// there, and what it had sent over a connection is received before the connection's end. So a death fails
// nothing by itself, but only what waits for something of that rank when all that it delivered has been
// looked at; the failure then spreads to whoever waits for this rank.
#include <algorithm>

#include "ring/base/process.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"

namespace ring {
namespace {

// After so long without any movement nothing of a dead rank is on its way between hosts any more: lost
// packets are sent again sooner.
constexpr milliseconds kInFlightStill{1000};

}  // namespace

void Communicator::process_ended(int rank) {
    if (connections_.segment->departed(layout_.local_index(rank))) return;
    {
        const std::lock_guard lock(queue_mutex_);
        if (closed_) return;
        ended_processes_.push_back(rank);
        bereaved_.store(true, std::memory_order_release);  // pairs with check_deaths()
    }
    doorbell_->ring(doorbell_->name());
    engine_.kick();
}

void Communicator::note_death(int rank, const std::string& why) {
    if (rank < 0 || rank >= layout_.size() || rank == layout_.rank() || deaths_.contains(rank)) return;
    deaths_[rank] = {.why = why};
    last_moved_ = Clock::now();
    progress_.die(rank);
    if (suspect_ && suspect_->rank == rank) suspect_.reset();
    doorbell_->ring(doorbell_->name());  // leads to check_deaths(), after a step
}

void Communicator::check_deaths() {
    if (bereaved_.exchange(false, std::memory_order_acquire)) {  // pairs with process_ended()
        std::vector<int> ended;
        {
            const std::lock_guard lock(queue_mutex_);
            ended = std::exchange(ended_processes_, {});
        }
        for (const int rank : ended) note_death(rank, "its process ended");
        return;
    }
    const bool quiet = !deaths_.empty() && Clock::now() >= last_moved_ + kInFlightStill;
    for (const auto& [rank, death] : deaths_) {
        // Nothing has moved since this rank looked last: of memory that is all there will ever be, of a
        // connection something may still be on its way.
        if (!layout_.same_host(rank, layout_.rank()) && !death.drained && !quiet) continue;
        const auto from = needs(rank);
        // Told once: telling rings the doorbell, which leads here again.
        if (!from || *from >= fails_from_.load(std::memory_order_acquire)) continue;  // pairs with fail()
        fail({FailureKind::kPeer, layout_.describe(rank) + " died: " + death.why, *from});
    }
}

std::optional<std::string> Communicator::ended(int global_rank) const {
    for (int rank = 0; rank < layout_.size(); ++rank) {
        if (layout_.global_rank(rank) != global_rank || rank == layout_.rank()) continue;
        const std::string who = layout_.describe(rank) + " died: ";
        const Member& member = layout_.member(rank);
        if (layout_.same_host(rank, layout_.rank()) && ring::process_ended(member.pid, member.process))
            return who + "its process ended";
        // Who asks asks again; nobody holds the lock for long where there is nothing to do.
        if (const Lock lock = baton_.try_take(); lock.owns_lock())
            if (const auto known = deaths_.find(rank); known != deaths_.end()) return who + known->second.why;
        // A neighbour of the dead may have said so to all that waited for it.
        if (const auto known = failure(); known && known->text.starts_with(who)) return known->text;
    }
    return std::nullopt;
}

// Who leaves may do so because another one has died.
std::string Communicator::describe_leaving(int rank) const {
    std::string text = layout_.describe(rank) + " left the group";
    for (const auto& [dead, death] : deaths_) text += ", after " + layout_.describe(dead) + " had died";
    return text;
}

// The first operation that waits for something of this rank; 0 for a message.
std::optional<uint64_t> Communicator::needs(int rank) const {
    uint64_t from = mailbox_.needs(rank).value_or(kNone);
    for (const Link* link : links_)
        if (link->peer() == rank && link->busy()) from = std::min(from, link->operation());
    for (uint64_t piece = oldest_; piece != begun_; ++piece) {
        const Slot& one = slot(piece);
        const uint64_t number = one.operation->number;
        if (number >= from) break;
        const bool called = !layout_.same_host(rank, layout_.rank()) || progress_.called(rank) >= number;
        const auto awaited = one.strand->awaited();
        if (!called ||
            (!one.strand->ready() && std::find(awaited.begin(), awaited.end(), rank) != awaited.end()))
            from = number;
    }
    return from == kNone ? std::nullopt : std::optional(from);
}

Clock::time_point Communicator::next_verdict() const {
    const auto at = last_moved_ + kInFlightStill;
    const bool waits = std::any_of(deaths_.begin(), deaths_.end(), [&](const auto& death) {
        const auto from = needs(death.first);
        return from && *from < fails_from_.load(std::memory_order_acquire);  // pairs with fail()
    });
    return waits && at > Clock::now() ? at : Clock::time_point::max();
}

}  // namespace ring
