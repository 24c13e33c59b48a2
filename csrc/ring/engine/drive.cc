// How a group is driven: by the thread that waits for an operation, else by the engine's progress thread.
//
// Whoever holds drive_mutex_ drives. A waiter takes it from the progress thread, which gives way as soon as
// it sees that somebody waits. A driver that finds nothing to do spins for a moment and then sleeps in the
// group's epoll: on its sockets, and on the doorbell that the ranks of its host ring.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/float_environment.h"
#include "ring/base/interrupt.h"
#include "ring/base/mismatch.h"
#include "ring/collectives/collectives.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"
#include "ring/engine/spinner.h"

namespace ring {
namespace {

// How long a rank waits before it tells the others how far it is.
constexpr milliseconds kBeatAfter{1000};
// How long a waiter that does not drive sleeps at most.
constexpr milliseconds kFollow{1};
// How often a rank looks whose doorbell may not be rung; see Segment::hard_of_hearing().
constexpr milliseconds kListenAgain{1};
// What is known of a rank whose death this rank has not seen itself.
const char* const kLost = "other ranks have lost it";
// How long the progress thread stays with a group that is at work, before it looks at the others.
constexpr milliseconds kTurn{1};
// After so many, each of which moves some chunks at most, whoever drives looks up.
constexpr int kPassesPerStep = 16;

// How often a waiter that never sleeps looks at what the kernel tells of.
constexpr milliseconds kLookEvery{20};

// The group in whose wait() this thread is, if it is in one.
thread_local const Communicator* waits_in = nullptr;

}  // namespace

// ---- drivers ----

void Communicator::wait(const std::shared_ptr<Operation>& operation, std::optional<milliseconds> timeout) {
    std::exception_ptr interruption;
    if (!operation->done()) {
        if (inherited()) check_process(operation->describe());
        const auto limit = timeout ? Clock::now() + *timeout : Clock::time_point::max();
        // Asks the progress thread to give way soon; for its order see post().
        waiters_.fetch_add(1, std::memory_order_seq_cst);
        attended_.store(true, std::memory_order_relaxed);  // see attended()
        const Communicator* const outer = std::exchange(waits_in, this);
        Lock lock(drive_mutex_, std::defer_lock);
        Spinner spinner(spin_us_, pauses_);
        Interrupts interrupts;
        while (!operation->done()) {
            const auto now = Clock::now();
            if (now >= limit) break;
            const auto until = std::min(limit, interrupts.next(now));
            if (now >= until) {
                if (lock.owns_lock()) release(lock);
                const Foreign foreign(*this);  // a signal's handler, which may use the group
                try {
                    interrupts.check();
                } catch (...) {
                    interruption = std::current_exception();
                    break;
                }
            }
            if (!lock.owns_lock()) {
                follow(*operation, lock, until);
                if (!lock.owns_lock()) continue;
                if (connections_.segment != nullptr)
                    connections_.segment->sleep_end();  // the progress thread may have slept
                spinner.reset();
            }
            if (acceptor_ != nullptr && now >= look_at_) {
                // Whoever finds what it waits for before it would sleep hears of all else here.
                look_at_ = now + kLookEvery;
                handle_events(0);
            }
            if (step()) {
                spinner.reset();
            } else if (finished_.empty() && (network_is_slow() || !spinner.again())) {
                check_deadline();
                sleep(until);
            }
            if (!finished_.empty()) run_callbacks(lock);
            if (inherited()) check_process(operation->describe());  // a callback has forked this process
        }
        waits_in = outer;
        waiters_.fetch_sub(1, std::memory_order_relaxed);
        bool more = false;
        bool small = false;
        if (lock.owns_lock()) {
            more = mailbox_.busy();
            small = only_small();
            release(lock);
        }
        if (more || has_work()) leave_to_engine(small);
    }
    if (interruption) std::rethrow_exception(interruption);
    if (!operation->done())
        throw TimeoutError("waited in vain for " + describe(*operation) + ", which goes on");
    if (operation->error()) std::rethrow_exception(operation->error());
}

Communicator::Foreign::Foreign(Communicator& group) : group_(group), waiter_(waits_in == &group) {
    if (waiter_) {
        waits_in = nullptr;
        group_.waiters_.fetch_sub(1, std::memory_order_relaxed);  // as at the end of wait()
        if (group_.has_work()) group_.engine_.kick();
    }
    group_.engine_.foreign_begin();
}

Communicator::Foreign::~Foreign() {
    if (group_.inherited()) return;
    group_.engine_.foreign_end();
    if (waiter_) {
        group_.waiters_.fetch_add(1, std::memory_order_seq_cst);  // as in wait()
        waits_in = &group_;
    }
}

void Communicator::follow(const Operation& operation, Lock& lock, Clock::time_point limit) {
    if (lock.try_lock()) return;
    // Sequentially consistent: either whoever drives sees this follower, or it sees the lock free.
    followers_.fetch_add(1, std::memory_order_seq_cst);
    std::unique_lock waiting(follow_mutex_);
    // It may miss the end of the operation by a moment, so it looks again soon.
    while (!operation.done() && Clock::now() < limit && !lock.try_lock())
        followed_.wait_for(waiting, kFollow);
    followers_.fetch_sub(1, std::memory_order_relaxed);
}

void Communicator::release(Lock& lock) {
    lock.unlock();
    if (followers_.load(std::memory_order_seq_cst) == 0) return;  // pairs with follow()
    const std::lock_guard waiting(follow_mutex_);
    followed_.notify_all();
}

Communicator::Served Communicator::serve() {
    const bool armed = armed_.load(std::memory_order_acquire);  // pairs with woken()
    // Relaxed, here and below: a waiter that comes late takes the lock all the same.
    if (waiters_.load(std::memory_order_relaxed) > 0) return armed ? Served::kArmed : Served::kTaken;
    if (armed && !has_work() && Clock::now() < next_deadline()) return Served::kArmed;
    Lock lock(drive_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return Served::kTaken;
    Spinner spinner(spin_us_, pauses_);
    Segment* const segment = connections_.segment.get();
    const Deadline turn = Deadline::after(kTurn);
    while (waiters_.load(std::memory_order_relaxed) == 0 && engine_.leads()) {
        bool next_turn = false;
        if (step()) {
            spinner.reset();
            next_turn = turn.passed();
        } else if (under_way() && !network_is_slow() && spinner.again()) {
            continue;
        } else {
            check_deadline();
            // What has come meanwhile is not announced again: look at it before waiting to be woken.
            if (handle_events(0)) continue;
            if (segment != nullptr && under_way()) segment->sleep_begin();
            if (nothing_to_wait_for()) {
                if (segment != nullptr) segment->sleep_end();
                next_turn = turn.passed();
            } else if (finished_.empty()) {
                release(lock);
                arm();
                return Served::kArmed;
            }
        }
        if (!finished_.empty()) run_callbacks(lock);
        if (!lock.owns_lock()) return Served::kTaken;
        if (next_turn) {
            release(lock);
            return Served::kAtWork;
        }
    }
    release(lock);
    return Served::kTaken;
}

Clock::time_point Communicator::next_deadline() const {
    if (waiters_.load(std::memory_order_relaxed) > 0)
        return Clock::time_point::max();  // they look themselves
    Lock lock(drive_mutex_, std::try_to_lock);
    return lock.owns_lock() ? wake_time() : Clock::now() + ProgressTable::kShareEvery;
}

bool Communicator::has_work() const {
    return unfinished_.load(std::memory_order_acquire) > 0;  // pairs with post()
}

void Communicator::arm() {
    armed_.store(true, std::memory_order_relaxed);  // see serve()
    engine_.arm(this);
}

// ---- one step ----

bool Communicator::step() {
    if (connections_.segment != nullptr &&
        connections_.segment->fails_from() < fails_from_.load(std::memory_order_relaxed))  // read again below
        for (Failure& failure : connections_.segment->failures()) fail(std::move(failure));
    const uint64_t fails_from = fails_from_.load(std::memory_order_acquire);  // pairs with fail()
    if (fails_from != kNone) {
        if (fails_from < flooded_from_) flood();
        const uint64_t next = next_number();
        if (next >= fails_from) {
            abandon_all();
            return next != kNone;
        }
    }
    const FloatEnvironment ours;  // for all reductions, which run in here
    bool moved = false;
    try {
        bool again = true;
        for (int pass = 0; again && pass < kPassesPerStep; ++pass) {
            again = start_next();
            again = progress_links() || again;
            again = progress_messages() || again;
            again = advance_pieces() || again;
            again = retire_pieces() || again;
            moved = moved || again;
        }
    } catch (const DifferentCalls& calls) {
        fail(mismatch(calls));
        return true;
    } catch (const DifferentPast& past) {
        fail(mismatch(past));
        return true;
    } catch (...) {
        fail(Failure::of(std::current_exception()));
        return true;
    }
    if (moved && !deaths_.empty()) last_moved_ = Clock::now();
    return moved;
}

uint64_t Communicator::next_number() const {
    if (busy()) return oldest().operation->number;
    if (cut_.operation != nullptr) return cut_.operation->number;
    const std::lock_guard lock(queue_mutex_);
    return queue_.empty() ? kNone : queue_.front()->number;
}

bool Communicator::must_fail(const Operation& operation) const {
    return operation.number >= fails_from_.load(std::memory_order_acquire);  // pairs with fail()
}

bool Communicator::can_start() const {
    if (begun_ - oldest_ == kInFlight) return false;
    if (cut_.operation != nullptr) return !must_fail(*cut_.operation);
    if (queued_.load(std::memory_order_seq_cst) == 0) return false;  // for its order see post()
    const std::lock_guard lock(queue_mutex_);
    return !queue_.empty() && !must_fail(*queue_.front());
}

bool Communicator::start_next() {
    if (begun_ - oldest_ == kInFlight) return false;
    if (cut_.operation == nullptr) {
        if (queued_.load(std::memory_order_acquire) == 0) return false;  // pairs with post()
        const std::lock_guard lock(queue_mutex_);
        if (queue_.empty() || must_fail(*queue_.front())) return false;
        cut_ = {.operation = std::move(queue_.front())};
        queue_.pop_front();
        queued_.store(queue_.size(), std::memory_order_relaxed);  // posters change it under the lock
    }
    if (must_fail(*cut_.operation)) return false;
    Slot& next = slot(begun_);
    Context& context = next.context;
    next.operation = cut_.operation;
    context.number = begun_;
    context.operation = next.operation->number;
    context.arguments = &next.operation->arguments;
    context.lanes_passed = 0;
    if (cut_.next == 0) {
        progress_.enter(context.operation);
        cut_.plan = &tuning_.plan(context.signature());
        context.plan = cut_.plan;
        cut_.pieces = count_pieces(context);
        cut_.history = history_;
        history_ = with_call(history_, context.signature());
    }
    context.history = cut_.history;
    context.plan = cut_.plan;
    context.piece = cut_.next++;
    context.pieces = cut_.pieces;
    if (cut_.next == cut_.pieces) cut_.operation = nullptr;
    next.strand.emplace(run_collective(context));
    ++begun_;
    return true;
}

bool Communicator::progress_links() {
    bool moved = false;
    for (Link* link : links_) {
        if (!link->busy()) continue;
        try {
            moved = link->progress() || moved;
        } catch (const PeerGone& gone) {
            if (const auto dead = deaths_.find(link->peer()); dead != deaths_.end()) {
                dead->second.drained = true;
            } else if (!suspect_) {
                suspect_ = Suspect{link->peer(), gone.what(), Clock::now() + kExplain};
            }
        }
    }
    return moved;
}

bool Communicator::advance_pieces() {
    bool moved = false;
    for (uint64_t piece = oldest_; piece != begun_; ++piece) {
        Slot& one = slot(piece);
        // One that failed stays as it is, while older ones end.
        if (!one.strand->done() && !must_fail(*one.operation)) moved = one.strand->advance() || moved;
    }
    return moved;
}

bool Communicator::retire_pieces() {
    bool retired = false;
    // In order: the last lane is passed in order, so that a later one cannot have ended before.
    while (busy() && oldest().strand->done() && !must_fail(*oldest().operation)) {
        Slot& one = slot(oldest_);
        one.strand.reset();
        one.context.scratch.release(0);
        const auto operation = std::exchange(one.operation, nullptr);
        const bool last = one.context.piece + 1 == one.context.pieces;
        ++oldest_;
        if (last) {
            finish(operation, nullptr);
            mailbox_.end_of(operation->number, operation->arguments.signature);
        }
        retired = true;
    }
    return retired;
}

void Communicator::finish(const std::shared_ptr<Operation>& operation, std::exception_ptr error) {
    if (!operation->small) large_.fetch_sub(1, std::memory_order_relaxed);  // as in post()
    if (operation->on_done) {
        finished_.emplace_back(operation, error);
    } else {
        unfinished_.fetch_sub(1, std::memory_order_release);  // pairs with has_work()
    }
    operation->finish(std::move(error));
    // Relaxed: a follower that is missed looks again by itself.
    if (followers_.load(std::memory_order_relaxed) == 0) return;
    const std::lock_guard waiting(follow_mutex_);
    followed_.notify_all();
}

void Communicator::run_callbacks(Lock& lock) {
    // One by one: while one waits for something, whoever drives then runs the others.
    while (!finished_.empty()) {
        const auto [operation, error] = std::move(finished_.front());
        finished_.pop_front();
        lock.unlock();
        call_back(operation, error);
        if (inherited()) return;
        // Whoever drives by now may do so for long, and this thread may have what it waited for.
        if (!lock.try_lock()) return;
    }
}

void Communicator::call_back(const std::shared_ptr<Operation>& operation, const std::exception_ptr& error) {
    unfinished_.fetch_sub(1, std::memory_order_release);  // pairs with has_work()
    std::exchange(operation->on_done, nullptr)(error);
}

// ---- failures ----

void Communicator::flood() {
    std::vector<Failure> news;
    {
        const std::lock_guard lock(queue_mutex_);
        for (const Failure& failure : failures_.all())
            if (failure.operation < flooded_from_) news.push_back(failure);
        flooded_from_ = failures_.from();
    }
    for (const Failure& failure : news)
        for (const auto& control : connections_.controls)
            control->send(Control::Type::kFailure, encode(failure));
}

void Communicator::abandon_all() {
    if (connections_.segment != nullptr) connections_.segment->withdraw();
    for (Link* link : links_) link->abort();
    mailbox_.abort();
    calls_.clear();
    std::deque<std::shared_ptr<Operation>> abandoned;
    for (; busy(); ++oldest_) {
        Slot& one = slot(oldest_);
        one.strand.reset();
        one.context.scratch.release(0);
        if (abandoned.empty() || abandoned.back() != one.operation) abandoned.push_back(one.operation);
        one.operation = nullptr;
    }
    if (cut_.operation != nullptr) {
        if (abandoned.empty() || abandoned.back() != cut_.operation) abandoned.push_back(cut_.operation);
        cut_.operation = nullptr;
    }
    for (const Message& message : messages_) abandoned.push_back(message.operation);
    messages_.clear();
    {
        const std::lock_guard lock(queue_mutex_);
        abandoned.insert(abandoned.end(), queue_.begin(), queue_.end());
        abandoned.insert(abandoned.end(), message_queue_.begin(), message_queue_.end());
        queue_.clear();
        message_queue_.clear();
        queued_.store(0, std::memory_order_relaxed);  // as in start_next()
        message_posts_.store(0, std::memory_order_relaxed);
    }
    for (const auto& operation : abandoned)
        finish(operation, reason(operation->number).exception(describe(*operation)));
}

void Communicator::check_deadline() {
    explain_suspect();
    const auto now = Clock::now();
    progress_.share(connections_.controls, now);  // what was heard, also by one that waits for nothing
    if (connections_.segment != nullptr && connections_.segment->anyone_departed())
        for (const int rank : layout_.host_ranks())
            if (rank != layout_.rank() && connections_.segment->departed(layout_.local_index(rank)))
                progress_.depart(rank);
    for (const int rank : progress_.hear_host())
        if (!layout_.same_host(rank, layout_.rank())) note_death(rank, kLost);
    check_message_deadlines();
    check_message_peers();
    check_deaths();
    if (!busy()) return check_mismatch();
    check_departures();
    const auto awaited = oldest().strand->awaited();
    if (now >= first_beat()) {
        const Signature& called = oldest().operation->arguments.signature;
        progress_.beat(awaited.empty() ? -1 : awaited.front(), oldest().operation->number, called, now);
        progress_.share(connections_.controls, now);
    }
    check_mismatch();
    const Operation& operation = *oldest().operation;
    if (!operation.deadline.passed()) return;
    const auto patience = first_beat() - operation.posted;
    const std::string why = progress_.blame(
        operation.number, awaited, patience, [this](int rank) { return layout_.describe(rank); },
        [this](int a, int b) { return layout_.same_host(a, b); });
    fail({FailureKind::kTimeout, describe_timeout(operation) + ": " + why, 0});
}

void Communicator::explain_suspect() {
    if (!suspect_) return;
    const std::string who = layout_.describe(suspect_->rank);
    const bool left = std::any_of(
        connections_.controls.begin(), connections_.controls.end(),
        [&](const auto& control) { return control->peer() == suspect_->rank && control->said_goodbye(); });
    if (!left && Clock::now() < suspect_->until) return;
    // All that it sent has been received meanwhile; the rest is of interest to who needs more.
    if (const auto from = needs(suspect_->rank))
        fail({FailureKind::kPeer,
              left ? describe_leaving(suspect_->rank) : who + " is gone: " + suspect_->why, *from});
    suspect_.reset();  // told once: telling rings the doorbell, which leads here again
}

void Communicator::check_departures() {
    const Segment* const segment = connections_.segment.get();
    if (segment == nullptr || !segment->anyone_departed() || oldest().strand->ready()) return;
    const auto& local = layout_.host_ranks();
    for (const int rank : oldest().strand->awaited())
        for (size_t l = 0; l < local.size(); ++l) {
            if (local[l] != rank || !segment->departed(static_cast<int>(l)) || oldest().strand->ready())
                continue;
            if (seen_leaving_ == rank) {
                fail({FailureKind::kPeer, describe_leaving(rank), oldest().operation->number});
            } else {
                // What it sent before it left may still lie in a channel: it leads here again, after a step.
                seen_leaving_ = rank;
                doorbell_->ring(doorbell_->name());
            }
            return;
        }
}

bool Communicator::heed(const Control::Message& message) {
    if (message.type == Control::Type::kFailure) {
        auto failure = decode_failure(message.payload);
        if (failure) fail(std::move(*failure));
        return failure.has_value();
    }
    if (message.type != Control::Type::kProgress) return true;
    const auto progress = decode_progress(message.payload);
    return progress && std::all_of(progress->begin(), progress->end(), [this](const CallProgress& one) {
               if (!progress_.merge(one)) return false;
               if (one.departed == CallProgress::kDied) note_death(one.rank, kLost);
               return true;
           });
}

void Communicator::read_controls() {
    for (const auto& control : connections_.controls) {
        if (control->closed()) continue;
        control->flush();
        for (const auto& message : control->receive())
            if (!heed(message))
                fail({FailureKind::kInternal,
                      layout_.describe(control->peer()) + " sent a control message that makes no sense: "
                                                          "torch_ring is broken, please report it",
                      0});
        if (control->said_goodbye()) progress_.depart(control->peer());
        // A rank may leave in good order while others still work: only who needs it fails, in
        // explain_suspect().
        if (control->closed() && !control->said_goodbye()) note_death(control->peer(), control->why_closed());
    }
    explain_suspect();
}

// ---- sleeping ----

Clock::time_point Communicator::first_beat() const {
    const auto allowed = oldest().operation->deadline.at() - oldest().operation->posted;
    return oldest().operation->posted + std::min<Clock::duration>(kBeatAfter, allowed / 4);
}

Clock::time_point Communicator::wake_time() const {
    auto at = std::min({suspect_ ? suspect_->until : Clock::time_point::max(), progress_.next_share(),
                        next_message_event(), next_verdict()});
    if (under_way() && connections_.segment != nullptr && connections_.segment->hard_of_hearing())
        at = std::min(at, Clock::now() + kListenAgain);
    if (!busy()) return at;
    return std::min({at, oldest().operation->deadline.at(), std::max(first_beat(), progress_.next_beat())});
}

bool Communicator::network_is_slow() const {
    return mailbox_.slow() ||
           std::any_of(links_.begin(), links_.end(), [](const Link* link) { return link->slow(); });
}

bool Communicator::nothing_to_wait_for() const {
    const uint64_t fails_from = fails_from_.load(std::memory_order_acquire);  // pairs with fail()
    if (fails_from != kNone && next_number() >= fails_from) return under_way();
    if (connections_.segment != nullptr && connections_.segment->fails_from() < fails_from) return true;
    if (mailbox_.ready() || progress_.host_has_news()) return true;
    // What another thread of this process has posted meanwhile; for their order see post(). Acquire: pairs
    // with the watcher of open_mailbox().
    if (message_posts_.load(std::memory_order_seq_cst) > 0 || can_start() ||
        visitors_.load(std::memory_order_acquire))
        return true;
    for (uint64_t piece = oldest_; piece != begun_; ++piece)
        if (slot(piece).strand->ready() && !must_fail(*slot(piece).operation)) return true;
    return false;
}

void Communicator::sleep(Clock::time_point until) {
    Segment* const segment = connections_.segment.get();
    asleep_.store(true, std::memory_order_seq_cst);  // for its order see post()
    if (segment != nullptr) segment->sleep_begin();
    const int timeout = nothing_to_wait_for() ? 0 : Deadline(std::min(until, wake_time())).poll_ms();
    handle_events(timeout);
    if (segment != nullptr) segment->sleep_end();
    asleep_.store(false, std::memory_order_relaxed);  // a ring that comes late only costs an event
}

bool Communicator::handle_events(int timeout_ms) {
    std::array<epoll_event, 16> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms);
    for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == doorbell_->fd()) doorbell_->drain();
        if (const auto peer = message_peers_.find(events[i].data.fd); peer != message_peers_.end())
            mailbox_.mark_readable(peer->second);
    }
    if (count > 0) read_controls();
    return count > 0;
}

}  // namespace ring
