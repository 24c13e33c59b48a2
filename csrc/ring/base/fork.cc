// See fork.h.
#include "ring/base/fork.h"

#include <pthread.h>

#include <atomic>

namespace ring {

int fork_count() {
    // Relaxed: a child has one thread when it counts.
    static std::atomic<int> forks{0};
    [[maybe_unused]] static const int registered =
        ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
    return forks.load(std::memory_order_relaxed);
}

}  // namespace ring
