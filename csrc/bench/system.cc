// See system.h.
#include "system.h"

#include <sys/utsname.h>

#include <fstream>

#include "ring/kernels/reduce.h"
#include "ring/topology/identity.h"

namespace ring_perf {
namespace {

// "model name	: AMD EPYC"; processors other than x86 may have no such line.
std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown CPU";
}

std::string kernel() {
    utsname name{};
    if (::uname(&name) != 0) return "unknown kernel";
    return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

}  // namespace

System this_system() {
    return {.cpu = cpu_model(),
            .cores = static_cast<int>(ring::usable_cpus().size()),
            .kernel = kernel(),
            .isa = ring::current_isa()};
}

}  // namespace ring_perf
