// See membarrier.h.
#include "ring/base/membarrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>

#include "ring/base/error.h"
#include "ring/base/fork.h"

namespace ring {
namespace {

long call(int command) {
    return ::syscall(SYS_membarrier, command, 0, 0);
}

}  // namespace

bool membarrier_available() {
    static std::mutex mutex;
    static int registered_in = -1;  // a forked child must register again
    static bool available = false;
    const std::lock_guard lock(mutex);
    if (registered_in != fork_count()) {
        available = call(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0;
        registered_in = fork_count();
    }
    return available;
}

void membarrier() {
    if (call(MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0) throw_errno("membarrier");
}

}  // namespace ring
