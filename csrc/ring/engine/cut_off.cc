// Ranks of whose end nobody would tell this one any more, though a receive waits for them. See
// communicator.h.
//
// Not every rank has a connection to every other host: it hears of a failure from the ranks that have one, of
// its own host or of others. When all of those have left, this rank opens a connection of its own, whose end
// tells, or which finds that nobody listens there any more, or that the rank has left the group.
#include <algorithm>
#include <deque>
#include <set>

#include "ring/engine/communicator.h"

namespace ring {
namespace {

// How long a receive waits before, and after that how often, it is looked who would tell.
constexpr milliseconds kLookAfter{1000};
// How many are named that left before.
constexpr int kTold = 4;

}  // namespace

void Communicator::look_after_cut_off() {
    const std::vector<int> awaited = acceptor_ == nullptr ? std::vector<int>{} : mailbox_.awaited();
    if (awaited.empty()) return unheard_.clear();
    std::erase_if(unheard_, [&](const auto& entry) {
        return std::find(awaited.begin(), awaited.end(), entry.first) == awaited.end();
    });
    const auto now = Clock::now();
    for (const int rank : awaited) {
        const bool known = deaths_.contains(rank) ||  // or it has left
                           progress_.departed_since(rank) != Clock::time_point::max();
        if (known) {
            unheard_.erase(rank);
            continue;
        }
        auto& look = unheard_.emplace(rank, now + kLookAfter).first->second;
        if (now < look) continue;
        look = now + kLookAfter;
        if (!is_cut_off(rank)) continue;
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

// Whether no chain of ranks that are still there leads from it to this one. What is known of those along such
// a chain is true, since each hears of the end of its neighbours.
bool Communicator::is_cut_off(int rank) const {
    const auto gone = [&](int other) {
        return deaths_.contains(other) || progress_.departed_since(other) != Clock::time_point::max();
    };
    std::set<int> reached{layout_.rank()};
    std::set<std::string> hosts;  // whose ranks have been reached
    std::deque<int> to_visit{layout_.rank()};
    const auto reach = [&](int other) {
        if (!gone(other) && reached.insert(other).second) to_visit.push_back(other);
    };
    while (!to_visit.empty()) {
        const int at = to_visit.front();
        to_visit.pop_front();
        if (at == rank) return false;
        for (const int other : neighbours(layout_, at)) reach(other);
        if (!hosts.insert(layout_.member(at).host_id).second) continue;
        for (int other = 0; other < layout_.size(); ++other)
            if (layout_.same_host(other, at)) reach(other);
    }
    return true;
}

}  // namespace ring
