// See baton.h.
#include "ring/engine/baton.h"

#include <algorithm>
#include <utility>

#include "ring/base/interrupt.h"

namespace ring {
namespace {

// How long a waiter that does not drive sleeps at most.
constexpr milliseconds kFollow{1};
// How long the progress thread stays with a group that is at work, before it looks at the others.
constexpr milliseconds kTurn{1};
// How often a waiter that never sleeps looks at what the kernel tells of.
constexpr milliseconds kLookEvery{20};
// How soon the progress thread asks again when a group is due whose driver it cannot ask.
constexpr milliseconds kAskAgain{20};
constexpr Clock::time_point kAtOnce{};

// The baton in whose wait() this thread is, if it is in one.
thread_local const Baton* waits_in = nullptr;

}  // namespace

// ---- the one loop, and who is in it ----

// Until the operation is done.
class Baton::Waiter {
  public:
    Waiter(Baton& baton, const Operation& operation, Clock::time_point limit)
        : baton_(baton), operation_(operation), limit_(limit) {}

    bool goes_on(Lock& lock) {
        if (operation_.done()) return false;
        now_ = Clock::now();
        if (now_ >= limit_) return false;
        until_ = std::min(limit_, interrupts_.next(now_));
        return now_ < until_ || asks(lock);
    }

    bool takes(Lock& lock) {
        baton_.follow(operation_, lock, until_);
        return lock.owns_lock();
    }

    void begins() {
        // Whoever finds what it waits for before it would sleep hears of all else here.
        if (now_ < baton_.look_at_) return;
        baton_.look_at_ = now_ + kLookEvery;
        baton_.driven_.listen(kAtOnce);
    }

    void moved() {}

    // Once it has slept, the other ranks take their time: what wakes it meanwhile must not cost as much
    // again.
    bool polls_on() const { return !slept_ && baton_.driven_.polls_on(); }

    void rests(Lock&) {
        // Between goes_on() and the taking of the baton another thread may have ended it: nobody would wake
        // this one.
        if (operation_.done()) return;
        slept_ = true;
        baton_.sleep(until_);
    }

    const std::exception_ptr& interruption() const { return interruption_; }

  private:
    // A signal's handler, which may use the group.
    bool asks(Lock& lock) {
        if (lock.owns_lock()) baton_.release(lock);
        const Foreign foreign(baton_);
        try {
            interrupts_.check();
            return true;
        } catch (...) {
            interruption_ = std::current_exception();
            return false;
        }
    }

    Baton& baton_;
    const Operation& operation_;
    const Clock::time_point limit_;
    Interrupts interrupts_;
    Clock::time_point now_{};
    Clock::time_point until_{};
    bool slept_ = false;
    std::exception_ptr interruption_;
};

// Until there is nothing to do, its turn is over, or somebody waits.
class Baton::Server {
  public:
    explicit Server(Baton& baton) : baton_(baton) {}

    bool goes_on(const Lock&) const {
        // Relaxed: a waiter that comes late takes the lock all the same.
        return !over_ && baton_.waiters_.load(std::memory_order_relaxed) == 0 && baton_.engine_.leads();
    }

    bool takes(Lock& lock) {
        // Whoever drives by now may do so for long.
        over_ = std::exchange(tried_, true) || !lock.try_lock();
        return !over_;
    }

    void begins() {}

    void moved() {
        if (turn_.passed()) end(Served::kAtWork);
    }

    bool polls_on() const { return false; }  // other groups wait for it

    void rests(Lock& lock) {
        Driven& driven = baton_.driven_;
        // What has come meanwhile is not announced again: look at it before waiting to be woken.
        if (driven.listen(kAtOnce)) return;
        driven.doze();
        if (driven.ready()) {
            driven.awake();
            moved();
        } else if (baton_.callbacks_.empty()) {
            baton_.release(lock);
            end(Served::kArmed);
            baton_.armed_.store(true, std::memory_order_relaxed);  // before an event can tell of it
            driven.arm();
        }
    }

    Served outcome() const { return outcome_; }

  private:
    void end(Served outcome) {
        over_ = true;
        outcome_ = outcome;
    }

