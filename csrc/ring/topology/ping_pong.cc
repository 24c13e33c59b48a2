// See ping_pong.h.
#include "ring/topology/ping_pong.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "ring/base/clock.h"

namespace ring {
namespace {

constexpr int kBatches = 25;
constexpr int kRoundTrips = 1000;  // of one batch
constexpr std::chrono::milliseconds kLongest{500};
constexpr uint32_t kStop = UINT32_MAX;

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    std::vector<int> cpus;
    if (::sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    return cpus;
}

void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set);
}

}  // namespace

std::optional<double> cache_line_ping_pong() {
    const std::vector<int> cpus = allowed_cpus();
    if (cpus.size() < 2) return std::nullopt;
    // Two lines wide, so that the neighbour, which is often fetched along, is nobody's. Odd: sent there,
    // even: sent back. Relaxed: nothing else is passed on with it.
    alignas(128) std::atomic<uint32_t> line{0};

    std::thread there([&] {
        pin_to(cpus[1]);
        for (uint32_t awaited = 1;; awaited += 2) {
            uint32_t seen;
            while ((seen = line.load(std::memory_order_relaxed)) != awaited && seen != kStop) {
            }
            if (seen == kStop) return;
            line.store(awaited + 1, std::memory_order_relaxed);
        }
    });
    std::vector<double> batches;  // ns of one way
    std::thread here([&] {
        pin_to(cpus[0]);
        const auto begin = Clock::now();
        uint32_t value = 0;
        // One batch more than counts: in the first the other thread starts.
        for (int batch = 0; batch <= kBatches && Clock::now() - begin < kLongest; ++batch) {
            const auto start = Clock::now();
            for (int i = 0; i < kRoundTrips; ++i) {
                line.store(value + 1, std::memory_order_relaxed);
                value += 2;
                while (line.load(std::memory_order_relaxed) != value) {
                }
            }
            const std::chrono::duration<double, std::nano> spent = Clock::now() - start;
            if (batch > 0) batches.push_back(spent.count() / (2.0 * kRoundTrips));
        }
        line.store(kStop, std::memory_order_relaxed);
    });
    here.join();
    there.join();
    if (batches.empty()) return std::nullopt;
    std::nth_element(batches.begin(), batches.begin() + batches.size() / 2, batches.end());
    return batches[batches.size() / 2];
}

}  // namespace ring
