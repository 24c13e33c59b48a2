// See identity.h.
#include "ring/topology/identity.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include "ring/base/config.h"
#include "ring/base/error.h"

namespace ring {
namespace {

std::string namespace_of(const char* kind) {
    struct stat info{};
    if (::stat((std::string("/proc/self/ns/") + kind).c_str(), &info) != 0) return "?";
    return std::to_string(info.st_ino);
}

}  // namespace

std::string boot_id() {
    std::string id;
    errno = 0;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    // That it cannot be read does not mean that there is none.
    if (id.empty() && (errno == EMFILE || errno == ENFILE))
        throw_errno("open of /proc/sys/kernel/random/boot_id");
    return id;
}

std::string host_identity() {
    if (!config().host_id.empty()) return "named:" + config().host_id;
    const std::string boot = boot_id();
    if (boot.empty())
        throw Error("this host has no /proc/sys/kernel/random/boot_id; set TORCH_RING_HOST_ID on every rank");
    return boot + ":" + namespace_of("net") + ":" + namespace_of("pid");
}

std::string network_identity() {
    return boot_id() + ":" + namespace_of("net");
}

std::string host_name() {
    return config().host_id.empty() ? machine_name() : config().host_id;
}

bool is_restarted() {
    const char* const count = std::getenv("TORCHELASTIC_RESTART_COUNT");
    return count != nullptr && std::string(count) != "0" && *count != '\0';
}

std::string machine_name() {
    char name[256] = {};
    return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

std::vector<int> usable_cpus() {
    std::vector<int> cpus;
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
            if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
        return cpus;
    }
    // Refused, or there are more than fit the set.
    cpus.resize(static_cast<size_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))));
    std::iota(cpus.begin(), cpus.end(), 0);
    return cpus;
}

}  // namespace ring
