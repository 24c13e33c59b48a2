// What there is of CUDA in this process, for people: `torch-ring cuda`.
#pragma once

#include <string>
#include <vector>

namespace ring {

struct DeviceFinding {
    std::string what;  // "CUDA runtime", "GPUs", "NCCL"
    bool found;
    std::string words;  // version and file; or why there is none
};

// Loads the libraries, if that has not happened. Never throws ConfigError: that is a finding.
std::vector<DeviceFinding> device_findings();

}  // namespace ring
