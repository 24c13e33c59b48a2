// See interrupt.h.
#include "ring/base/interrupt.h"

#include <unistd.h>

#include <atomic>

namespace ring {
namespace {

std::atomic<InterruptCheck> to_call{nullptr};

}  // namespace

void set_interrupt_check(InterruptCheck check) {
    to_call.store(check, std::memory_order_release);  // pairs with check_interrupt()
}

bool is_interruptible() {
    // In a forked child, too, the thread that goes on is the main one.
    return ::gettid() == ::getpid();
}

void check_interrupt() {
    // Acquire: pairs with set_interrupt_check().
    if (const InterruptCheck check = to_call.load(std::memory_order_acquire); check && is_interruptible())
        check();
}

}  // namespace ring
