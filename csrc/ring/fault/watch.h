// Decides that a peer is lost, or at odds with this rank, and what fails of it: nothing else does. Used by
// Communicator, which drives it: see look(), next().
//
// What it goes by, and what each is worth:
//   - a process of this host that has ended, by its pidfd: certain. What it had published in shared memory
//     stays there.
//   - a control connection that ended without a goodbye: that rank is dead, once all that it had sent has
//   been
//     received.
//   - a data connection that ended: suspicious. The control connection may say why within kExplain.
//   - other ranks' words, over controls and the table of the host: whom they have lost, who has left, how far
//     each is, and what it waits in.
//   - silence: never a reason by itself. Where a deadline passes it decides who is to blame; see
//     progress_table.h.
// A death fails nothing by itself, but only what waits for something of that rank when all that it delivered
// has been looked at; the failure then spreads to whoever waits for this rank.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/failure.h"
#include "ring/base/mismatch.h"
#include "ring/fault/control.h"
#include "ring/fault/progress_table.h"
#include "ring/topology/layout.h"
#include "ring/transport/message/mailbox.h"
#include "ring/transport/shm/segment.h"

namespace ring {

// What runs, as far as a Watch has to know it.
class Watched {
  public:
    virtual ~Watched() = default;

    static constexpr uint64_t kNone = UINT64_MAX;

    // The oldest collective under way.
    struct Oldest {
        uint64_t number;
        Signature called;
        Clock::time_point posted;
        Clock::time_point deadline;
    };
    virtual std::optional<Oldest> oldest() const = 0;
    // The ranks that it waits for, and whether what it waits for is there.
    virtual std::vector<int> awaited() const = 0;
    virtual bool oldest_is_ready() const = 0;
    // The first collective under way that waits for something of this rank, of which `called` is known to be
    // the last that it called; kNone for none.
    virtual uint64_t needs(int rank, uint64_t called) const = 0;
    // Operations from here on have failed already; kNone for none.
    virtual uint64_t fails_from() const = 0;
    // Ends operations, here and on all ranks.
    virtual void fail(Failure failure) = 0;
    // Calls look() again, after a step. From any thread.
    virtual void look_again() = 0;
};

// Used by the thread that drives the group, but for process_ended().
class Watch {
  public:
    // The ranks to which a rank has connections.
    using Neighbours = std::function<std::vector<int>(int rank)>;
    using Controls = std::vector<std::unique_ptr<Control>>;

    // All must outlive it. `segment`: null where a rank is alone on its host.
    Watch(Watched& watched, const Layout& layout, Segment* segment, const Controls& controls,
          Mailbox& mailbox, Neighbours neighbours);
    // The connections between hosts, for its table of progress. `layout` must outlive what it returns.
    static ProgressTable::Edges edges(const Layout& layout, Neighbours neighbours);

    // ---- what it is told ----
    // The process of a rank on this host is no more. Thread-safe.
    void process_ended(int rank);
    // This rank has called a collective.
    void entered(uint64_t operation) { progress_.enter(operation); }
    // A step has moved something.
    void moved();
    // A data connection, or one for messages, has ended. `left`: in good order, it said itself. Why that rank
    // left may still be on its way, over its control connection or from others.
    void lose(int rank, const std::string& why, bool left = false);
    // A rank has left in good order, said somebody who tried to reach it.
    void depart(int rank) { progress_.depart(rank); }

    // ---- what it does ----
    // Reads what the neighbours on other hosts say.
    void read_controls();
    // Looks at all there is to look at, and fails what has to. After a step that moved nothing, and at
    // next().
    void look();
    // The same, of deaths alone.
    void check_deaths();
    // When look() has to be called at the latest.
    Clock::time_point next() const;
    // Whether a rank of this host has told of another's end.
    bool has_news() const { return progress_.host_has_news(); }

    // ---- what it knows ----
    // Why the rank died; nothing while it is not known to have.
    std::optional<std::string> death_of(int rank) const;
    // "rank 3 (host b, pid 7) left the group, after ..."
    std::string describe_leaving(int rank) const;
    // ". Before that rank 2 died: ..." of others, for a rank that cannot be reached: it may have ended
    // because of them.
    std::string who_went_before(int rank) const;
    // Who is to blame that the oldest collective does not end.
    std::string blame();
    // With the ranks' global numbers.
    Failure mismatch(const DifferentCalls& calls) const;

  private:
    void check_mismatch();
    void heed_host();
    void explain_suspect();
    void check_departures();
    void check_message_peers();
    void note_death(int rank, const std::string& why);
    // False where the message makes no sense.
    bool heed(const Control::Message& message);
    std::optional<uint64_t> needs(int rank) const;  // the first operation that does; 0 for a message
    Clock::time_point first_beat(const Watched::Oldest& oldest) const;
    Clock::time_point next_verdict() const;
    Clock::time_point alone_since() const;
    Clock::time_point next_message_event() const;

    // Ranks of whose end nobody would tell this one (cut_off.cc).
    void look_after_cut_off();
    bool has_gone(int rank) const;  // as far as is known here
    std::set<int> still_heard_of() const;

    Watched& watched_;
    const Layout& layout_;
    Segment* const segment_;
    const Controls& controls_;
    Mailbox& mailbox_;
    const Neighbours neighbours_;
    ProgressTable progress_;

    std::mutex ended_mutex_;
    std::vector<int> ended_processes_;   // as process_ended() was told
    std::atomic<bool> bereaved_{false};  // there are some

    struct Suspect {
        int rank;
        std::string why;
        bool left;  // in good order, says the connection
        Clock::time_point until;
    };
    std::optional<Suspect> suspect_;  // its data connection ended; its control connection may say why
    // The ranks that died. What they had delivered is still received: who needs more of them than that fails.
    struct Death {
        std::string why;
        bool drained = false;  // all that it sent has been received, as far as anybody here waits for it
    };
    std::map<int, Death> deaths_;
    // When those that are cut off are looked after; while a receive waits.
    Clock::time_point look_after_ = Clock::time_point::max();
    Clock::time_point last_moved_{};  // while there are deaths: when anything did
    int seen_leaving_ = -1;           // a rank of this host that had left before the last step; -1 for none
};

}  // namespace ring
