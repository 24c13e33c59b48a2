// What the death of a rank means for this one. See watch.h.
//
// A rank may end without a word when it has done its part: what it had published in shared memory stays
// there, and what it had sent over a connection is received before the connection's end. So a death fails
// nothing by itself, but only what waits for something of that rank when all that it delivered has been
// looked at; the failure then spreads to whoever waits for this rank.
#include <algorithm>

#include "ring/fault/timeouts.h"
#include "ring/fault/watch.h"

namespace ring {

void Watch::process_ended(int rank) {
    if (segment_->departed(layout_.local_index(rank))) return;
    {
        const std::lock_guard lock(ended_mutex_);
        ended_processes_.push_back(rank);
        bereaved_.store(true, std::memory_order_release);  // pairs with check_deaths()
    }
    watched_.look_again();
}

void Watch::moved() {
    if (!deaths_.empty()) last_moved_ = Clock::now();
}

std::optional<std::string> Watch::death_of(int rank) const {
    const auto known = deaths_.find(rank);
    return known == deaths_.end() ? std::nullopt : std::optional(known->second.why);
}

void Watch::note_death(int rank, const std::string& why) {
    if (rank < 0 || rank >= layout_.size() || rank == layout_.rank() || deaths_.contains(rank)) return;
    deaths_[rank] = {.why = why};
    last_moved_ = Clock::now();
    progress_.die(rank);
    if (suspect_ && suspect_->rank == rank) suspect_.reset();
    watched_.look_again();  // leads to check_deaths(), after a step
}

void Watch::check_deaths() {
    if (bereaved_.exchange(false, std::memory_order_acquire)) {  // pairs with process_ended()
        std::vector<int> ended;
        {
            const std::lock_guard lock(ended_mutex_);
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
        // Told once: telling leads here again.
        if (!from || *from >= watched_.fails_from()) continue;
        watched_.fail({FailureKind::kPeer, layout_.describe(rank) + " died: " + death.why, *from});
    }
}

// The first operation that waits for something of this rank; 0 for a message.
std::optional<uint64_t> Watch::needs(int rank) const {
    // Before it is looked at what came of it: a rank of this host has called what it has published.
    const uint64_t called = layout_.same_host(rank, layout_.rank()) ? progress_.called(rank) : Watched::kNone;
    const uint64_t from =
        std::min(mailbox_.needs(rank).value_or(Watched::kNone), watched_.needs(rank, called));
    return from == Watched::kNone ? std::nullopt : std::optional(from);
}

Clock::time_point Watch::next_verdict() const {
    const auto at = last_moved_ + kInFlightStill;
    const bool waits = std::any_of(deaths_.begin(), deaths_.end(), [&](const auto& death) {
        const auto from = needs(death.first);
        return from && *from < watched_.fails_from();
    });
    return waits && at > Clock::now() ? at : Clock::time_point::max();
}

}  // namespace ring
