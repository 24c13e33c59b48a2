// How far each rank is known to be, so that a timeout blames the right one.
//
// A rank that has waited for a while *beats*, ten times a second: it tells its neighbours on other hosts
// which operation it is in and whom it waits for, and passes on what it hears; the ranks of one host share
// one table in their segment. Only growth is sent, and at most once in kShareEvery: what wakes a rank must
// not make it wake others at once, or they would keep each other awake. When a deadline passes, the chain of
// who waits for whom leads from this rank to one that has not called the operation, or that no longer beats:
// that one is to blame. A rank that hears of an operation that it has not called yet answers, so that one
// that is late can be told from one that cannot be heard.
//
// Beats go from host to host over one connection, though there is one per rail, since the tables at its ends
// are those of whole hosts: the first one whose ends are both *there*, which is to have beaten within kThere.
// Nobody is appointed: each rank finds out by the table whether it is at that connection. One of the ends may
// be stopped, die, leave or wait no more; then it is no longer there, and the next connection takes over.
// While ranks see that at different times, beats go over two connections, or over none, for less than
// kBeatAfter. So who looks for beats more often than that, because its timeout is short, does not rely on
// others and sends over its own connections all that it knows; so does who waits for nothing, since it does
// not know how long others wait; and all do while no connection has both ends there. What is rare is always
// sent over all, since the table has only a part of it: what a rank has begun to wait in, and that one has
// left or died.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/mismatch.h"
#include "ring/fault/control.h"
#include "ring/fault/timeouts.h"
#include "ring/transport/shm/segment.h"

namespace ring {

// Used by one thread at a time (the one that drives the group).
class ProgressTable {
  public:
    // A connection from a rank of this host to one of another.
    struct Edge {
        int from;
        int to;
    };
    // Those that lead to the host of a rank, by rank. Called once for each neighbour, when it first matters.
    using Edges = std::function<std::vector<Edge>(int peer)>;

    ProgressTable(int rank, int size, Segment* segment, Edges edges);

    // This rank called an operation.
    void enter(uint64_t operation);
    // It still waits in it, for this rank (-1: for none in particular), and takes one that has not beaten for
    // `patience` for stopped. Does nothing before next_beat().
    void beat(int waits_for, uint64_t operation, const Signature& called, Clock::duration patience,
              Clock::time_point now);
    // The last operation that a rank is known to have called; of a rank of this host that is so.
    uint64_t called(int rank) const;
    // Two ranks that called different things as one operation, in which one of them waits and the other waits
    // too, or has ended it. So a mismatch is found even where nothing passes between the two: this rank need
    // be neither. `ended`: what this rank called as an operation, if it has ended it. Costs next to nothing
    // while nobody has been heard to wait since the last time.
    template <typename Ended>
    std::optional<DifferentCalls> mismatch(Ended ended);
    // A rank left in good order.
    void depart(int rank);
    // A rank died, or is said to have.
    void die(int rank);
    // Whether a rank of this host has told of the end of one, which hear_host() has not taken yet.
    bool host_has_news() const;
    // Takes over what the ranks of this host have told of others' ends: not each of them has a connection to
    // all hosts. Those that died, new or not.
    std::vector<int> hear_host();
    // When this rank learned that it left; the end of time if it did not.
    Clock::time_point departed_since(int rank) const { return departed_[rank]; }
    Clock::time_point next_beat() const { return next_beat_; }
    // What a neighbour said; false where it makes no sense.
    bool merge(const CallProgress& heard, Clock::time_point now);
    // Sends what has grown since the last time to the neighbours. Does nothing before next_share(), which is
    // the end of time while there is no news.
    void share(const std::vector<std::unique_ptr<Control>>& controls, Clock::time_point now);
    Clock::time_point next_share() const { return news_ ? may_share_ : Clock::time_point::max(); }

    // Why `operation`, in which this rank waits for `awaited`, does not end. A rank that has not beaten for
    // `patience` is taken for stopped. `describe` names a rank; `same_host` tells of two whether they share a
    // host.
    template <typename Describe, typename SameHost>
    std::string blame(uint64_t operation, const std::vector<int>& awaited, Clock::duration patience,
                      Describe describe, SameHost same_host, Clock::time_point now);

