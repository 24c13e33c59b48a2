// What has ended a group, in the order in which this rank learned of it.
//
// The first failure stays the reason for all that it ended. A later one counts where it ends operations that
// could still end well after those before it: a death in operation 9, after a mismatch from operation 10 on.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ring/base/failure.h"

namespace ring {

// Not thread-safe: used under the lock of the group's queue.
class Failures {
  public:
    static constexpr uint64_t kNone = UINT64_MAX;

    // False, and nothing is added, where it ends nothing that has not failed already.
    bool add(Failure failure) {
        if (failure.operation >= from()) return false;
        all_.push_back(std::move(failure));
        return true;
    }
    // Operations from this one on have failed; kNone while all is well.
    uint64_t from() const { return all_.empty() ? kNone : all_.back().operation; }
    // What ended this operation, or else the group; null while all is well.
    const Failure* of(uint64_t operation) const {
        for (const Failure& failure : all_)
            if (failure.operation <= operation) return &failure;
        return all_.empty() ? nullptr : &all_.front();
    }
    const Failure* first() const { return all_.empty() ? nullptr : &all_.front(); }
    const std::vector<Failure>& all() const { return all_; }

  private:
    std::vector<Failure> all_;  // each ends more operations than the one before
};

}  // namespace ring
