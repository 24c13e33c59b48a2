// One incarnation of a group: the ranks that it has now, the connections between them, and what is under way
// on those. The group as the user holds it, its queue and its numbers, is the Communicator, which owns this;
// what repairs, shrinks or enlarges a group replaces its session.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/config.h"
#include "ring/base/failure.h"
#include "ring/collectives/context.h"
#include "ring/collectives/host/offers.h"
#include "ring/collectives/host/shared_memory.h"
#include "ring/engine/connections.h"
#include "ring/engine/core_sharing.h"
#include "ring/engine/operation.h"
#include "ring/engine/p2p.h"
#include "ring/engine/pipeline.h"
#include "ring/fault/watch.h"

namespace ring {

class Silences;

// Used by the thread that holds the baton, but for what says otherwise. A member that has gone is still part
// of the layout.
class Session : private Watched {
  public:
    using Watched::kNone;

    // Whom it serves. What is called from any thread is thread-safe.
    class Owner {
      public:
        virtual ~Owner() = default;
        // The next collective, and the next message, unless there is none, or it fails.
        virtual OperationPtr next_collective(uint64_t fails_from) = 0;
        virtual OperationPtr next_message() = 0;
        // An operation has ended without an error.
        virtual void ended(const OperationPtr& operation) = 0;
        // Operations from here on fail; kNone while all is well. From any thread.
        virtual uint64_t fails_from() const = 0;
        // Ends operations, on all ranks. From any thread.
        virtual void fail(Failure failure) = 0;
        // What to say of an operation whose time is up.
        virtual std::string describe_timeout(const Operation& operation) const = 0;
        // For connections that are opened.
        virtual milliseconds timeout() const = 0;
        // There is something to do that nobody waits for. From any thread.
        virtual void kick() = 0;
    };

    struct Parts {
        Layout layout;
        Roster roster;
        std::unique_ptr<Doorbell> doorbell;
        Connections connections;
        Choices choices;
    };
    // `owner` and `config` must outlive it.
    Session(Owner& owner, const Config& config, Parts parts);
    ~Session() override = default;

    const Layout& layout() const { return layout_; }
    uint64_t group() const { return roster_.group; }
    const Tuning& tuning() const { return tuning_; }
    int epoll_fd() const { return epoll_.get(); }
    // With the number that the user knows the rank by that it names.
    Signature renamed(Signature called) const;

    // ---- driving, see Driven ----
    bool step();        // true if anything moved
    bool slow() const;  // a network has what is under way
    void look_up();
    bool listen(Clock::time_point until);
    bool ready() const;
    Clock::time_point wake_time() const;
    bool polls_on() { return core_sharing_.polls_on(); }
    void doze();
    void awake();

    // Without an operation, for a caller that holds the baton until it has ended, or is adopted: a collective
    // that is one shot in the host, while nothing is under way; or a message, whose number is 0.
    void begin(uint64_t number, const Arguments& arguments);
    bool ends();  // whether it has
    void adopt(OperationPtr operation);

    bool under_way() const { return pipeline_.busy() || p2p_.busy(); }
    bool sends() const { return p2p_.mailbox().busy(); }
    bool writes() const { return p2p_.mailbox().writes(); }
    // Whether an operation that is posted now could begin.
    bool takes() const { return pipeline_.takes(); }
    // The oldest collective that has not ended; kNone for none.
    uint64_t oldest_number() const;

    // ---- failures ----
    // What ranks of this host have posted that reaches further than `fails_from`. From any thread.
    bool has_failures(uint64_t fails_from) const;
    std::vector<Failure> failures() const;
    // Posts one to the ranks of this host. From any thread.
    void post(const Failure& failure);
    // Tells the neighbours on other hosts.
    void tell(const Failure& failure);
    // Ends all that is under way, without calling Owner::ended().
    std::vector<OperationPtr> abandon();
    // From any thread.
    void process_ended(int rank) { watch_.process_ended(rank); }
    std::optional<std::string> death_of(int rank) const { return watch_.death_of(rank); }

    // Wakes whoever of this process sleeps in listen(). From any thread.
    void ring() { doorbell_->ring(doorbell_->name()); }

    // ---- leaving (leave.cc) ----
    // Looks once more for what others have said.
    void listen_last();
    void say_goodbye();
    // Whether the goodbyes, and what was sent before, have arrived, or it has waited for as long as it will.
    bool has_left(Silences& silences, Clock::time_point started);
    void close();
    // Gives back the memory that it took, while the object may live on for long.
    void give_back();

  private:
    // Watched.
    std::optional<Oldest> oldest() const override;
    std::vector<int> awaited() const override { return pipeline_.awaited(); }
    bool oldest_is_ready() const override { return pipeline_.oldest_is_ready(); }
    uint64_t needs(int rank, uint64_t called) const override;
    uint64_t fails_from() const override { return owner_.fails_from(); }
    void fail(Failure failure) override { owner_.fail(std::move(failure)); }
    void look_again() override { ring(); }

    void watch(int fd);
    // Runs a part of a step. What it throws ends operations.
    template <typename Part>
    void guard(Part part);
    // What ranks called differently, or too late: the collectives that have ended here may end elsewhere.
    Failure without_earlier(Failure failure) const;
    void ended(uint64_t number, const Signature& called);  // a collective
    bool pass();                                           // goes through all that there is to do, once
    bool begin_next(uint64_t fails_from);
    bool take_messages();
    bool message_ends();
    bool progress_links();
    Failure mismatch(const DifferentPast& past);

    Owner& owner_;
    const Layout layout_;
    const Roster roster_;
    const std::unique_ptr<Doorbell> doorbell_;
    Connections connections_;
    Segment* const segment_;  // null where this rank is alone on its host
    CoreSharing core_sharing_;
    UniqueFd epoll_;
    const Tuning tuning_;
    std::vector<Link*> links_;  // all there are
    P2p p2p_;
    const SharedMemoryStages host_{};
    Offers offers_;
    HeapMemory memory_{};  // for what is under way
    Group group_;
    Pipeline pipeline_;
    Watch watch_;
    uint64_t ended_ = 0;    // the last collective that has
    bool message_ = false;  // that is what begin() has begun
};

}  // namespace ring
