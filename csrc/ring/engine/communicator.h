// A group of ranks, as the user of this rank holds it: its queue of operations, their numbers, its failures.
// What is under way, and the connections that it needs, are its Session's; who drives it is decided by its
// Baton.
//
// Posting never blocks. Operations begin in the order in which they were posted, and a few are under way at
// once, so that one's last stage and the next one's first share host and link without a gap. Whoever waits
// drives: wait() runs the operations in the caller's thread; those that nobody waits for are run by the
// engine's progress thread. A failure ends the group: it is flooded to all ranks, every operation ends with
// it, and so does each later one, at once.
//
// Messages from rank to rank, the user's send and recv, are operations outside that order: they wait for
// nothing but their peer.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "ring/base/clock.h"
#include "ring/base/config.h"
#include "ring/base/failure.h"
#include "ring/base/fork.h"
#include "ring/engine/baton.h"
#include "ring/engine/crossings.h"
#include "ring/engine/operation.h"
#include "ring/engine/rendezvous.h"
#include "ring/engine/session.h"
#include "ring/fault/failures.h"
#include "ring/topology/store.h"

namespace ring {

class Engine;

// Thread-safe. A forked child must not reach what it inherits of its parent's groups: there no function
// touches a lock, a descriptor or the shared memory of the group, and the object is never destroyed. Those
// that would have to reach the group throw ConfigError, those that only let go of it do nothing.
class Communicator final : public std::enable_shared_from_this<Communicator>,
                           private Driven,
                           private Session::Owner {
  public:
    struct Settings {
        int rank = 0;
        int size = 1;
        milliseconds timeout{30 * 60 *
                             1000};  // for forming the group, and for each operation unless told otherwise
        std::string store_host{};    // where the store runs, for choosing an interface; "" if unknown
        std::string host_id{};       // instead of this process's host_identity(); "" = that
        // What the ranks are called in the group of all ranks, by rank; empty where this is that group.
        std::vector<int> global_ranks{};
        // The same for the groups of this process that are parts of one such group, and for that itself;
        // null if unknown.
        const void* world = nullptr;
        Config config = ring::config();
    };

    // Forms the group; all ranks must call it. Throws what Rendezvous, exchange_cards(), connect_group(),
    // measure_machine() and await_host() throw. A rank for which it throws has told the others, for which it
    // then throws, too.
    static std::shared_ptr<Communicator> create(Engine& engine, Store& store, const Settings& settings);
    // Instead of create(), for a rank that cannot come as far as that: lets the others know why.
    static void refuse(Store& store, const Settings& settings, const std::exception_ptr& error);
    ~Communicator() override;

    const Layout& layout() const { return session_.layout(); }
    void set_timeout(milliseconds timeout);
    // What the user calls the group, for messages. Once, before anything is posted.
    void set_description(const std::string& text);

    // Throws ConfigError in a forked child; `what` says what was to be done.
    void check_process(const std::string& what) const;
    // Throws ConfigError where the arguments make no sense, or in a forked child; post() does so too.
    void check(const Arguments& arguments) const;
    // Throws ConfigError where the arguments make no sense, or in a forked child. After a failure the
    // operation that it returns has failed.
    OperationPtr post(Arguments arguments, std::optional<milliseconds> timeout = std::nullopt,
                      Operation::OnDone on_done = nullptr);
    // What the caller does next, if what it has begun has not ended.
    enum class Next { kWaits, kUnknown };
    // As post(): where a small collective is all that there is to do, and of each small message, it is begun
    // in here, and polled for a moment if the caller waits next. Null: it has ended without an error, and
    // `on_done` has not been called. Otherwise it is to be waited for, or handed over.
    OperationPtr begin(const Arguments& arguments, std::optional<milliseconds> timeout = std::nullopt,
                       Operation::OnDone on_done = nullptr, Next next = Next::kWaits);
    // As post() and wait().
    void run(const Arguments& arguments) {
        if (const OperationPtr operation = begin(arguments)) wait(operation);
    }
    // Lets these operations, which were just posted, go on while the caller does something else: the progress
    // thread runs them. Small ones go in here as far as they get, and the thread looks after them soon.
    void hand_over(std::span<const OperationPtr> posted);
    // Returns when the operation is done; drives it. Throws what it failed with, or TimeoutError after
    // `timeout`, or what an interruption threw (interrupt.h); in both cases the operation goes on. In a
    // forked child it throws ConfigError for what was not done when it was forked.
    void wait(const OperationPtr& operation, std::optional<milliseconds> timeout = std::nullopt);

    // While one is alive, this thread runs code of the user's, such as a callback, which may wait for other
    // operations: somebody else drives meanwhile. For `on_done`.
    class Foreign {
      public:
        explicit Foreign(Communicator& group) : foreign_(group.baton_) {}

      private:
        Baton::Foreign foreign_;
    };

    // Ends the group on all ranks with AbortedError. Does nothing in a forked child.
    void abort(const std::string& why);
    // Leaves the group in good order: peers that do not wait for this rank are not disturbed. Called by the
    // destructor. Does nothing in a forked child, whose parent may still be at work.
    void shutdown();
    // Several at the same time, in no more time than one takes. They stay alive until it returns.
    static void shutdown(std::span<Communicator* const> groups);
    // What ended the group, if something did. In a forked child it always has ended.
    std::optional<Failure> failure() const;
    uint64_t operations_posted() const;

    // ---- for the engine ----
    // From any thread: ends the group with this failure, or as much of it as has not failed before.
    void fail(Failure failure) override;
    // The process of a rank on this host is no more.
    void process_ended(int rank);
    const void* world() const { return world_; }
    bool of_all() const { return of_all_; }  // its ranks are the global ones
    // Random; the same on all ranks, and of this group alone.
    uint64_t number() const { return session_.group(); }
    // The words for a rank, by its global number, that this group knows to have ended.
    std::optional<std::string> ended(int global_rank) const;
    int epoll_fd() const { return session_.epoll_fd(); }
    Baton& baton() { return baton_; }
    // Whether small operations alone are under way, and somebody has posted one, or waited, since it was last
    // asked. Relaxed: only a hint.
    bool attended() { return large_.load(std::memory_order_relaxed) == 0 && has_work() && baton_.attended(); }

  private:
    Communicator(Engine& engine, const Settings& settings, Session::Parts parts);
    // Who looks while a group forms, see Rendezvous::watch().
    struct Watches {
        WhoEnded before_all_came;  // besides
        WhoEnded always;
    };
    static std::shared_ptr<Communicator> form_in_some_round(Engine& engine, Rendezvous& meeting,
                                                            const Watches& watches, const Settings& settings);
    static std::shared_ptr<Communicator> form(Engine& engine, Rendezvous& meeting, const Watches& watches,
                                              const Settings& settings);

    // Driven: what the baton works over.
    Step step() override;
    void look_up() override { session_.look_up(); }
    bool listen(Clock::time_point until) override { return session_.listen(until); }
    bool ready() const override;
    Clock::time_point wake_time() const override { return session_.wake_time(); }
    bool polls_on() override { return session_.polls_on(); }
    void doze() override { session_.doze(); }
    void awake() override { session_.awake(); }
    Left left() const override;
    bool has_work() const override;
    void arm() override;
    void call_back(const Finished& finished) override;

    // Session::Owner: what the session asks for.
    OperationPtr next_collective(uint64_t fails_from) override;
    OperationPtr next_message() override;
    void ended(const OperationPtr& operation) override { finish(operation, nullptr); }
    uint64_t fails_from() const override;
    std::string describe_timeout(const Operation& operation) const override;
    milliseconds timeout() const override;
    void kick() override;  // also of Driven
    void look_soon() override;

    // As Operation's, with the ranks' global numbers and the name of a group that is not of all ranks.
    std::string describe(const Operation& operation) const;

    OperationPtr queue(Arguments arguments, std::optional<milliseconds> timeout, Operation::OnDone on_done);
    uint64_t next_number();  // of a collective; with the lock of the queue

    // All of these with the baton in hand.
    // The number for what may begin without an operation, 0 for a message; nothing where it may not.
    std::optional<uint64_t> number_at_once(bool message);
    OperationPtr adopt(uint64_t number, const Arguments& arguments, std::optional<milliseconds> timeout,
                       Operation::OnDone on_done);
    bool move_on();  // true if anything moved
    void finish(const OperationPtr& operation, std::exception_ptr error);
    void flood();  // what has failed since the last time, to the neighbours on other hosts
    bool abandon_all();
    uint64_t oldest_number() const;  // of the oldest operation that is not done; kNone for none

    Failure reason(uint64_t operation) const;         // why it fails
    bool is_small(const Operation& operation) const;  // the others can do without this rank once it has begun
    bool may_go_at_once(const Arguments& arguments) const;
    bool polls_for_messages() const;
    void note_unwritten();
    bool only_small() const;  // all that there is to do are a few of them
    // As far as they get now; false if the progress thread must look at once.
    bool begin_small(std::span<const OperationPtr> posted);

    bool inherited() const { return fork_count() != forks_; }  // by a forked child, of its parent
    // Leaving (leave.cc). The baton that the first one returns is held until the last; there is none where
    // the group has been left.
    Baton::Lock begin_leaving();
    void close(Baton::Lock& baton);

    Engine& engine_;
    const Config config_;
    const void* const world_;
    const bool of_all_;
    std::string title_;  // "'pipeline' [2, 3]"; no list for a group of all ranks; see set_description()
    const int forks_;    // fork_count() of the process that the group belongs to
    CrossingMemory crossings_{};  // of a group of all ranks

    mutable std::mutex queue_mutex_;  // guards what follows
    std::deque<OperationPtr> queue_;
    std::deque<OperationPtr> message_queue_;
    uint64_t posted_ = 0;
    const char* caller_ = nullptr;  // the thread of the latest collective
    bool several_callers_ = false;  // it was not always the same
    milliseconds timeout_;
    Failures failures_;
    bool closed_ = false;

    // Operations from this number on fail; kNone while all is well.
    static constexpr uint64_t kNone = Failures::kNone;
    std::atomic<uint64_t> fails_from_{kNone};
    std::atomic<uint64_t> queued_{0};  // the sizes of the queues, to be read without their lock
    std::atomic<uint64_t> message_posts_{0};
    std::atomic<uint64_t> unfinished_{0};  // in the queue or under way, or their callbacks have not begun
    std::atomic<bool> unwritten_{false};   // there may be something to write that belongs to no operation
    std::atomic<uint64_t> large_{0};       // in the queue or under way, and not small

    mutable Baton baton_;            // whoever holds it drives, and alone touches what follows
    uint64_t flooded_from_ = kNone;  // the neighbours know that operations from here on fail
    Session session_;
};

}  // namespace ring
