// The job that a launcher describes in the environment, as it does for torch: RANK, WORLD_SIZE, MASTER_ADDR,
// MASTER_PORT.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ring_perf {

struct Job {
    int rank = 0;
    int size = 1;
    std::string master;  // a name or a numeric address of the host of rank 0
    uint16_t port = 29500;
};

// None where RANK is not set. Throws std::invalid_argument that names the variable, its value and what is
// allowed.
std::optional<Job> job_from_environment();

}  // namespace ring_perf
