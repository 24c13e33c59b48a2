// What a group does when it is driven (see baton.h): a step, a look at what is not urgent, a sleep in its
// epoll, on its sockets and on the doorbell that the ranks of its host ring. See communicator.h.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "ring/base/config.h"
#include "ring/base/error.h"
#include "ring/base/float_environment.h"
#include "ring/base/mismatch.h"
#include "ring/collectives/collectives.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"
#include "ring/fault/timeouts.h"

namespace ring {
namespace {

// After so many, each of which moves some chunks at most, whoever drives looks up.
constexpr int kPassesPerStep = 16;

}  // namespace

void Communicator::wait(const std::shared_ptr<Operation>& operation, std::optional<milliseconds> timeout) {
    if (!operation->done()) {
        if (inherited()) check_process(operation->describe());
        baton_.wait(*operation, timeout ? Clock::now() + *timeout : Clock::time_point::max());
        if (inherited()) check_process(operation->describe());  // a callback has forked this process
    }
    if (!operation->done())
        throw TimeoutError("waited in vain for " + describe(*operation) + ", which goes on");
    if (operation->error()) std::rethrow_exception(operation->error());
}

bool Communicator::has_work() const {
    return unfinished_.load(std::memory_order_acquire) > 0;  // pairs with post()
}

Left Communicator::left() const {
    if (!mailbox_.busy() && !has_work()) return Left::kNothing;
    return only_small() ? Left::kSmall : Left::kMore;
}

void Communicator::arm() {
    engine_.arm(this);
}

// ---- one step ----

Step Communicator::step() {
    if (move_on()) return Step::kMoved;
    return under_way() && !network_is_slow() ? Step::kPoll : Step::kSleep;
}

bool Communicator::move_on() {
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
        fail(watch_.mismatch(calls));
        return true;
    } catch (const DifferentPast& past) {
        fail(mismatch(past));
        return true;
    } catch (...) {
        fail(Failure::of(std::current_exception()));
        return true;
    }
    if (moved) watch_.moved();
    return moved;
}

uint64_t Communicator::next_number() const {
    if (busy()) return first().operation->number;
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
        watch_.entered(context.operation);
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
            watch_.lose(link->peer(), gone.what());
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
    while (busy() && first().strand->done() && !must_fail(*first().operation)) {
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
        baton_.defer({operation, error});
    } else {
        unfinished_.fetch_sub(1, std::memory_order_release);  // pairs with has_work()
    }
    operation->finish(std::move(error));
    baton_.ended();
}

void Communicator::call_back(const Finished& finished) {
    unfinished_.fetch_sub(1, std::memory_order_release);  // pairs with has_work()
    std::exchange(finished.operation->on_done, nullptr)(finished.error);
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

void Communicator::look_up() {
    watch_.look();
    check_message_deadlines();
    if (!busy() || !first().operation->deadline.passed()) return;
    fail({FailureKind::kTimeout, describe_timeout(*first().operation) + ": " + watch_.blame(), 0});
}

// ---- what the watch has to know ----

std::optional<Watched::Oldest> Communicator::oldest() const {
    if (!busy()) return std::nullopt;
    const Operation& operation = *first().operation;
    return Oldest{operation.number, operation.arguments.signature, operation.posted, operation.deadline.at()};
}

std::vector<int> Communicator::awaited() const {
    return busy() ? first().strand->awaited() : std::vector<int>{};
}

bool Communicator::oldest_is_ready() const {
    return busy() && first().strand->ready();
}

uint64_t Communicator::needs(int rank, uint64_t called) const {
    uint64_t from = kNone;
    for (const Link* link : links_)
        if (link->peer() == rank && link->busy()) from = std::min(from, link->operation());
    for (uint64_t piece = oldest_; piece != begun_; ++piece) {
        const Slot& one = slot(piece);
        const uint64_t number = one.operation->number;
        if (number >= from) break;
        const auto awaited = one.strand->awaited();
        if (called < number ||
            (!one.strand->ready() && std::find(awaited.begin(), awaited.end(), rank) != awaited.end()))
            from = number;
    }
    return from;
}

uint64_t Communicator::fails_from() const {
    return fails_from_.load(std::memory_order_acquire);  // pairs with fail()
}

void Communicator::look_again() {
    doorbell_->ring(doorbell_->name());
}

// ---- sleeping ----

Clock::time_point Communicator::wake_time() const {
    auto at = std::min(watch_.next(), next_message_event());
    if (under_way() && connections_.segment != nullptr && connections_.segment->hard_of_hearing())
        at = std::min(at, Clock::now() + kListenAgain);
    return busy() ? std::min(at, first().operation->deadline.at()) : at;
}

bool Communicator::network_is_slow() const {
    return mailbox_.slow() ||
           std::any_of(links_.begin(), links_.end(), [](const Link* link) { return link->slow(); });
}

bool Communicator::ready() const {
    const uint64_t fails_from = fails_from_.load(std::memory_order_acquire);  // pairs with fail()
    if (fails_from != kNone && next_number() >= fails_from) return under_way();
    if (connections_.segment != nullptr && connections_.segment->fails_from() < fails_from) return true;
    if (mailbox_.ready() || watch_.has_news()) return true;
    // What another thread of this process has posted meanwhile; for their order see post(). Acquire: pairs
    // with the watcher of open_mailbox().
    if (message_posts_.load(std::memory_order_seq_cst) > 0 || can_start() ||
        visitors_.load(std::memory_order_acquire))
        return true;
    for (uint64_t piece = oldest_; piece != begun_; ++piece)
        if (slot(piece).strand->ready() && !must_fail(*slot(piece).operation)) return true;
    return false;
}

void Communicator::doze() {
    if (connections_.segment != nullptr && under_way()) connections_.segment->sleep_begin();
}

void Communicator::awake() {
    if (connections_.segment != nullptr) connections_.segment->sleep_end();
}

bool Communicator::listen(Clock::time_point until) {
    std::array<epoll_event, 16> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), Deadline(until).poll_ms());
    for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == doorbell_->fd()) doorbell_->drain();
        if (const auto peer = message_peers_.find(events[i].data.fd); peer != message_peers_.end())
            mailbox_.mark_readable(peer->second);
    }
    if (count > 0) watch_.read_controls();
    return count > 0;
}

}  // namespace ring
