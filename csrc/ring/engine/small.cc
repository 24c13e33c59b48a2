// Small operations go in the thread that posts them, as far as they get: a message that is eager, and a
// collective of which the others need no more than that this rank has entered it. One that its caller waits
// for needs no operation even, where nothing else is to be done, nor does a message. See communicator.h.
#include <algorithm>

#include "ring/collectives/host/one_shot.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"

namespace ring {
namespace {

// How often begin() polls for the others before it makes an operation of the call. Some microseconds: one
// that waits for longer loses nothing by having an operation, and wait() polls anew, before it sleeps.
constexpr int kPolls = 64;
// Among so few operations it costs nothing to look at each.
constexpr size_t kFew = 16;

}  // namespace

bool Communicator::is_small(const Operation& operation) const {
    const Signature& called = operation.arguments.signature;
    if (operation.number > 0) return may_be_host_one_shot(layout(), config_, operation.arguments);
    return called.count * size_of(called.dtype) <= kEagerInHost;  // eager wherever it goes
}

OperationPtr Communicator::begin(const Arguments& arguments, std::optional<milliseconds> timeout,
                                 Operation::OnDone on_done, Next next) {
    check(arguments);
    Baton::Lock baton;
    if (may_go_at_once(arguments)) baton = baton_.try_take();
    std::optional<uint64_t> number;
    if (baton.owns_lock()) number = number_at_once(traits_of(arguments.signature.kind).message);
    if (!number) {
        if (baton.owns_lock()) baton_.release(baton);
        return queue(arguments, timeout, std::move(on_done));
    }
    awake();  // the progress thread may have left it dozing
    session_.begin(*number, arguments);
    Spinner spinner = baton_.spinner();
    bool ended = session_.ends();
    const int polls = next == Next::kWaits && (*number > 0 || polls_for_messages()) ? kPolls : 0;
    for (int poll = 0; !ended && poll < polls && spinner.again(); ++poll) ended = session_.ends();
    OperationPtr operation;
    if (!ended) operation = adopt(*number, arguments, timeout, std::move(on_done));
    note_unwritten();
    const bool small = only_small() && !unwritten_.load(std::memory_order_relaxed);  // set by this thread
    baton_.release(baton);
    // What other threads have posted meanwhile, and what could not be written.
    if (ended && has_work()) small ? look_soon() : kick();
    return operation;
}

// Not while collectives stand still for it, nor where whoever sends may need this core.
bool Communicator::polls_for_messages() const {
    return session_.oldest_number() == kNone && !baton_.yields_at_once();
}

void Communicator::note_unwritten() {
    unwritten_.store(session_.writes(), std::memory_order_release);  // pairs with has_work()
}

bool Communicator::may_go_at_once(const Arguments& arguments) const {
    const Signature& called = arguments.signature;
    // Where it may come from anyone, its operation tells from whom it came.
    if (traits_of(called.kind).message)
        return called.root >= 0 && called.count * size_of(called.dtype) <= kEagerInHost;
    return layout().local_size() > 1 && called.uneven == 0 &&
           may_be_host_one_shot(layout(), config_, arguments);
}

std::optional<uint64_t> Communicator::number_at_once(bool message) {
    if (!baton_.has_listened()) return std::nullopt;
    // A message waits for nothing but those that were posted before.
    if (!message && (has_work() || session_.under_way() || session_.sends())) return std::nullopt;
    const std::lock_guard lock(queue_mutex_);
    const bool quiet = message_queue_.empty() && (message || queue_.empty());
    if (!quiet || closed_ || failures_.first() != nullptr || session_.has_failures(kNone))
        return std::nullopt;
    return message ? 0 : next_number();
}

OperationPtr Communicator::adopt(uint64_t number, const Arguments& arguments,
                                 std::optional<milliseconds> timeout, Operation::OnDone on_done) {
    auto operation = std::make_shared<Operation>(arguments, last_tick(), timeout.value_or(this->timeout()),
                                                 std::move(on_done));
    operation->number = number;
    operation->small = is_small(*operation);
    if (!operation->small) large_.fetch_add(1, std::memory_order_relaxed);  // as in queue()
    unfinished_.fetch_add(1, std::memory_order_release);                    // pairs with has_work()
    session_.adopt(operation);
    return operation;
}

bool Communicator::only_small() const {
    // Acquire: pair with post() and with fail(). Relaxed: only a hint.
    return large_.load(std::memory_order_relaxed) == 0 &&
           unfinished_.load(std::memory_order_acquire) <= kFew &&
           fails_from_.load(std::memory_order_acquire) == kNone && !baton_.has_deferred();
}

bool Communicator::begin_small(std::span<const OperationPtr> posted) {
    baton_.attend();
    if (!std::all_of(posted.begin(), posted.end(), [](const auto& one) { return one->small; })) return false;
    Baton::Lock lock = baton_.try_take();
    if (!lock.owns_lock() || !only_small()) return false;
    awake();  // the progress thread may have left it dozing
    move_on();
    // Only the caller's own: code of the user's that waits for others must not run in here.
    const std::vector<Finished> mine = baton_.deferred(posted);
    const bool more = session_.under_way() || unfinished_.load(std::memory_order_acquire) > mine.size();
    const bool small = only_small();
    baton_.release(lock);
    for (const Finished& finished : mine) call_back(finished);
    if (!more || inherited()) return true;
    // Whoever began small operations often waits for them next, and must not meet the progress thread there.
    if (small) {
        look_soon();
    } else {
        kick();
    }
    return true;
}

}  // namespace ring
