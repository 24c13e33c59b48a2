// The command line of ring_perf, in the manner of nccl-tests.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "ring/kernels/dtype.h"
#include "ring/transport/frame.h"

namespace ring_perf {

enum class Format { kText, kCsv, kJson, kCount };

struct Options {
    std::optional<int> ranks;       // -n
    int ranks_per_host = 0;         // -p: 0 = as they are; else they count as hosts of so many ranks
    size_t min_bytes = 4;           // -b
    size_t max_bytes = 64 << 20;    // -e
    size_t factor = 4;              // -f
    int calls = 20;                 // -i
    int warmup = 5;                 // -w
    int timeout_s = 60;             // -T
    int root = 0;                   // -r
    bool check = true;              // -c
    bool in_place = true;           // -x
    Format format = Format::kText;  // -m
    ring::Collective collective = ring::Collective::kAllReduce;  // -t
    ring::DType dtype = ring::DType::kFloat32;                   // -d
    ring::ReduceOp op = ring::ReduceOp::kSum;                    // -o

    bool reduces() const {
        return collective == ring::Collective::kAllReduce || collective == ring::Collective::kReduceScatter;
    }
};

std::string usage();
// Throws std::invalid_argument that names the option, its value and what is allowed.
Options parse(int argc, char** argv);

}  // namespace ring_perf
