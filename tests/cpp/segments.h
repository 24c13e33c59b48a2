// The segment of a group of two local ranks, as each of them has it, in one process.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "ring/base/membarrier.h"
#include "ring/transport/shm/doorbell.h"
#include "ring/transport/shm/segment.h"

namespace ring::testing {

class TwoSegments {
  public:
    TwoSegments() {
        const Deadline deadline = Deadline::after(std::chrono::seconds(5));
        const std::vector<std::string> names{bell_a_.name(), bell_b_.name()};
        const auto make = [&](int local, const Doorbell& bell) {
            return std::make_unique<Segment>(local, std::vector<int>{0, 1}, 2, bell, names, "token",
                                             membarrier_supported(), deadline);
        };
        auto leader = std::async(std::launch::async, [&] { return make(0, bell_a_); });
        b_ = make(1, bell_b_);
        a_ = leader.get();
    }
    Segment& a() { return *a_; }
    Segment& b() { return *b_; }

  private:
    Doorbell bell_a_;
    Doorbell bell_b_;
    std::unique_ptr<Segment> a_;
    std::unique_ptr<Segment> b_;
};

}  // namespace ring::testing
