// See process.h.
#include "ring/base/process.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>

namespace ring {
namespace {

struct Status {
    char state = '?';
    std::string started;  // in clock ticks since the machine started; "" if there is no such process
};

Status status_of(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    // "pid (name) state ...", where the name may hold anything.
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return {};
    std::istringstream fields(text.substr(name_end + 1));
    constexpr int kStarted = 19;  // fields between the state and that one
    Status status;
    fields >> status.state;
    for (int i = 0; i < kStarted && fields >> status.started; ++i) {
    }
    return status;
}

// Pids mean something only among processes that have this in common.
std::string pid_namespace() {
    struct stat info{};
    return ::stat("/proc/self/ns/pid", &info) == 0 ? std::to_string(info.st_ino) : "";
}

}  // namespace

std::string process_identity() {
    const std::string where = pid_namespace();
    const std::string started = status_of(::getpid()).started;
    return where.empty() || started.empty() ? "" : where + ":" + started;
}

bool process_ended(int pid, const std::string& identity) {
    const size_t colon = identity.find(':');
    if (colon == std::string::npos || identity.substr(0, colon) != pid_namespace()) return false;
    if (process_identity().empty()) return false;  // /proc is not this namespace's
    const Status now = status_of(pid);
    // It may be there all the same, hidden as those of other users can be.
    if (now.started.empty()) return ::kill(pid, 0) != 0 && errno == ESRCH;
    return now.state == 'Z' || now.state == 'X' || now.started != identity.substr(colon + 1);
}

}  // namespace ring
