// The command line of ring_perf, in the manner of nccl-tests.
#pragma once

#include <cstddef>
#include <string>

#include "ring/kernels/dtype.h"
#include "ring/transport/frame.h"

namespace ring_perf {

struct Options {
    int ranks = 2;                // -n
    int ranks_per_host = 0;       // -p: 0 = all on one host; else they count as hosts of so many ranks
    size_t min_bytes = 4;         // -b
    size_t max_bytes = 64 << 20;  // -e
    size_t factor = 4;            // -f
    int iterations = 20;          // -i
    int warmup = 5;               // -w
    bool check = true;            // -c
    ring::Collective collective = ring::Collective::kAllReduce;  // -t
    ring::DType dtype = ring::DType::kFloat32;                   // -d
    ring::ReduceOp op = ring::ReduceOp::kSum;                    // -o
};

std::string usage();
// Throws std::invalid_argument that names the option, its value and what is allowed.
Options parse(int argc, char** argv);

}  // namespace ring_perf
