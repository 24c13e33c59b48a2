// See watch.h; the dead are in deaths.cc, those of whom nobody would tell in cut_off.cc.
#include "ring/fault/watch.h"

#include <algorithm>
#include <utility>

#include "ring/fault/timeouts.h"

namespace ring {
namespace {

// What is known of a rank whose death this rank has not seen itself.
const char* const kLost = "other ranks have lost it";

}  // namespace

Watch::Watch(Watched& watched, const Layout& layout, Segment* segment, const Controls& controls,
             Mailbox& mailbox, Neighbours neighbours)
    : watched_(watched),
      layout_(layout),
      segment_(segment),
      controls_(controls),
      mailbox_(mailbox),
      neighbours_(std::move(neighbours)),
      progress_(layout.rank(), layout.size(), segment, edges(layout, neighbours_)) {}

ProgressTable::Edges Watch::edges(const Layout& layout, Neighbours neighbours) {
    return [&layout, neighbours = std::move(neighbours)](int peer) {
        std::vector<ProgressTable::Edge> found;
        for (const int from : layout.host_ranks())
            for (const int to : neighbours(from))
                if (layout.same_host(to, peer)) found.push_back({from, to});
        return found;
    };
}

void Watch::look() {
    explain_suspect();
    const auto now = Clock::now();
    progress_.share(controls_, now);  // what was heard, also by one that waits for nothing
    heed_host();
    check_message_peers();
    check_deaths();
    const auto oldest = watched_.oldest();
    if (oldest) {
        check_departures();
        if (now >= first_beat(*oldest)) {
            const auto awaited = watched_.awaited();
            progress_.beat(awaited.empty() ? -1 : awaited.front(), oldest->number, oldest->called,
                           first_beat(*oldest) - oldest->posted, now);
            progress_.share(controls_, now);
        }
    }
    check_mismatch();
}

Clock::time_point Watch::next() const {
    const auto at = std::min({suspect_ ? suspect_->until : Clock::time_point::max(), progress_.next_share(),
                              next_message_event(), next_verdict()});
    const auto oldest = watched_.oldest();
    return oldest ? std::min(at, std::max(first_beat(*oldest), progress_.next_beat())) : at;
}

// ---- what others say ----

bool Watch::heed(const Control::Message& message) {
    if (message.type == Control::Type::kFailure) {
        auto failure = decode_failure(message.payload);
        if (failure) watched_.fail(std::move(*failure));
        return failure.has_value();
    }
    if (message.type != Control::Type::kProgress) return true;
    const auto progress = decode_progress(message.payload);
    const auto now = Clock::now();
    return progress && std::all_of(progress->begin(), progress->end(), [&](const CallProgress& one) {
               if (!progress_.merge(one, now)) return false;
               if (one.departed == CallProgress::kDied) note_death(one.rank, kLost);
               return true;
           });
}

void Watch::read_controls() {
    for (const auto& control : controls_) {
        if (control->closed()) continue;
        control->flush();
        for (const auto& message : control->receive())
            if (!heed(message))
                watched_.fail({FailureKind::kInternal,
                               layout_.describe(control->peer()) +
                                   " sent a control message that makes no sense: "
                                   "torch_ring is broken, please report it",
                               0});
        if (control->said_goodbye()) progress_.depart(control->peer());
        // A rank may leave in good order while others still work: only who needs it fails, in
        // explain_suspect().
        if (control->closed() && !control->said_goodbye()) note_death(control->peer(), control->why_closed());
    }
    explain_suspect();
}

void Watch::heed_host() {
    if (segment_ != nullptr && segment_->anyone_departed())
        for (const int rank : layout_.host_ranks())
            if (rank != layout_.rank() && segment_->departed(layout_.local_index(rank)))
                progress_.depart(rank);
    for (const int rank : progress_.hear_host())
        if (!layout_.same_host(rank, layout_.rank())) note_death(rank, kLost);
}

// ---- how far each is ----

Clock::time_point Watch::first_beat(const Watched::Oldest& oldest) const {
    return oldest.posted + std::min<Clock::duration>(kBeatAfter, (oldest.deadline - oldest.posted) / 4);
}

std::string Watch::blame() {
    const auto oldest = watched_.oldest();
    if (!oldest) return {};
    return progress_.blame(
        oldest->number, watched_.awaited(), first_beat(*oldest) - oldest->posted,
        [this](int rank) { return layout_.describe(rank); },
        [this](int a, int b) { return layout_.same_host(a, b); }, Clock::now());
}

void Watch::check_mismatch() {
    if (const auto calls = progress_.mismatch([this](uint64_t number) { return mailbox_.ended(number); }))
        watched_.fail(mismatch(*calls));
}

Failure Watch::mismatch(const DifferentCalls& calls) const {
    const DifferentCalls named = calls.renamed(
        [this](int rank) { return rank >= 0 && rank < layout_.size() ? layout_.global_rank(rank) : rank; });
    return {FailureKind::kMismatch, named.what(), named.operation()};
}

// ---- who has left ----

void Watch::lose(int rank, const std::string& why, bool left) {
    if (const auto dead = deaths_.find(rank); dead != deaths_.end()) {
        dead->second.drained = true;
    } else if (!suspect_) {
        // What needs it has failed already, and ends when those before it have.
        if (const auto from = needs(rank); from && *from >= watched_.fails_from()) return;
        const bool near = layout_.same_host(rank, layout_.rank());
        suspect_ = Suspect{rank, why, left, Clock::now() + (left && near ? kExplainInHost : kExplain)};
    }
}

void Watch::explain_suspect() {
    if (!suspect_) return;
    const std::string who = layout_.describe(suspect_->rank);
    const bool said = std::any_of(controls_.begin(), controls_.end(), [&](const auto& control) {
        return control->peer() == suspect_->rank && control->said_goodbye();
    });
    if (!said && Clock::now() < suspect_->until) return;
    // All that it sent has been received meanwhile; the rest is of interest to who needs more.
    const auto from = needs(suspect_->rank);
    if (from && *from < watched_.fails_from())
        watched_.fail(
            {FailureKind::kPeer,
             said || suspect_->left ? describe_leaving(suspect_->rank) : who + " is gone: " + suspect_->why,
             *from});
    suspect_.reset();  // told once: telling leads here again
}

void Watch::check_departures() {
    if (segment_ == nullptr || !segment_->anyone_departed() || watched_.oldest_is_ready()) return;
    for (const int rank : watched_.awaited()) {
        if (!layout_.same_host(rank, layout_.rank()) || !segment_->departed(layout_.local_index(rank)) ||
            watched_.oldest_is_ready())
            continue;
        if (seen_leaving_ == rank) {
            watched_.fail({FailureKind::kPeer, describe_leaving(rank), watched_.oldest()->number});
        } else {
            // What it sent before it left may still lie in a channel: this is asked again, after a step.
            seen_leaving_ = rank;
            watched_.look_again();
        }
        return;
    }
}

// Who leaves may do so because another one has died.
std::string Watch::describe_leaving(int rank) const {
    std::string text = layout_.describe(rank) + " left the group";
    for (const auto& [dead, death] : deaths_) text += ", after " + layout_.describe(dead) + " had died";
    return text;
}

// One that cannot be reached may have ended because of another one, and have told nobody who is still there.
std::string Watch::who_went_before(int rank) const {
    constexpr int kTold = 4;
    std::string text;
    for (const auto& [dead, death] : deaths_)
        if (dead != rank) text += ". Before that " + layout_.describe(dead) + " died: " + death.why;
    int told = 0;
    for (int other = 0; other < layout_.size() && told < kTold; ++other) {
        if (other == rank || progress_.departed_since(other) == Clock::time_point::max()) continue;
        text += ". Before that " + layout_.describe(other) + " left the group";
        ++told;
    }
    return text;
}

}  // namespace ring
