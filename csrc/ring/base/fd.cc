// See fd.h.
#include "ring/base/fd.h"

#include <pthread.h>
#include <unistd.h>

#include <mutex>
#include <set>

#include "ring/base/error.h"
#include "ring/base/fork.h"

namespace ring {
namespace {

// Never destroyed: descriptors with static storage may outlive any destruction order.
struct Registry {
    std::mutex mutex;
    std::set<int> open;
};

Registry& registry();

void lock_registry() {
    registry().mutex.lock();
}
void unlock_registry() {
    registry().mutex.unlock();
}

void close_in_child() {
    for (const int fd : registry().open) ::close(fd);
    registry().open.clear();
    registry().mutex.unlock();
}

Registry& registry() {
    static Registry& instance = *[] {
        static Registry storage;
        pthread_atfork(lock_registry, unlock_registry, close_in_child);
        return &storage;
    }();
    return instance;
}

}  // namespace

UniqueFd::UniqueFd(int fd) : fd_(fd), forks_(fork_count()) {
    if (fd < 0) return;
    const std::lock_guard lock(registry().mutex);
    registry().open.insert(fd);
}

void UniqueFd::reset() {
    if (fd_ < 0) return;
    const int fd = std::exchange(fd_, -1);
    // A copy in a forked child, where it is closed already and the number may belong to somebody else.
    if (forks_ != fork_count()) return;
    const std::lock_guard lock(registry().mutex);
    registry().open.erase(fd);
    ::close(fd);
}

UniqueFd checked_fd(int fd, const char* what) {
    if (fd < 0) throw_errno(what);
    return UniqueFd(fd);
}

}  // namespace ring
