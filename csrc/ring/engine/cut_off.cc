// Ranks of whose end nobody would tell this one any more, though a receive waits for them. See
// communicator.h.
//
// Not every rank has a connection to every other host: it hears of a failure from the ranks that have one, of
// its own host or of others. When all of those have left, this rank opens a connection of its own, whose end
// tells, or which finds that nobody listens there any more, or that the rank has left the group.
#include <deque>
#include <set>

#include "ring/engine/communicator.h"

namespace ring {
namespace {

// How often a rank looks who would tell, while a receive waits.
constexpr milliseconds kLookEvery{1000};
// How many are named that left before.
constexpr int kTold = 4;

}  // namespace

void Communicator::look_after_cut_off() {
    if (acceptor_ == nullptr || !mailbox_.receives()) {
        look_after_ = Clock::time_point::max();
        return;
    }
    const auto now = Clock::now();
    if (look_after_ == Clock::time_point::max()) look_after_ = now + kLookEvery;
    if (now < look_after_) return;
    look_after_ = now + kLookEvery;
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

bool Communicator::has_gone(int rank) const {
    return deaths_.contains(rank) || progress_.departed_since(rank) != Clock::time_point::max();
}

// One that cannot be reached may have ended because of another one, and have told nobody who is still there.
std::string Communicator::who_went_before(int rank) const {
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

// The ranks to which a chain of ranks that are still there leads. What is known of those along such a chain
// is true, since each hears of the end of its neighbours.
std::set<int> Communicator::still_heard_of() const {
    std::set<int> reached{layout_.rank()};
    std::set<std::string> hosts;  // whose ranks have been reached
    std::deque<int> to_visit{layout_.rank()};
    const auto reach = [&](int other) {
        if (!has_gone(other) && reached.insert(other).second) to_visit.push_back(other);
    };
    while (!to_visit.empty()) {
        const int at = to_visit.front();
        to_visit.pop_front();
        for (const int other : neighbours(layout_, at)) reach(other);
        if (!hosts.insert(layout_.member(at).host_id).second) continue;
        for (int other = 0; other < layout_.size(); ++other)
            if (layout_.same_host(other, at)) reach(other);
    }
    return reached;
}

}  // namespace ring