  private:
    struct Seen {
        uint64_t beats = 0;
        Clock::time_point at;     // when this rank saw that they had grown
        Clock::time_point after;  // when it had looked before
    };

    Segment::Progress& entry(int rank) const;
    void look(int rank, Clock::time_point now);  // notes when it last beat
    void look_at_all(Clock::time_point now);
    void answer(Clock::time_point now);  // that it is there, though it has not called what others wait in
    void look_around();                  // what the other ranks of this host wait in
    bool is_there(int rank, Clock::time_point now) const;
    // Whether this rank tells this neighbour of beats.
    bool tells(int peer, Clock::time_point now);
    std::vector<int> missing(uint64_t operation) const;
    // The rank at the end of the chain that begins at `rank`, and whether it is one that has stopped; -1 for
    // no end.
    struct Culprit {
        int rank;
        bool stopped;
    };
    Culprit follow(int rank, uint64_t operation, Clock::duration patience, Clock::time_point now) const;

    int rank_;
    Segment* segment_;
    Edges edges_;
    std::map<int, std::vector<Edge>> known_edges_;  // by neighbour
    std::unique_ptr<Segment::Progress[]> own_;      // without a segment
    CallProgress known(int rank) const;

    std::vector<CallProgress> sent_;
    // What each rank waits in, as it was heard; for those of this host as it was seen.
    struct Waiting {
        uint64_t operation = 0;
        Signature called;
    };
    std::vector<Waiting> waiting_;
    std::vector<Clock::time_point> departed_;
    std::vector<bool> died_;
    std::vector<Seen> seen_;
    Clock::time_point looked_{};  // at all
    uint32_t ends_heard_ = 0;
    Clock::time_point next_beat_{};
    Clock::time_point may_share_{};
    Clock::time_point relies_until_{};  // on others to tell of beats
    bool news_ = false;                 // something grew since share() sent it
    bool waits_ = false;                // somebody waits in an operation, not yet looked at by mismatch()
};

template <typename Ended>
std::optional<DifferentCalls> ProgressTable::mismatch(Ended ended) {
    if (!std::exchange(waits_, false)) return std::nullopt;
    std::map<uint64_t, Called> first;  // to wait in the operation, or this rank
    for (int rank = 0; rank < static_cast<int>(waiting_.size()); ++rank) {
        const auto& [operation, called] = waiting_[rank];
        if (operation == 0) continue;
        if (const std::optional<Signature> mine = ended(operation))
            first.emplace(operation, Called{rank_, operation, *mine});
        const Called& other = first.emplace(operation, Called{rank, operation, called}).first->second;
        if (other.signature != called) return DifferentCalls(other, {rank, operation, called});
    }
    return std::nullopt;
}

template <typename Describe, typename SameHost>
std::string ProgressTable::blame(uint64_t operation, const std::vector<int>& awaited,
                                 Clock::duration patience, Describe describe, SameHost same_host,
                                 Clock::time_point now) {
    look_at_all(now);
    const auto list = [&](const std::vector<int>& ranks) {
        std::string text;
        for (const int rank : ranks) text += (text.empty() ? "" : ", ") + describe(rank);
        return text;
    };
    for (const int rank : awaited) {
        const Culprit culprit = follow(rank, operation, patience, now);
        if (culprit.rank < 0) continue;
        if (culprit.stopped)
            return describe(culprit.rank) + " called it but does not answer: stopped, or cut off";
        std::vector<int> late;
        std::vector<int> unheard;
        for (const int one : missing(operation)) {
            bool heard = same_host(one, rank_);  // they share one table
            for (int other = 0; !heard && other < static_cast<int>(seen_.size()); ++other)
                heard = same_host(one, other) && now - seen_[other].at <= kSilence;
            (heard ? late : unheard).push_back(one);
        }
        std::string text;
        if (!late.empty()) text = list(late) + " did not call it";
        if (!unheard.empty())
            text += (text.empty() ? "" : "; ") + ("nothing was heard from " + list(unheard)) +
                    ": stopped, cut off, or behind a firewall that forgot the connection";
        return text;
    }
    if (awaited.empty())  // as of a piece whose turn has not come; but the oldest waits for no other
        return "all ranks called it, but nothing moved on this one: torch_ring is broken, please report it";
    return "all ranks called it, but " + list(awaited) + " made no progress";
}

}  // namespace ring
