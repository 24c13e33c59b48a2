// The segment of a group of some local ranks, as each of them has it, in one process.
#pragma once

#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "ring/base/membarrier.h"
#include "ring/transport/shm/doorbell.h"
#include "ring/transport/shm/segment.h"

namespace ring::testing {

class Segments {
  public:
    explicit Segments(int size) : Segments(numbers_below(size), size) {}
    // Of these ranks, of a group of so many.
    Segments(const std::vector<int>& ranks, int world) {
        const int size = static_cast<int>(ranks.size());
        const Deadline deadline = Deadline::after(std::chrono::seconds(5));
        std::vector<std::string> names;
        for (int l = 0; l < size; ++l) {
            bells_.push_back(std::make_unique<Doorbell>());
            names.push_back(bells_.back()->name());
        }
        const auto make = [&](int local) {
            return std::make_unique<Segment>(local, ranks, world, *bells_[local], names, "token",
                                             membarrier_supported(), deadline);
        };
        auto leader = std::async(std::launch::async, [&] { return make(0); });
        std::vector<std::unique_ptr<Segment>> others;
        for (int l = 1; l < size; ++l) others.push_back(make(l));
        segments_.push_back(leader.get());
        for (auto& other : others) segments_.push_back(std::move(other));
    }
    Segment& of(int local) { return *segments_[local]; }

  private:
    static std::vector<int> numbers_below(int size) {
        std::vector<int> numbers(size);
        std::iota(numbers.begin(), numbers.end(), 0);
        return numbers;
    }

    std::vector<std::unique_ptr<Doorbell>> bells_;
    std::vector<std::unique_ptr<Segment>> segments_;
};

}  // namespace ring::testing
