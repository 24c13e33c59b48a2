// Ranks of whose end nobody would tell this one any more, though a receive waits for them. See
// watch.h.
//
// Not every rank has a connection to every other host: it hears of a failure from the ranks that have one, of
// its own host or of others. When all of those have left, this rank opens a connection of its own, whose end
// tells, or which finds that nobody listens there any more, or that the rank has left the group.
#include <deque>
#include <set>

#include "ring/fault/timeouts.h"
#include "ring/fault/watch.h"

namespace ring {

void Watch::look_after_cut_off() {
    if (layout_.hosts() == 1 || !mailbox_.receives()) {
        look_after_ = Clock::time_point::max();
        return;
    }
    const auto now = Clock::now();
    if (look_after_ == Clock::time_point::max()) look_after_ = now + kCutOffLook;
    if (now < look_after_) return;
    look_after_ = now + kCutOffLook;
    const std::set<int> heard_of = still_heard_of();
    for (const int rank : mailbox_.awaited()) {
        if (has_gone(rank) || heard_of.contains(rank)) continue;
        if (const auto end = mailbox_.end_of(rank)) {
            if (end->left)
                progress_.depart(rank);
            else
                note_death(rank, end->why);
        } else if (!mailbox_.connected(rank)) {
            mailbox_.call(rank);
        }
    }
}

bool Watch::has_gone(int rank) const {
    return deaths_.contains(rank) || progress_.departed_since(rank) != Clock::time_point::max();
}

// The ranks to which a chain of ranks that are still there leads. What is known of those along such a chain
// is true, since each hears of the end of its neighbours.
std::set<int> Watch::still_heard_of() const {
    std::set<int> reached{layout_.rank()};
    std::set<std::string> hosts;  // whose ranks have been reached
    std::deque<int> to_visit{layout_.rank()};
    const auto reach = [&](int other) {
        if (!has_gone(other) && reached.insert(other).second) to_visit.push_back(other);
    };
    while (!to_visit.empty()) {
        const int at = to_visit.front();
        to_visit.pop_front();
        for (const int other : neighbours_(at)) reach(other);
        if (!hosts.insert(layout_.member(at).host_id).second) continue;
        for (int other = 0; other < layout_.size(); ++other)
            if (layout_.same_host(other, at)) reach(other);
    }
    return reached;
}

void Watch::check_message_peers() {
    look_after_cut_off();
    // A connection that was opened before its owner left may still be on its way to this thread.
    for (const int rank : mailbox_.unconnected())
        if (const auto since = progress_.departed_since(rank);
            since != Clock::time_point::max() && Clock::now() >= since + kExplain)
            watched_.fail({FailureKind::kPeer, describe_leaving(rank), 0});
    if (Clock::now() < alone_since()) return;
    std::string others;
    for (int rank = 0; rank < layout_.size(); ++rank)
        if (rank != layout_.rank()) others += (others.empty() ? "" : ", ") + layout_.describe(rank);
    watched_.fail({FailureKind::kPeer, others + " left the group", 0});
}

// When a receive from any source that waits was, or will be, in vain, for all others have left.
Clock::time_point Watch::alone_since() const {
    if (!mailbox_.awaits_any()) return Clock::time_point::max();
    Clock::time_point at{};
    for (int rank = 0; rank < layout_.size(); ++rank) {
        if (rank == layout_.rank()) continue;
        const auto finished = mailbox_.finished(rank);
        if (finished == true) continue;
        const auto since = progress_.departed_since(rank);
        if (finished || since == Clock::time_point::max()) return Clock::time_point::max();
        at = std::max(at, since + kExplain);
    }
    return at;
}

Clock::time_point Watch::next_message_event() const {
    auto at = std::min(alone_since(), look_after_);
    for (const int rank : mailbox_.unconnected())
        if (const auto since = progress_.departed_since(rank); since != Clock::time_point::max())
            at = std::min(at, since + kExplain);
    return at;
}

}  // namespace ring
