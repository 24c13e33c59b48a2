// Which algorithm runs between the hosts, and in what chunks.
//
// Made once per group and the same on all its ranks; the collectives ask it for each operation.
#pragma once

#include <cstddef>

#include "ring/transport/frame.h"

namespace ring {

enum class RailAlgorithm { kRing, kDoubling, kHalvingDoubling, kTree };

struct RailPlan {
    RailAlgorithm algorithm = RailAlgorithm::kRing;
    size_t chunk_bytes = 0;  // the largest payload of one frame
};

class Tuning {
  public:
    // For `bytes` of the whole tensor (all_reduce, broadcast) or of one rank's share (all_gather,
    // reduce_scatter) on one rail.
    RailPlan plan(Collective kind, size_t bytes) const;
};

}  // namespace ring
