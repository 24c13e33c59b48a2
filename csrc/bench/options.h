// The command line of ring_perf, in the manner of nccl-tests.
#pragma once

#include <optional>
#include <string>

#include "ring/base/signature.h"
#include "sizes.h"

namespace ring_perf {

enum class Format { kText, kCsv, kJson, kCount };

struct Options : Sweep {
    std::optional<int> ranks;       // -n
    int ranks_per_host = 0;         // -p: 0 = as they are; else they count as hosts of so many ranks
    int timeout_s = 60;             // -T
    int root = 0;                   // -r
    bool check = true;              // -c
    bool in_place = true;           // -x
    Format format = Format::kText;  // -m
    ring::Collective collective = ring::Collective::kAllReduce;  // -t
    ring::DType dtype = ring::DType::kFloat32;                   // -d
    ring::ReduceOp op = ring::ReduceOp::kSum;                    // -o

    const ring::CollectiveTraits& traits() const { return ring::traits_of(collective); }
};

std::string usage();
// Throws std::invalid_argument that names the option, its value and what is allowed.
Options parse(int argc, char** argv);

}  // namespace ring_perf
