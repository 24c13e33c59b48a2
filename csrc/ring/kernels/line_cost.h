// What it costs to store into a cache line that another core has used, judged by copies that are timed on the
// way; copy.cc times them and goes by it. Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>

namespace ring {

class LineCost {
  public:
    // So much took each line of a copy. Page faults and interruptions only ever add: one that is fast tells
    // the truth, one that is slow does not yet.
    void note(float ns) {
        const uint32_t before = slow_in_a_row_.load(std::memory_order_relaxed);
        slow_in_a_row_.store(ns > kFarNs ? std::min(before + 1, kFarAfter) : 0, std::memory_order_relaxed);
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock.owns_lock()) return;
        best_ = noted_ == 0 ? ns : std::min(best_, ns);
        if (++noted_ < kInARow) return;
        noted_ = 0;
        of_late_.store(best_, std::memory_order_relaxed);
    }

    // Whether stores past the caches are faster.
    bool far() const { return slow_in_a_row_.load(std::memory_order_relaxed) >= kFarAfter; }

    // The best of the last eight, in ns; 0 until there were as many.
    float of_late() const { return of_late_.load(std::memory_order_relaxed); }

  private:
    static constexpr float kFarNs = 20;
    static constexpr uint32_t kFarAfter = 4;  // slow ones in a row
    static constexpr int kInARow = 8;

    // Relaxed, all uses: hints that any thread may take or give.
    std::atomic<uint32_t> slow_in_a_row_{0};
    std::atomic<float> of_late_{0};
    std::mutex mutex_;  // guards what follows
    float best_ = 0;
    int noted_ = 0;
};

}  // namespace ring
