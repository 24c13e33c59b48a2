// Small operations go in the thread that posts them, as far as they get: a message that is eager, and a
// collective of which the others need no more than that this rank has entered it. See communicator.h.
#include <algorithm>

#include "ring/collectives/host/one_shot.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"

namespace ring {
namespace {

// Among so few operations it costs nothing to look at each.
constexpr size_t kFew = 16;

}  // namespace

bool Communicator::is_small(const Operation& operation) const {
    const Signature& called = operation.arguments.signature;
    if (operation.number > 0) return is_host_one_shot(layout(), config_, called);
    return called.count * size_of(called.dtype) <= kEagerInHost;  // eager wherever it goes
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
