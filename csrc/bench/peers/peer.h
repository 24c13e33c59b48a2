// What the programs that measure other libraries share: an all_reduce SUM of float32 in place, at ring_perf's
// sizes, timed as ring_perf times it, printed as its CSV. Built by benchmarks/peers/install.
#pragma once

#include <getopt.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "csv.h"
#include "sizes.h"
#include "statistics.h"

namespace ring_perf {

// One rank of another library.
class Peer {
  public:
    virtual ~Peer() = default;
    virtual std::string name() const = 0;  // with its version
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual void all_reduce(float* data, size_t count) = 0;
    // Of all ranks, for the report: the largest, or the sum.
    virtual void combine(double* values, size_t count, bool sum) = 0;
};

// Of ring_perf's options those that make sense here.
inline Sweep parse_peer(int argc, char** argv) {
    Sweep options;
    for (int option; (option = ::getopt(argc, argv, Sweep::kOptions)) != -1;)
        if (!options.take(option, ::optarg == nullptr ? "" : ::optarg))
            throw std::invalid_argument("the options are -b SIZE -e SIZE -f FACTOR -i COUNT -w COUNT");
    if (options.min_bytes < sizeof(float) || options.min_bytes > options.max_bytes)
        throw std::invalid_argument("-b must be at least 4 and not larger than -e");
    return options;
}

inline void measure_peer(Peer& peer, const Sweep& options) {
    if (peer.rank() == 0) {
        std::printf("# %s, all_reduce, %d ranks, in place\n", peer.name().c_str(), peer.size());
        print_csv_head();
    }
    for (size_t bytes = options.min_bytes; bytes <= options.max_bytes; bytes *= options.factor) {
        std::vector<float> data(bytes / sizeof(float));
        Times times = time_calls(calls_of_size(options.warmup, bytes), calls_of_size(options.calls, bytes),
                                 [&] { peer.all_reduce(data.data(), data.size()); });
        std::fill(data.begin(), data.end(), 1.0f);
        peer.all_reduce(data.data(), data.size());
        const auto right = std::count(data.begin(), data.end(), static_cast<float>(peer.size()));
        double sums[] = {times.cpu, static_cast<double>(data.size() - static_cast<size_t>(right))};
        double largest[] = {times.median, times.min, times.p90};
        peer.combine(sums, 2, true);
        peer.combine(largest, 3, false);
        const double ranks = peer.size();
        if (peer.rank() == 0)
            print_csv({.bytes = data.size() * sizeof(float),
                       .count = data.size(),
                       .type = "float32",
                       .op = "SUM",
                       .times = {.median = largest[0], .min = largest[1], .p90 = largest[2], .cpu = sums[0]},
                       .bus_factor = 2 * (ranks - 1) / ranks,
                       .wrong = static_cast<size_t>(sums[1])});
    }
}

}  // namespace ring_perf
