// What is measured, as the command line names it: used by ring_perf and by the programs of csrc/bench/peers.
#pragma once

#include <string>

#include "ring/base/collective.h"
#include "ring/base/dtype.h"
#include "ring/base/reduce_op.h"

namespace ring_perf {

// What -t names besides the collectives: all ranks copy a tensor at the same time. An all_reduce inside a
// host moves each byte at least once, so this is what a large one is held against.
inline constexpr ring::CollectiveTraits kMemcpy{.kind = ring::Collective::kNone, .name = "memcpy"};

// All that -t names, in lines that `line_break` parts.
std::string measured_names(const std::string& line_break);

struct Subject {
    const ring::CollectiveTraits* row = &ring::traits_of(ring::Collective::kAllReduce);  // -t
    ring::DType dtype = ring::DType::kFloat32;                                           // -d
    ring::ReduceOp op = ring::ReduceOp::kSum;                                            // -o
    int root = 0;                                                                        // -r
    bool out_of_place = false;                                                           // -x out

    static constexpr const char* kOptions = "t:d:o:r:x:";

    const ring::CollectiveTraits& traits() const { return *row; }
    bool is_memcpy() const { return row == &kMemcpy; }
    // Whether one whole tensor becomes another as it is.
    bool copies() const { return is_memcpy() || traits().message; }
    // Some have an output of their own whatever -x says.
    bool in_place() const { return !out_of_place && !traits().counted && !copies(); }

    // Takes an option that getopt found; false if it is none of these.
    bool take(int option, const std::string& value);
    // Throws std::invalid_argument where the options make no sense together.
    void check() const;
};

}  // namespace ring_perf
