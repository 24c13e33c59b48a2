// What a process has once, whatever the number of its groups: the progress thread, the listening socket, the
// watch over the other processes of the host.
//
// The progress thread sleeps in epoll. It drives what nobody waits for, takes incoming connections, and
// notices at once when a process of this host dies, by its pidfd or its lifeline. Which thread that is, see
// leaders.h.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/fd.h"
#include "ring/base/fork.h"
#include "ring/engine/agenda.h"
#include "ring/engine/dialer.h"
#include "ring/engine/driven.h"
#include "ring/engine/leaders.h"
#include "ring/transport/shm/lifeline.h"
#include "ring/transport/tcp/acceptor.h"

namespace ring {

class Communicator;

// Which machines do not answer when groups are left, and since when. Thread-safe.
class Silences {
  public:
    // Since when this one has been silent for all groups that are left now; `now` where it has not been.
    Clock::time_point began(const std::string& network, Clock::time_point now) const;
    void note(const std::string& network, Clock::time_point began);

  private:
    mutable std::mutex mutex_;
    std::map<std::string, Clock::time_point> began_;  // by network_identity()
};

// Thread-safe.
class Engine : public ProgressThread {
  public:
    Engine();
    ~Engine()
        override;  // stops the thread; all communicators must be gone. Not to be called in a forked child.

    // The engine of this process, made when first asked for; a new one in a forked child. Throws Error where
    // the system refuses what it needs, and may be asked again.
    static Engine& of_process();
    // The same, but only if it is there.
    static Engine* if_any();

    // Makes the progress thread look at the group, now or a moment later; see Driven.
    void kick(const Communicator* group);
    void look_soon(const Communicator* group);

    // As ProgressThread says.
    void foreign_begin() override { leaders_.foreign_begin(); }
    void foreign_end() override { leaders_.foreign_end(); }
    bool leads() const override { return leaders_.leads(); }

    // Who takes connections from other hosts, made when first asked for; it does not listen anywhere yet.
    Acceptor& acceptor();
    ReachedAddresses& reached() { return reached_; }
    Silences& silences() { return silences_; }

    // The communicator is served, and failed when the process of one of its ranks on this host ends, until it
    // is removed.
    struct Process {
        int pid = 0;
        std::string lifeline{};  // the name of its lifeline()
    };
    void add(const std::shared_ptr<Communicator>& group, const std::map<int, Process>& processes);
    // By which other processes of this host may watch this one.
    const std::string& lifeline() const { return lifeline_.name(); }
    void remove(Communicator* group);
    // The group of all ranks of that world (Communicator::Settings), and the words for a rank of it that a
    // group of this process knows to have ended; null and none if there is nothing of the kind.
    std::shared_ptr<Communicator> whole(const void* world);
    std::optional<std::string> ended(const void* world, int global_rank);
    // Makes the group's descriptor wake the progress thread, once.
    void arm(Communicator* group);

    // Shuts every group down, as at the end of the process, and waits until the progress thread has let go of
    // all that it still held: a callback that outlives the interpreter would end the process with an abort.
    void shutdown_all();

  private:
    struct Group {
        std::weak_ptr<Communicator> communicator;
        std::map<int, Process> processes;  // of the other ranks on this host
    };

    void lead();  // the loop of the progress thread
    void wake();  // it
    void serve(const Agenda::Item& item);
    void woken(const Communicator* group);
    std::shared_ptr<Communicator> alive(const Communicator* group);  // null where it is no more
    void report_death(int pid);
    void unwatch(int pid);          // under the lock
    Acceptor* existing_acceptor();  // null until somebody has asked for it
    std::vector<std::shared_ptr<Communicator>> groups();

    const int forks_ = fork_count();  // of the process that it belongs to: a child has none of its threads
    UniqueFd epoll_;
    UniqueFd kick_;     // an eventfd, or the end of a pipe
    UniqueFd kick_in_;  // the other end of that pipe
    UniqueFd timer_;    // of look_soon(); empty where it is refused
    const Lifeline lifeline_;
    std::atomic<bool> timer_runs_{false};
    Agenda agenda_;
    ReachedAddresses reached_;
    Silences silences_;
    std::mutex mutex_;  // guards what follows
    std::map<Communicator*, Group> groups_;
    std::unique_ptr<Acceptor> acceptor_;
    std::map<int, UniqueFd> watched_;  // by pid: a pidfd, or a connection to a lifeline
    std::atomic<uint64_t> turns_{0};   // of the progress thread's loop
    std::thread registrar_;            // ends at once; so that no group waits for it to form
    Leaders leaders_;
};

}  // namespace ring
