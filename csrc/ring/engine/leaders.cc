// See leaders.h.
#include "ring/engine/leaders.h"

#include <string>
#include <system_error>
#include <utility>

#include "ring/base/error.h"
#include "ring/base/log.h"

namespace ring {
namespace {

// How long a callback may take before another thread leads, where it has not said that it needs one.
constexpr milliseconds kPatience{1};
// How long after the last callback the thread that stands by goes on looking, so that it need not be woken.
constexpr milliseconds kAttentive{20};

// Of this thread; 0 where it is none of them.
thread_local uint64_t serial = 0;
thread_local int foreign_depth = 0;

}  // namespace

void Leaders::start() {
    const std::lock_guard lock(mutex_);
    start_thread(Role::kLeads);
}

void Leaders::stop(const std::function<void()>& wake) {
    stop_.store(true, std::memory_order_release);  // pairs with leads()
    wake();
    std::vector<std::thread> threads;
    {
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
        threads = std::exchange(threads_, {});
    }
    for (std::thread& thread : threads) thread.join();
}

void Leaders::start_thread(Role role) {
    // Relaxed: only its own. Of all engines: in a forked child a thread may bear the number that it had.
    static std::atomic<uint64_t> serials{0};
    const uint64_t number = 1 + serials.fetch_add(1, std::memory_order_relaxed);
    if (role == Role::kLeads) leader_.store(number, std::memory_order_relaxed);  // its thread starts after it
    try {
        threads_.emplace_back([this, number] {
            serial = number;
            run();
        });
    } catch (const std::system_error& error) {
        throw Error(std::string("cannot start a progress thread: ") + error.what() +
                    "; the limit of threads is reached: raise ulimit -u, or pids.max of the container");
    }
    if (role == Role::kStandsBy) ++standing_by_;  // under the lock, for which the thread has to wait
}

bool Leaders::leads() const {
    // Relaxed: only this thread cares. Acquire: pairs with stop().
    return serial != 0 && leader_.load(std::memory_order_relaxed) == serial &&
           !stop_.load(std::memory_order_acquire) && forks_ == fork_count();
}

void Leaders::foreign_begin() {
    ++foreign_depth;
    foreign_.fetch_add(1, std::memory_order_relaxed);
    if (foreign_depth > 1 || !leads()) return;
    const std::lock_guard lock(mutex_);
    in_foreign_ = true;
    ++foreign_turns_;
    const auto now = Clock::now();
    const bool asleep = now - last_foreign_ > kAttentive;
    last_foreign_ = now;
    if (standing_by_ > 0) {
        if (asleep) changed_.notify_all();
        return;
    }
    try {
        start_thread(Role::kStandsBy);
    } catch (const Error& error) {
        // The callback is run all the same; until it returns, what nobody waits for has to wait.
        if (!std::exchange(told_of_limit_, true)) log(LogLevel::kWarning, error.what());
    }
}

void Leaders::foreign_end() {
    --foreign_depth;
    foreign_.fetch_sub(1, std::memory_order_release);  // pairs with foreign_elsewhere()
    if (foreign_depth > 0) return;
    const std::lock_guard lock(mutex_);
    if (!leads()) return;
    in_foreign_ = needs_leader_ = false;
    last_foreign_ = Clock::now();
}

void Leaders::need() {
    if (foreign_depth == 0 || !leads()) return;
    const std::lock_guard lock(mutex_);
    needs_leader_ = true;
    changed_.notify_all();
}

bool Leaders::foreign_elsewhere() const {
    return foreign_.load(std::memory_order_acquire) > foreign_depth;  // pairs with foreign_end()
}

bool Leaders::stand_by() {
    std::unique_lock lock(mutex_);
    uint64_t seen = 0;
    while (!stop_.load(std::memory_order_acquire)) {  // pairs with stop()
        if (in_foreign_ && (needs_leader_ || seen == foreign_turns_)) {
            leader_.store(serial, std::memory_order_relaxed);
            in_foreign_ = needs_leader_ = false;
            --standing_by_;
            return true;
        }
        seen = in_foreign_ ? foreign_turns_ : 0;
        if (in_foreign_ || Clock::now() - last_foreign_ <= kAttentive) {
            changed_.wait_for(lock, kPatience);
        } else {
            changed_.wait(lock);
        }
    }
    return false;
}

void Leaders::run() {
    bool leading = leads();
    while (leading || stand_by()) {
        lead_();
        if (forks_ != fork_count()) return;  // a child that came back from the callback that forked it
        leading = false;
        const std::lock_guard lock(mutex_);
        ++standing_by_;
    }
}

}  // namespace ring
