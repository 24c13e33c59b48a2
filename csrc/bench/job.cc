// See job.h.
#include "job.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace ring_perf {
namespace {

const char* required(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0')
        throw std::invalid_argument(std::string(name) +
                                    " is not set, but RANK is: a rank of a job needs RANK, "
                                    "WORLD_SIZE and MASTER_ADDR; with -n ring_perf starts its own ranks");
    return value;
}

int number(const char* name, const char* text, int low, int high) {
    int value = 0;
    const char* end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, value);
    if (error != std::errc() || stop != end || value < low || value > high)
        throw std::invalid_argument(std::string(name) + "=" + text + ": allowed are " + std::to_string(low) +
                                    " .. " + std::to_string(high));
    return value;
}

}  // namespace

std::optional<Job> job_from_environment() {
    if (std::getenv("RANK") == nullptr) return std::nullopt;
    Job job;
    job.size = number("WORLD_SIZE", required("WORLD_SIZE"), 1, 1 << 20);
    job.rank = number("RANK", required("RANK"), 0, job.size - 1);
    job.master = required("MASTER_ADDR");
    if (const char* port = std::getenv("MASTER_PORT"); port != nullptr)
        job.port = static_cast<uint16_t>(number("MASTER_PORT", port, 1, UINT16_MAX));
    return job;
}

}  // namespace ring_perf
