// A group in use: what is posted to it, how it is driven, how it fails. See communicator.h; how it is formed
// is in forming.cc, how it is left in leave.cc.
#include "ring/engine/communicator.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "ring/base/error.h"
#include "ring/base/log.h"
#include "ring/base/process.h"
#include "ring/collectives/collectives.h"
#include "ring/engine/engine.h"

namespace ring {
namespace {

// Its address tells threads apart.
thread_local const char this_thread = 0;
// Of a mismatch.
constexpr const char* kSeveralCallers =
    " several threads share this group, and other ranks may run theirs in another order: give each thread a "
    "group of its own";

// Where all that a rank waits for is made by the ranks that it yields to, a turn of each of them is worth
// waiting for: going to sleep and being woken costs them more.
constexpr int kYieldLonger = 4;
// See spinner.h. Inside a host whose cores suffice it never yields.
constexpr unsigned kPausesInHost = std::numeric_limits<unsigned>::max();
constexpr unsigned kPausesBetweenHosts = 6;

int spin_us(const Config& config, const Session::Parts& parts) {
    return config.spin_us * (parts.layout.crowded() && parts.layout.cells() == 1 ? kYieldLonger : 1);
}

unsigned pauses(const Session::Parts& parts) {
    if (parts.layout.crowded()) return 0;
    return parts.layout.cells() == 1 ? kPausesInHost : kPausesBetweenHosts;
}

// Longer lists are cut.
constexpr size_t kListed = 16;

// What to call a group that is not of all ranks, in messages.
std::string title_of(Engine& engine, const Communicator::Settings& settings) {
    const auto& ranks = settings.global_ranks;
    if (ranks.empty()) return "";
    const auto whole = engine.whole(settings.world);
    if (whole && whole->layout().size() == settings.size && std::is_sorted(ranks.begin(), ranks.end()))
        return "";
    std::string text;
    for (size_t r = 0; r < std::min(ranks.size(), kListed); ++r)
        text += (r == 0 ? "" : ", ") + std::to_string(ranks[r]);
    return "[" + text + (ranks.size() > kListed ? ", ...]" : "]");
}

}  // namespace

Communicator::Communicator(Engine& engine, const Settings& settings, Session::Parts parts)
    : engine_(engine),
      config_(settings.config),
      world_(settings.world),
      of_all_(settings.global_ranks.empty()),
      title_(title_of(engine, settings)),
      forks_(fork_count()),
      timeout_(settings.timeout),
      baton_(*this, engine, spin_us(config_, parts), pauses(parts)),
      session_(*this, config_, std::move(parts)) {}

Communicator::~Communicator() {
    shutdown();
}

void Communicator::check_process(const std::string& what) const {
    if (inherited())
        throw ConfigError(
            what + ": the group belongs to the parent of this forked process; make a group of its own");
}

milliseconds Communicator::timeout() const {
    const std::lock_guard lock(queue_mutex_);
    return timeout_;
}

void Communicator::set_timeout(milliseconds timeout) {
    check_process("setting the timeout");
    const std::lock_guard lock(queue_mutex_);
    timeout_ = timeout;
}

void Communicator::check(const Arguments& arguments) const {
    check_arguments(arguments, layout().rank(), layout().size());
    if (inherited()) check_process(ring::describe(arguments.signature));
}

OperationPtr Communicator::post(Arguments arguments, std::optional<milliseconds> timeout,
                                Operation::OnDone on_done) {
    check(arguments);
    return queue(std::move(arguments), timeout, std::move(on_done));
}

uint64_t Communicator::next_number() {
    if (caller_ != &this_thread && std::exchange(caller_, &this_thread) != nullptr) several_callers_ = true;
    return ++posted_;
}

OperationPtr Communicator::queue(Arguments arguments, std::optional<milliseconds> timeout,
                                 Operation::OnDone on_done) {
    if (arguments.signature.uneven != 0) arguments.signature.root = digest_of(arguments.output_counts);
    const bool message = traits_of(arguments.signature.kind).message;
    OperationPtr operation;
    std::exception_ptr refused;
    std::optional<Failure> reaches_back;
    {
        const std::lock_guard lock(queue_mutex_);
        operation = std::make_shared<Operation>(std::move(arguments), last_tick(), timeout.value_or(timeout_),
                                                std::move(on_done));
        if (!message) operation->number = next_number();
        operation->small = is_small(*operation);
        if (closed_) {
            refused =
                Failure{FailureKind::kAborted, "the group was shut down"}.exception(describe(*operation));
        } else if (const Failure* failure = failures_.of(operation->number)) {
            refused = failure->exception(describe(*operation));
            // Others may wait in it for this rank, and need not fail of what has failed so far.
            if (!message && operation->number < failures_.from())
                reaches_back = Failure{failure->kind, failure->text, operation->number};
        } else {
            if (!operation->small) large_.fetch_add(1, std::memory_order_relaxed);  // only a hint
            if (message) {
                message_queue_.push_back(operation);
                message_posts_.store(message_queue_.size(), std::memory_order_seq_cst);
            } else {
                queue_.push_back(operation);
                queued_.store(queue_.size(), std::memory_order_seq_cst);
            }
            unfinished_.fetch_add(1, std::memory_order_release);  // pairs with has_work()
        }
    }
    if (reaches_back) fail(std::move(*reaches_back));
    if (refused) {
        operation->finish(refused);
        if (operation->on_done) std::exchange(operation->on_done, nullptr)(refused);
    } else if (baton_.sleeps()) {
        session_.ring();
    }
    return operation;
}

void Communicator::hand_over(std::span<const OperationPtr> posted) {
    if (inherited()) return;  // post() has refused them
    if (!begin_small(posted)) kick();
}

// ---- driving ----

void Communicator::wait(const OperationPtr& operation, std::optional<milliseconds> timeout) {
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
    // Acquire: pair with post() and with note_unwritten().
    return unfinished_.load(std::memory_order_acquire) > 0 || unwritten_.load(std::memory_order_acquire);
}

Left Communicator::left() const {
    if (!session_.sends() && !has_work()) return Left::kNothing;
    return only_small() ? Left::kSmall : Left::kMore;
}

void Communicator::arm() {
    engine_.arm(this);
}

void Communicator::kick() {
    engine_.kick(this);
}

void Communicator::look_soon() {
    engine_.look_soon(this);
}

Step Communicator::step() {
    if (move_on()) return Step::kMoved;
    return session_.under_way() && !session_.slow() ? Step::kPoll : Step::kSleep;
}

bool Communicator::move_on() {
    if (session_.has_failures(fails_from_.load(std::memory_order_relaxed)))  // read again below
        for (Failure& failure : session_.failures()) fail(std::move(failure));
    const uint64_t from = fails_from();
    const uint64_t oldest = from == kNone ? kNone : oldest_number();
    if (from < flooded_from_) flood();
    bool moved = false;
    if (from != kNone && oldest >= from) {
        moved = abandon_all();
    } else {
        moved = session_.step();
    }
    note_unwritten();
    return moved;
}

bool Communicator::ready() const {
    const uint64_t from = fails_from();
    if (from != kNone && oldest_number() >= from) return session_.under_way();
    if (session_.has_failures(from) || session_.ready()) return true;
    // What another thread of this process has posted meanwhile; for their order see Baton::sleeps().
    if (message_posts_.load(std::memory_order_seq_cst) > 0) return true;
    if (!session_.takes() || queued_.load(std::memory_order_seq_cst) == 0) return false;
    const std::lock_guard lock(queue_mutex_);
    return !queue_.empty() && queue_.front()->number < from;
}

OperationPtr Communicator::next_collective(uint64_t fails_from) {
    if (queued_.load(std::memory_order_acquire) == 0) return nullptr;  // pairs with post()
    const std::lock_guard lock(queue_mutex_);
    if (queue_.empty() || queue_.front()->number >= fails_from) return nullptr;
    OperationPtr operation = std::move(queue_.front());
    queue_.pop_front();
    queued_.store(queue_.size(), std::memory_order_relaxed);  // posters change it under the lock
    return operation;
}

OperationPtr Communicator::next_message() {
    // Most groups never send a message: the rest must cost them nothing.
    if (message_posts_.load(std::memory_order_acquire) == 0) return nullptr;  // pairs with post()
    const std::lock_guard lock(queue_mutex_);
    if (message_queue_.empty()) return nullptr;
    OperationPtr operation = std::move(message_queue_.front());
    message_queue_.pop_front();
    message_posts_.store(message_queue_.size(), std::memory_order_relaxed);  // as in next_collective()
    return operation;
}

void Communicator::finish(const OperationPtr& operation, std::exception_ptr error) {
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

// ---- failing ----

uint64_t Communicator::oldest_number() const {
    const uint64_t under_way = session_.oldest_number();
    if (under_way != kNone) return under_way;
    const std::lock_guard lock(queue_mutex_);
    return queue_.empty() ? kNone : queue_.front()->number;
}

uint64_t Communicator::fails_from() const {
    return fails_from_.load(std::memory_order_acquire);  // pairs with fail()
}

void Communicator::flood() {
    std::vector<Failure> news;
    {
        const std::lock_guard lock(queue_mutex_);
        for (const Failure& failure : failures_.all())
            if (failure.operation < flooded_from_) news.push_back(failure);
        flooded_from_ = failures_.from();
    }
    for (const Failure& failure : news) session_.tell(failure);
}

bool Communicator::abandon_all() {
    std::vector<OperationPtr> abandoned = session_.abandon();
    {
        const std::lock_guard lock(queue_mutex_);
        abandoned.insert(abandoned.end(), queue_.begin(), queue_.end());
        abandoned.insert(abandoned.end(), message_queue_.begin(), message_queue_.end());
        queue_.clear();
        message_queue_.clear();
        queued_.store(0, std::memory_order_relaxed);  // as in next_collective()
        message_posts_.store(0, std::memory_order_relaxed);
    }
    for (const auto& operation : abandoned)
        finish(operation, reason(operation->number).exception(describe(*operation)));
    return !abandoned.empty();
}

void Communicator::abort(const std::string& why) {
    fail({FailureKind::kAborted, layout().name(layout().rank()) + " aborted the group: " + why, 0});
}

void Communicator::fail(Failure failure) {
    if (inherited()) return;
    {
        const std::lock_guard lock(queue_mutex_);
        if (closed_ || failure.operation >= failures_.from()) return;
        if (failure.kind == FailureKind::kMismatch && several_callers_ &&
            failure.text.find(kSeveralCallers) == std::string::npos)
            failure.text += ". On " + layout().name(layout().rank()) + kSeveralCallers;
        // What was posted before comes first, so that the ranks of the host tell the same story.
        session_.post(failure);
        std::vector<Failure> told = session_.failures();
        told.push_back(std::move(failure));
        for (Failure& one : told) {
            if (!failures_.add(one)) continue;
            log(LogLevel::kInfo, layout().name(layout().rank()) + ": the group " + title_ +
                                     (title_.empty() ? "" : " ") + "failed: " + one.text);
        }
        fails_from_.store(failures_.from(), std::memory_order_release);  // pairs with step()
    }
    session_.ring();  // a waiter of this process may sleep
    kick();
}

std::optional<std::string> Communicator::ended(int global_rank) const {
    for (int rank = 0; rank < layout().size(); ++rank) {
        if (layout().global_rank(rank) != global_rank || rank == layout().rank()) continue;
        const std::string who = layout().describe(rank) + " died: ";
        const Member& member = layout().member(rank);
        if (layout().same_host(rank, layout().rank()) && ring::process_ended(member.pid, member.process))
            return who + "its process ended";
        // Who asks asks again; nobody holds the lock for long where there is nothing to do.
        if (const Baton::Lock baton = baton_.try_take(); baton.owns_lock())
            if (const auto why = session_.death_of(rank)) return who + *why;
        // A neighbour of the dead may have said so to all that waited for it.
        if (const auto known = failure(); known && known->text.starts_with(who)) return known->text;
    }
    return std::nullopt;
}

void Communicator::process_ended(int rank) {
    session_.process_ended(rank);
    kick();
}

void Communicator::set_description(const std::string& text) {
    const std::lock_guard lock(queue_mutex_);  // fail() may be telling of a death
    title_ = "'" + text + "'" + (title_.empty() ? "" : " ") + title_;
}

Failure Communicator::reason(uint64_t operation) const {
    const std::lock_guard lock(queue_mutex_);
    if (const Failure* failure = failures_.of(operation)) return *failure;
    return {FailureKind::kAborted, "the group was shut down", 0};
}

std::string Communicator::describe(const Operation& operation) const {
    return operation.describe(session_.renamed(operation.arguments.signature)) +
           (title_.empty() ? "" : " of the group " + title_);
}

std::string Communicator::describe_timeout(const Operation& operation) const {
    return describe(operation) + " did not end within its timeout of " +
           std::to_string(operation.timeout.count()) + " ms on " + layout().name(layout().rank());
}

std::optional<Failure> Communicator::failure() const {
    if (inherited())
        return Failure{FailureKind::kAborted, "the group belongs to the parent of this forked process", 0};
    const std::lock_guard lock(queue_mutex_);
    if (const Failure* first = failures_.first()) return *first;
    if (closed_) return Failure{FailureKind::kAborted, "the group was shut down", 0};
    return std::nullopt;
}

uint64_t Communicator::operations_posted() const {
    if (inherited()) return posted_;  // nobody else is here who would change it
    const std::lock_guard lock(queue_mutex_);
    return posted_;
}

}  // namespace ring
