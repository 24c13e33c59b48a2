// The plans of a group for all sizes: what the cost model and the size table choose, worked out once, looked
// up per call, and printed.
//
// Made by the engine when a group forms and by `torch-ring plan --table`. Immutable, so thread-safe. Every
// rank of a group must make it of the same shape, machine and table: then every rank finds the same plans.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "ring/topology/cost_model.h"
#include "ring/topology/size_table.h"

namespace ring {

class Choices {
  public:
    struct Range {
        size_t from;  // the first size that the plan is for; it ends where the next begins
        Plan plan;
    };

    // Some milliseconds. Throws what predict_all throws.
    Choices(const Shape& shape, const Machine& machine, const SizeTable& table = {});

    // The plan for a size: of the range that holds it, whose ends are right to within 1/32.
    const Plan& of(Collective kind, size_t bytes) const;
    const std::vector<Range>& ranges(Collective kind) const { return ranges_[static_cast<size_t>(kind)]; }

    // Whether large shares of gather and scatter go through one rank of each host too: where links are so
    // slow that the copies in the host, which this costs, take nothing beside them. The figures are in
    // docs/measurements/messages.md.
    bool carry_large() const { return carry_large_; }

    // One line per collective and range.
    std::string text() const;

  private:
    bool carry_large_;
    std::array<std::vector<Range>, kCollectives.size()> ranges_;  // of those that have a plan
};

// "ring chunk=256K streams=2, 8 rails, 4 pieces"
std::string describe(const Plan& plan);
// "9.41 Gbit/s, 25 us"
std::string describe(const LinkCost& link);

}  // namespace ring
