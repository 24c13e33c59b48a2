// The stages inside a host through the group's segment. Each waits at its start until all ranks of the cell
// have ended the stage before in that lane, so that its staging buffers are free.
#pragma once

#include "ring/collectives/host/stages.h"

namespace ring {

class SharedMemoryStages final : public HostStages {
  public:
    Task reduce(Context& context, std::vector<Extents> contributions, Extents result, ReduceStage stage,
                std::vector<Extents> shared) const override;
    Task all_reduce(Context& context, Extent input, Extent output) const override;
    Task share(Context& context, Lane lane, std::vector<Extents> shared, Wanted wanted) const override;
};

}  // namespace ring
