// What is told of the calls of one size: used by ring_perf and by the programs of csrc/bench/peers, so that
// all of them measure alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <numeric>
#include <type_traits>
#include <vector>

namespace ring_perf {

// In seconds. Where several ranks are combined: of each the largest of all ranks, but `cpu` is the sum.
struct Times {
    double median = 0;  // of one rank's calls
    double mean = 0;
    double min = 0;
    double p90 = 0;
    double cpu = 0;  // user and system time of the process, all its threads, per call
};

// Small tensors are called more often: their times scatter more, and cost less.
constexpr int calls_of_size(int calls, size_t bytes) {
    return bytes <= 64 << 10 ? 10 * calls : calls;
}

// Throughput and CPU time are only meaningful from here on.
constexpr size_t kLarge = 1 << 20;

// CPU seconds of this process so far.
inline double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Nothing {
    void operator()() const {}
};

// `call` is one collective. The calls follow each other without a barrier in between, as in a training step:
// the time of one is that which passes on this rank from its start to its end. What `before` does ahead of
// each call is not counted.
template <typename Call, typename Before = Nothing>
Times time_calls(int warmup, int calls, Call&& call, Before&& before = {}) {
    std::vector<double> times;
    times.reserve(static_cast<size_t>(calls));
    for (int i = 0; i < warmup; ++i) {
        before();
        call();
    }
    double cpu_not_counted = 0;
    const double cpu = cpu_seconds();
    for (int i = 0; i < calls; ++i) {
        // Reading this clock is a system call, which small collectives would notice.
        if constexpr (!std::is_same_v<std::decay_t<Before>, Nothing>) {
            const double cpu_before = cpu_seconds();
            before();
            cpu_not_counted += cpu_seconds() - cpu_before;
        }
        const auto start = std::chrono::steady_clock::now();
        call();
        times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    const double cpu_spent = cpu_seconds() - cpu - cpu_not_counted;
    std::sort(times.begin(), times.end());
    return {.median = times[times.size() / 2],
            .mean = std::accumulate(times.begin(), times.end(), 0.0) / calls,
            .min = times.front(),
            .p90 = times[times.size() * 9 / 10],
            .cpu = cpu_spent / calls};
}

}  // namespace ring_perf
