// Who drives a group: a thread that waits for one of its operations, else the engine's progress thread.
// Used by Communicator.
//
// Whoever holds the baton drives. All do so in one loop, drive(): step, poll for a moment, look up, and where
// there is nothing to do, rest; a waiter sleeps in the group's descriptors then, and the progress thread arms
// them and goes on to other groups.
//
//                           a waiter comes                         has what it wanted
//        progress thread  ------------------>  waiter drives  ---------------------------+
//        drives  <----------------------+           ^                                    |
//          | nothing to do              | nobody    | one of them takes it               v
//          v                            | waits     |                            the baton is free
//        armed, and free  --- event ----+       followers  <--- others wait -------------+
//
// What keeps them from sleeping on each other:
//   1. A waiter counts itself before it asks for the baton, and the progress thread looks at the count before
//      each step: it gives way.
//   2. Whoever is about to sleep says so, and then looks whether anything is ready; whoever makes something
//      ready does so, and then looks whether somebody sleeps.
//   3. Whoever lets go of the baton wakes those that follow, one of which takes it.
//   4. Code of the user's runs without the baton, and while it runs in a waiter that waiter does not count.
//   5. What wakes a progress thread is noted at once: it may not lead any more when the group's turn comes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/fork.h"
#include "ring/engine/driven.h"
#include "ring/engine/spinner.h"

namespace ring {

// Thread-safe, but for what takes a Lock, which the caller holds. In a forked child nothing may be called but
// Foreign's destructor; a callback or signal handler that forks may come back in it.
class Baton {
  public:
    using Lock = std::unique_lock<std::mutex>;

    // Both must outlive it. For the numbers see Spinner.
    Baton(Driven& driven, ProgressThread& engine, int spin_us, unsigned pauses)
        : driven_(driven), engine_(engine), spin_us_(spin_us), pauses_(pauses) {}

    // Drives, or follows whoever does, until the operation is done, or until `limit`, or until it is in a
    // forked child. Throws what an interruption threw (interrupt.h); the operation goes on.
    void wait(const Operation& operation, Clock::time_point limit);
    enum class Served {
        kArmed,   // all that could be done; from now on the descriptors tell when there is more
        kTaken,   // another thread drives: to be asked again later
        kAtWork,  // there is more to do, when the other groups have had their turn
    };
    // By the progress thread: drives as far as it goes without waiting, for a moment, unless somebody waits.
    Served serve();
    // When serve() has to be called at the latest; asks whoever drives again soon.
    Clock::time_point due();
    // The descriptors have told, and tell no more until serve() has armed them again.
    void woken();

    // Whether descriptors have been listened to a moment ago: who holds the baton may leave it out once. With
    // the baton in hand.
    bool has_listened() const { return last_tick() < look_at_; }
    // For whoever polls with the baton in hand.
    Spinner spinner() const { return {spin_us_, pauses_}; }
    // It lets others run at each poll, since the ranks of this host are known to outnumber its cores.
    bool yields_at_once() const { return pauses_ == 0; }

    // Operations have been posted, or are waited for; see attended().
    void attend();
    // Whether that was so since it was last asked. Only a hint.
    bool attended();

    // To be asked after something was made ready that no rank rings for: whether a driver sleeps, which the
    // caller then has to wake through the descriptors. True for one caller.
    bool sleeps();
    // An operation is done: looks for those that follow.
    void ended();

    // Takes the baton for something else than driving, asleep or awake as it was left. The first waits for
    // it.
    Lock take() { return Lock(mutex_); }
    Lock try_take() { return Lock(mutex_, std::try_to_lock); }
    void release(Lock& lock);

    // Callbacks that wait for their turn; all with the baton in hand.
    void defer(Finished finished) { callbacks_.push_back(std::move(finished)); }
    bool has_deferred() const { return !callbacks_.empty(); }
    // Takes out those of these operations.
    std::vector<Finished> deferred(std::span<const std::shared_ptr<Operation>> of);
    // Runs them. Releases the lock, and may come back without it.
    void run_callbacks(Lock& lock);

    // While one is alive, this thread runs code of the user's, which may wait for other operations: somebody
    // else drives meanwhile.
    class Foreign {
      public:
        explicit Foreign(Baton& baton);
        ~Foreign();
        Foreign(const Foreign&) = delete;
        Foreign& operator=(const Foreign&) = delete;

      private:
        Baton& baton_;
        const bool waiter_;  // this thread waits here, so the progress thread keeps off
    };

  private:
    class Waiter;
    class Server;

    template <typename Driver>
    void drive(Driver& driver, Lock& lock);
    // A waiter that does not drive: until the operation is done, or it has the baton, or until `limit`.
    void follow(const Operation& operation, Lock& lock, Clock::time_point limit);
    bool waited_for() const;
    void sleep(Clock::time_point until);
    void wake_followers();
    bool inherited() const { return fork_count() != forks_; }

    Driven& driven_;
    ProgressThread& engine_;
    const int spin_us_;
    const unsigned pauses_;
    const int forks_ = fork_count();
    std::atomic<int> waiters_{0};
    std::atomic<int> followers_{0};  // of the waiters, those in follow()
    std::mutex follow_mutex_;
    std::condition_variable followed_;
    std::atomic<bool> asleep_{false};  // the waiter that drives sleeps, or is about to
    std::atomic<bool> armed_{false};
    std::atomic<bool> attended_{false};
    std::mutex mutex_;                // the baton; guards what follows
    Clock::time_point look_at_{};     // when a waiter that has not slept since must listen
    std::deque<Finished> callbacks_;  // to be run
};

}  // namespace ring
