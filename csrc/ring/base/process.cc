// See process.h.
#include "ring/base/process.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace ring {
namespace {

struct Status {
    char state = '?';
    int parent = 0;
    std::string started;  // in clock ticks since the machine started; "" if there is no such process

    bool ended() const { return started.empty() || state == 'Z' || state == 'X'; }
};

std::string folder_of(int pid) {
    return "/proc/" + std::to_string(pid) + "/";
}

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

Status status_of(int pid) {
    // Of the first thread, which has the same: qemu-user makes up that of the process itself.
    const std::string text = text_of(folder_of(pid) + "task/" + std::to_string(pid) + "/stat");
    // "pid (name) state ...", where the name may hold anything.
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return {};
    std::istringstream fields(text.substr(name_end + 1));
    constexpr int kStarted = 18;  // fields between the parent and that one
    Status status;
    fields >> status.state >> status.parent;
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
    return now.ended() || now.started != identity.substr(colon + 1);
}

int parent_of(int pid) {
    return status_of(pid).parent;
}

std::vector<int> children_of(int pid) {
    std::vector<int> children;
    std::error_code gone;  // with the process, or with its thread
    for (std::filesystem::directory_iterator task(folder_of(pid) + "task", gone), end; !gone && task != end;
         task.increment(gone)) {
        std::istringstream pids(text_of(task->path() / "children"));
        for (int child = 0; pids >> child;)
            if (!status_of(child).ended()) children.push_back(child);
    }
    return children;
}

std::optional<double> started_at(int pid) {
    const std::string ticks = status_of(pid).started;
    const long per_second = ::sysconf(_SC_CLK_TCK);
    if (ticks.empty() || per_second <= 0) return std::nullopt;
    return std::stod(ticks) / static_cast<double>(per_second);
}

double seconds_since_start() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::vector<std::string> command_of(int pid) {
    std::vector<std::string> words;
    std::istringstream text(text_of(folder_of(pid) + "cmdline"));
    for (std::string word; std::getline(text, word, '\0');) words.push_back(word);
    return words;
}

std::optional<std::map<std::string, std::string>> environment_of(int pid) {
    std::map<std::string, std::string> environment;
    std::istringstream entries(text_of(folder_of(pid) + "environ"));
    for (std::string entry; std::getline(entries, entry, '\0');) {
        const size_t at = entry.find('=');
        if (at == std::string::npos) return std::nullopt;
        environment[entry.substr(0, at)] = entry.substr(at + 1);
    }
    if (environment.empty()) return std::nullopt;
    return environment;
}

}  // namespace ring
