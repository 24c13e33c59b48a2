// What a process has once, whatever the number of its groups: the progress thread, the listening socket, the
// watch over the other processes of the host.
//
// The progress thread sleeps in epoll. It drives what nobody waits for, takes incoming connections, and
// notices at once when a process of this host dies, by its pidfd.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ring/base/fd.h"
#include "ring/transport/tcp/acceptor.h"

namespace ring {

class Communicator;

// Thread-safe.
class Engine {
  public:
    Engine();
    ~Engine();  // stops the thread; all communicators must be gone

    // The engine of this process; a new one in a forked child.
    static Engine& of_process();

    // Makes the progress thread look at its groups.
    void kick();

    // The listener on this address, made when first asked for.
    Acceptor& acceptor(const std::string& address);

    // The communicator is served, and failed when the process of one of its ranks on this host ends, until it
    // is removed.
    void add(const std::shared_ptr<Communicator>& group, const std::map<int, int>& pid_of_rank);
    void remove(Communicator* group);
    // Makes the group's descriptor wake the progress thread, once.
    void arm(Communicator* group);

    // Shuts every group down, as at the end of the process, and waits until the progress thread has let go of
    // all that it still held: a callback that outlives the interpreter would end the process with an abort.
    void shutdown_all();

  private:
    struct Group {
        std::weak_ptr<Communicator> communicator;
        std::map<int, int> pid_of_rank;
    };

    void run();
    void report_death(int pid);
    std::vector<std::shared_ptr<Communicator>> groups();

    UniqueFd epoll_;
    UniqueFd kick_;
    std::mutex mutex_;  // guards what follows
    std::map<Communicator*, Group> groups_;
    std::map<std::string, std::unique_ptr<Acceptor>> acceptors_;
    std::map<int, UniqueFd> pidfds_;  // by pid
    std::atomic<bool> stop_{false};
    std::atomic<uint64_t> turns_{0};  // of the progress thread's loop
    std::thread thread_;
};

}  // namespace ring
