// The CSV of ring_perf and of the programs of csrc/bench/peers: the same columns, so that benchmarks/run
// peers can put them side by side.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

#include "statistics.h"

namespace ring_perf {

// One size, all ranks combined.
struct Row {
    size_t bytes = 0;
    size_t count = 0;  // elements, as nccl-tests counts them: of the larger of input and output
    const char* type = "";
    const char* op = "";
    Times times;
    double bus_factor = 1;  // busbw = algbw * this, by nccl-tests' conventions
    size_t wrong = 0;       // elements, of all ranks

    double algbw() const { return static_cast<double>(bytes) / times.median / 1e9; }  // GB/s
    double busbw() const { return algbw() * bus_factor; }
    // CPU seconds per GB of tensor; only meaningful from kLarge on.
    double cpu_per_gb() const { return times.cpu / (static_cast<double>(bytes) / 1e9); }
};

inline void print_csv_head() {
    std::puts(
        "size_b,count,type,redop,time_us,mean_us,min_us,p90_us,algbw_gb_s,busbw_gb_s,wrong,cpu_s_per_gb");
}

inline void print_csv(const Row& row) {
    std::printf("%zu,%zu,%s,%s,%.3f,%.3f,%.3f,%.3f,%.4f,%.4f,%zu,", row.bytes, row.count, row.type, row.op,
                row.times.median * 1e6, row.times.mean * 1e6, row.times.min * 1e6, row.times.p90 * 1e6,
                row.algbw(), row.busbw(), row.wrong);
    if (row.bytes >= kLarge) std::printf("%.4f", row.cpu_per_gb());
    std::puts("");
    std::fflush(stdout);
}

}  // namespace ring_perf
