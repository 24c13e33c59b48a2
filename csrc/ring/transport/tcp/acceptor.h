// The listening sockets of a process: takes connections, lets them prove themselves, hands them to the group
// they are for.
//
// Strangers cost little: nothing is allocated from what they say, a fixed number of bytes is read, each has a
// deadline, and together they hold no more than a share of the descriptors that the process may have. They
// are dropped and counted; the job does not notice. Where the process has used up its descriptors, a reserve
// is left for those who come, and beyond it they are told why they are not let in. Driven by the engine's
// progress thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "ring/base/clock.h"
#include "ring/base/fd.h"
#include "ring/transport/tcp/handshake.h"
#include "ring/transport/tcp/listeners.h"

namespace ring {

class Acceptor {
  public:
    // Listens on ports of this range.
    explicit Acceptor(const PortRange& ports = {});
    ~Acceptor();

    // ---- for the progress thread ----
    int fd() const { return epoll_.get(); }  // readable when handle() has something to do
    void handle();                           // never blocks, never throws for what a stranger does
    // When handle() must be called at the latest, to drop who is slow, or to look for descriptors again.
    Clock::time_point next_deadline() const;

    // ---- for any thread ----
    // Listens on these numeric addresses from now on; returns those that it could (see Listeners), with the
    // ports. Throws Error.
    std::vector<Endpoint> listen(const std::vector<std::string>& addresses);
    // From now on connections for rank `to` of `group` may prove themselves with this secret.
    void expect(uint64_t group, int to, const std::string& secret);
    void forget(uint64_t group, int to);
    // The same, for a rank that has left the group in good order: who still calls it is told so.
    void leave(uint64_t group, int to);
    // From now on `notify` is called after each connection that has come for this rank, mostly by the
    // progress thread, and now if some have come already; not after forget(), or when another one, or null,
    // has taken its place. It must not call this acceptor.
    void watch(uint64_t group, int to, std::function<void()> notify);
    struct Arrival {
        int from;
        int stream;
        UniqueFd socket;
    };
    // Those that have come for this purpose since the last time.
    std::vector<Arrival> collect(uint64_t group, int to, Purpose purpose);
    // How many connections were dropped because they did not belong to the job.
    uint64_t dropped() const;
    std::vector<Endpoint> endpoints() const;  // where it listens
    // Why connections cannot be taken at the moment, to be appended to an error; "" while they can.
    std::string trouble() const;

  private:
    struct Visitor;
    using Key = std::tuple<uint64_t, int, int, Purpose, int>;  // group, from, to, purpose, stream

    using Visitors = std::map<uint64_t, std::unique_ptr<Visitor>>;

    void accept_all();
    void accept_from(const UniqueFd& listener);
    // Finds a descriptor for the next visitor; false where there is none.
    bool make_room();
    // Tells those who knock that there is none for them.
    void refuse_all(const UniqueFd& listener);
    void refill();
    void listen_for_events(bool on);
    // Where that group has been left: tells the visitor.
    bool tell_of_leaving(Visitor& visitor);
    // Advances one handshake as far as its bytes allow; false when it is over, one way or the other.
    bool advance(Visitor& visitor);
    void drop(Visitor& visitor, const char* why);
    void drop_oldest(const char* why);
    void unwatch(const UniqueFd& socket);

    UniqueFd epoll_;
    mutable std::mutex mutex_;  // guards what follows
    Listeners listeners_;
    // By a number that no other ever had, and so oldest first: an event that comes late finds nobody.
    Visitors visitors_;
    uint64_t last_visitor_ = 0;
    std::vector<UniqueFd> reserve_;  // descriptors to be given up for visitors
    UniqueFd last_;                  // and one for those who are refused
    int no_descriptors_ = 0;         // the error code of the last accept, while there are none for visitors
    Clock::time_point resume_ = Clock::time_point::max();  // when to look for descriptors again
    using Member = std::pair<uint64_t, int>;               // group, rank
    std::map<Member, std::string> secrets_;
    std::deque<std::pair<Member, std::string>> left_;  // the last groups that were left, with their secrets
    std::map<Key, UniqueFd> ready_;
    std::map<Member, std::function<void()>> watchers_;
    uint64_t dropped_ = 0;
};

}  // namespace ring
