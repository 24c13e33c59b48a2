// What the cost model needs to know of the machines of a group: given, or measured in some milliseconds when
// the group forms, and the same on all ranks.
#pragma once

#include "ring/engine/bootstrap.h"
#include "ring/engine/connections.h"
#include "ring/topology/cost_model.h"

namespace ring {

// `given` (TORCH_RING_LINK), where that is not empty. Otherwise the leaders of the cells measure latency and
// rate to their neighbours, all at once, and rank 0 takes the slowest; a process remembers it for later
// groups over the same hosts. All ranks of the group must call it, when all have their connections and
// nothing else uses them. Throws ConfigError, TimeoutError, or PeerError.
Machine measure_machine(Store& store, const std::string& given, const Layout& layout, const Roster& roster,
                        Connections& connections, Deadline deadline);

// The keys that nobody needs once the group has formed on all ranks.
std::vector<std::string> keys_of_measuring(const Roster& roster);

}  // namespace ring
