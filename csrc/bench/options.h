// The command line of ring_perf, in the manner of nccl-tests.
#pragma once

#include <optional>
#include <string>

#include "subject.h"
#include "values.h"

namespace ring_perf {

enum class Format { kText, kCsv, kJson, kCount };

struct Options : Sweep, Subject {
    std::optional<int> ranks;       // -n
    int ranks_per_host = 0;         // -p: 0 = as they are; else they count as hosts of so many ranks
    int timeout_s = 60;             // -T
    Format format = Format::kText;  // -m
};

std::string usage();
// Throws std::invalid_argument that names the option, its value and what is allowed.
Options parse(int argc, char** argv);

}  // namespace ring_perf
