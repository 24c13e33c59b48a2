// See membarrier.h.
#include "ring/base/membarrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "ring/base/fork.h"

namespace ring {
namespace {

long call(int command) {
    return ::syscall(SYS_membarrier, command, 0, 0);
}

// The fork_count() of the process that is registered.
std::atomic<int> registered_in{-1};

}  // namespace

bool membarrier_supported() {
    constexpr long kNeeded = MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
    const long commands = call(MEMBARRIER_CMD_QUERY);
    return commands > 0 && (commands & kNeeded) == kNeeded;
}

void membarrier_register() {
    if (membarrier_supported() && !membarrier_registered() &&
        call(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0)
        // Release: whoever leaves out a fence because of it does so after the registration.
        registered_in.store(fork_count(), std::memory_order_release);
}

bool membarrier_registered() {
    return registered_in.load(std::memory_order_acquire) == fork_count();  // pairs with the above
}

bool membarrier() {
    return call(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

}  // namespace ring
