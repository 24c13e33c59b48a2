// What ring_perf says of the machine that it ran on: figures mean nothing without it.
#pragma once

#include <string>

namespace ring_perf {

struct System {
    std::string cpu;     // "AMD EPYC"
    int cores = 0;       // that this process may run on
    std::string kernel;  // "Linux 6.1.0 x86_64"
    std::string isa;     // of libring's reductions
};

// Throws ring::ConfigError where TORCH_RING_ISA is wrong.
System this_system();

}  // namespace ring_perf
