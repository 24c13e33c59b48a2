// See core_sharing.h.
#include "ring/engine/core_sharing.h"

#include "ring/transport/shm/segment.h"

namespace ring {
namespace {

// Some ticks of the scheduler, by which it has parted two ranks; and how often that is tried, in case the
// other cores have enough to do.
constexpr milliseconds kSeen{10};
constexpr milliseconds kAgain{200};

}  // namespace

bool CoreSharing::polls_on() {
    if (segment_ == nullptr || !segment_->sleeps_on(core_())) return false;
    const auto now = Clock::now();
    if (now >= next_) {
        until_ = now + kSeen;
        next_ = now + kAgain;
    }
    return now < until_;
}

}  // namespace ring