    Baton& baton_;
    const Deadline turn_ = Deadline::after(kTurn);
    bool tried_ = false;
    bool over_ = false;
    Served outcome_ = Served::kTaken;
};

template <typename Driver>
void Baton::drive(Driver& driver, Lock& lock) {
    Spinner spinner = this->spinner();
    while (driver.goes_on(lock)) {
        if (!lock.owns_lock()) {
            if (!driver.takes(lock)) continue;
            driven_.awake();  // the progress thread may have left it dozing
            spinner.reset();
        }
        driver.begins();
        const Step step = driven_.step();
        if (step == Step::kMoved) {
            spinner.reset();
            driver.moved();
        } else if (callbacks_.empty() && (step == Step::kSleep || !(spinner.again() || driver.polls_on()))) {
            driven_.look_up();
            driver.rests(lock);
        }
        if (lock.owns_lock() && !callbacks_.empty()) run_callbacks(lock);
        if (inherited()) return;  // a callback has forked this process
    }
}

// ---- waiters ----

void Baton::wait(const Operation& operation, Clock::time_point limit) {
    // Sequentially consistent: asks the progress thread to give way soon; for its order see sleeps().
    waiters_.fetch_add(1, std::memory_order_seq_cst);
    attend();
    const Baton* const outer = std::exchange(waits_in, this);
    Lock lock(mutex_, std::defer_lock);
    Waiter waiter(*this, operation, limit);
    drive(waiter, lock);
    waits_in = outer;
    if (inherited()) return;
    waiters_.fetch_sub(1, std::memory_order_relaxed);
    const Left left = lock.owns_lock() ? driven_.left() : driven_.has_work() ? Left::kMore : Left::kNothing;
    if (lock.owns_lock()) release(lock);
    // Whoever began small operations often waits for them next, and must not meet the progress thread there.
    if (left == Left::kSmall) driven_.look_soon();
    if (left == Left::kMore) driven_.kick();
    if (waiter.interruption()) std::rethrow_exception(waiter.interruption());
}

bool Baton::waited_for() const {
    return waiters_.load(std::memory_order_relaxed) > 0;  // only a hint: they look again themselves
}

void Baton::follow(const Operation& operation, Lock& lock, Clock::time_point limit) {
    if (lock.try_lock()) return;
    // Sequentially consistent: either whoever drives sees this follower, or it sees the lock free.
    followers_.fetch_add(1, std::memory_order_seq_cst);
    std::unique_lock waiting(follow_mutex_);
    // It may miss the end of the operation by a moment, so it looks again soon.
    while (!operation.done() && Clock::now() < limit && !lock.try_lock())
        followed_.wait_for(waiting, kFollow);
    followers_.fetch_sub(1, std::memory_order_relaxed);
}

void Baton::sleep(Clock::time_point until) {
    asleep_.store(true, std::memory_order_seq_cst);  // for its order see sleeps()
    driven_.doze();
    driven_.listen(driven_.ready() ? kAtOnce : std::min(until, driven_.wake_time()));
    driven_.awake();
    asleep_.store(false, std::memory_order_relaxed);  // a ring that comes late only costs an event
}

bool Baton::sleeps() {
    // Sequentially consistent, as what the caller stored before: either the waiter that drives sees that
    // before it sleeps, or this thread sees that it sleeps. It drives for this thread too.
    return asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_relaxed);
}

void Baton::ended() {
    // Relaxed: a follower that is missed looks again by itself.
    if (followers_.load(std::memory_order_relaxed) > 0) wake_followers();
}

void Baton::wake_followers() {
    const std::lock_guard waiting(follow_mutex_);
    followed_.notify_all();
}

void Baton::release(Lock& lock) {
    lock.unlock();
    if (followers_.load(std::memory_order_seq_cst) > 0) wake_followers();  // pairs with follow()
}

// ---- the progress thread ----

Baton::Served Baton::serve() {
    const bool armed = armed_.load(std::memory_order_acquire);  // pairs with woken()
    if (waited_for()) return armed ? Served::kArmed : Served::kTaken;
    if (armed && !driven_.has_work() && Clock::now() < due()) return Served::kArmed;
    Lock lock(mutex_, std::defer_lock);
    Server server(*this);
    drive(server, lock);
    if (inherited()) return Served::kTaken;
    if (lock.owns_lock()) release(lock);
    return server.outcome();
}

Clock::time_point Baton::due() {
    if (waited_for()) return Clock::time_point::max();  // they look themselves
    const Lock lock = try_take();
    return lock.owns_lock() ? driven_.wake_time() : Clock::now() + kAskAgain;
}

void Baton::woken() {
    armed_.store(false, std::memory_order_release);  // pairs with serve()
}

void Baton::attend() {
    attended_.store(true, std::memory_order_relaxed);  // only a hint
}

bool Baton::attended() {
    return attended_.exchange(false, std::memory_order_relaxed);  // only a hint
}

// ---- code of the user's ----

std::vector<Finished> Baton::deferred(std::span<const std::shared_ptr<Operation>> of) {
    std::vector<Finished> theirs;
    std::erase_if(callbacks_, [&](const Finished& one) {
        if (std::find(of.begin(), of.end(), one.operation) == of.end()) return false;
        theirs.push_back(one);
        return true;
    });
    return theirs;
}

void Baton::run_callbacks(Lock& lock) {
    // One by one: while one waits for something, whoever drives then runs the others.
    while (!callbacks_.empty()) {
        const Finished finished = std::move(callbacks_.front());
        callbacks_.pop_front();
        release(lock);
        driven_.call_back(finished);
        if (inherited()) return;
        // Whoever drives by now may do so for long, and this thread may have what it waited for.
        if (!lock.try_lock()) return;
    }
}

Baton::Foreign::Foreign(Baton& baton) : baton_(baton), waiter_(waits_in == &baton) {
    if (waiter_) {
        waits_in = nullptr;
        baton_.waiters_.fetch_sub(1, std::memory_order_relaxed);  // as at the end of wait()
        if (baton_.driven_.has_work()) baton_.driven_.kick();
    }
    baton_.engine_.foreign_begin();
}

Baton::Foreign::~Foreign() {
    if (baton_.inherited()) return;
    baton_.engine_.foreign_end();
    if (waiter_) {
        baton_.waiters_.fetch_add(1, std::memory_order_seq_cst);  // as in wait()
        waits_in = &baton_;
    }
}

}  // namespace ring
