// The progress threads of an engine, of which one leads: it alone serves the groups. It also runs callbacks
// of the user's, which may wait for what only it would drive; so another thread stands by, and takes its
// place while it is held up.
//
//        start()          foreign_begin()               foreign_end(), soon enough
//      ---------> leads ------------------> in foreign code ------------------> leads
//                   ^                              |
//                   | takes the lead               | it takes longer than kPatience, or asks for a leader,
//                   and |                              v there is a thread that stands by
//               stands by <------ replaced: finishes its code, finds that it does not lead
//
// There are as many threads as callbacks that ever waited at once, and one more.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/fork.h"

namespace ring {

// Thread-safe. In a forked child nothing may be called but leads().
class Leaders {
  public:
    // `lead` is the loop of whoever leads; it returns when leads() is false.
    explicit Leaders(std::function<void()> lead) : lead_(std::move(lead)) {}
    // The first thread. Throws Error where the system has no thread left.
    void start();
    // From now on nobody leads; `wake` is called then, to wake whoever did. Returns when all threads have
    // ended.
    void stop(const std::function<void()>& wake);

    // Whether the calling thread leads, still. In a child that a callback forked nobody does.
    bool leads() const;

    // Around code of the user's, on any thread.
    void foreign_begin();
    void foreign_end();
    // This code of the user's may wait for others next: where it holds up the leader, another must lead at
    // once.
    void need();
    // Whether other threads are in code of the user's.
    bool foreign_elsewhere() const;

  private:
    enum class Role { kLeads, kStandsBy };
    void start_thread(Role role);  // under the lock
    void run();                    // the life of a thread
    bool stand_by();               // until it leads; false at the end

    const std::function<void()> lead_;
    const int forks_ = fork_count();  // of the process that has the threads
    std::atomic<bool> stop_{false};
    std::atomic<int> foreign_{0};  // how often threads are in code of the user's

    std::mutex mutex_;  // guards what follows; the leader is also read without it
    std::condition_variable changed_;
    std::vector<std::thread> threads_;
    std::atomic<uint64_t> leader_{0};  // a serial number of threads
    int standing_by_ = 0;
    bool in_foreign_ = false;    // the leader is
    bool needs_leader_ = false;  // and another one must lead at once
    bool told_of_limit_ = false;
    uint64_t foreign_turns_ = 0;
    Clock::time_point last_foreign_{};
};

}  // namespace ring
