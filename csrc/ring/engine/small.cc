// Small operations go in the thread that posts them, as far as they get: a message that is eager, and a
// collective of which the others need no more than that this rank has entered it. See communicator.h.
#include <algorithm>

#include "ring/collectives/host_one_shot.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"

namespace ring {
namespace {

// Among so few operations it costs nothing to look at each.
constexpr size_t kFew = 16;

}  // namespace

bool Communicator::is_small(const Operation& operation) const {
    const Signature& called = operation.arguments.signature;
    if (operation.number > 0) return is_host_one_shot(layout_, config_, called);
    return called.count * size_of(called.dtype) <= kEagerInHost;  // eager wherever it goes
}

bool Communicator::only_small() const {
    // Acquire: pair with post() and with fail(). Relaxed: only a hint.
    return large_.load(std::memory_order_relaxed) == 0 &&
           unfinished_.load(std::memory_order_acquire) <= kFew &&
           fails_from_.load(std::memory_order_acquire) == kNone && finished_.empty();
}

bool Communicator::begin_small(std::span<const std::shared_ptr<Operation>> posted) {
    attended_.store(true, std::memory_order_relaxed);  // see attended()
    if (!std::all_of(posted.begin(), posted.end(), [](const auto& one) { return one->small; })) return false;
    Lock lock(drive_mutex_, std::try_to_lock);
    if (!lock.owns_lock() || !only_small()) return false;
    if (connections_.segment != nullptr)
        connections_.segment->sleep_end();  // the progress thread may have slept
    step();
    // Only the caller's own: code of the user's that waits for others must not run in here.
    std::vector<Finished> mine;
    std::erase_if(finished_, [&](const Finished& one) {
        if (std::find(posted.begin(), posted.end(), one.first) == posted.end()) return false;
        mine.push_back(one);
        return true;
    });
    const bool more = under_way() || unfinished_.load(std::memory_order_acquire) > mine.size();
    const bool small = only_small();
    release(lock);
    for (const auto& [operation, error] : mine) call_back(operation, error);
    if (more && !inherited()) leave_to_engine(small);
    return true;
}

void Communicator::leave_to_engine(bool small) {
    // Whoever began small operations often waits for them next, and must not meet the progress thread there.
    if (small) {
        engine_.look_soon();
    } else {
        engine_.kick();
    }
}

}  // namespace ring
