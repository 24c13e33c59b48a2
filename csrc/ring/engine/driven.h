// What a Baton works over: what is driven, and the thread that drives what nobody waits for. Communicator and
// Engine implement them; the tests of Baton have fakes.
#pragma once

#include <exception>
#include <memory>

#include "ring/base/clock.h"
#include "ring/engine/operation.h"

namespace ring {

// What came of a step.
enum class Step {
    kMoved,  // something has moved, or ended: another step may move more
    kPoll,   // what is waited for is made by another core, soon perhaps: polling learns of it first
    kSleep,  // nothing is under way, or a slow network has it
};

// What is left for the progress thread when a waiter has what it wanted.
enum class Left { kNothing, kSmall, kMore };

// An operation that has ended, whose callback is still to be run.
struct Finished {
    std::shared_ptr<Operation> operation;
    std::exception_ptr error;
};

class Driven {
  public:
    virtual ~Driven() = default;

    // ---- with the baton in hand ----
    // Does what can be done without waiting.
    virtual Step step() = 0;
    // Looks at what is not urgent: deadlines, who has died. Before each sleep, and at wake_time().
    virtual void look_up() = 0;
    // Handles the events of its descriptors, for which it waits until then; true if there were any.
    virtual bool listen(Clock::time_point until) = 0;
    // Whether a step would move something. Who sleeps asks after it has said that it sleeps, by doze() and by
    // Baton::sleeps(): whoever makes it true does so first, and then looks whom to wake.
    virtual bool ready() const = 0;
    // When look_up() has to be called at the latest.
    virtual Clock::time_point wake_time() const = 0;
    // The ranks of this host have to ring from now on, for what is under way; or need not any more.
    virtual void doze() = 0;
    virtual void awake() = 0;
    // Whether a waiter that has polled for long enough should poll on, rather than sleep.
    virtual bool polls_on() = 0;
    virtual Left left() const = 0;

    // ---- from any thread ----
    // Whether anything has been posted that has not ended, callbacks included.
    virtual bool has_work() const = 0;
    // Makes the next event of its descriptors tell the progress thread, once; that calls Baton::woken().
    virtual void arm() = 0;
    // Makes the progress thread look at it now; or a moment later, for what the caller may be about to wait
    // for itself.
    virtual void kick() = 0;
    virtual void look_soon() = 0;
    // Runs code of the user's; without the baton.
    virtual void call_back(const Finished& finished) = 0;
};

// Thread-safe.
class ProgressThread {
  public:
    virtual ~ProgressThread() = default;
    // Around code of the user's: on the progress thread, another may lead meanwhile.
    virtual void foreign_begin() = 0;
    virtual void foreign_end() = 0;
    // Whether the calling thread is the progress thread, still; one that is not must leave the groups alone.
    virtual bool leads() const = 0;
};

}  // namespace ring
