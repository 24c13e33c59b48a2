// See tuning.h.
#include "ring/collectives/tuning.h"

#include "ring/base/config.h"

namespace ring {

RailPlan Tuning::plan(Collective kind, size_t bytes) const {
    RailPlan plan{RailAlgorithm::kRing, config().chunk_bytes};
    if (bytes > config().ring_small_bytes) return plan;
    switch (kind) {
        case Collective::kBroadcast:
            plan.algorithm = RailAlgorithm::kTree;
            break;
        case Collective::kReduceScatter:
            plan.algorithm = RailAlgorithm::kHalvingDoubling;
            break;
        default:
            plan.algorithm = RailAlgorithm::kDoubling;
    }
    return plan;
}

}  // namespace ring
