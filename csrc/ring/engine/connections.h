// The connections of one group on one rank: the links of its rail that the algorithms use (the ring, and the
// hypercube: some log2 of the number of hosts), the control connections, the shared segment.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/engine/bootstrap.h"
#include "ring/engine/tcp_fabric.h"
#include "ring/fault/control.h"
#include "ring/topology/layout.h"
#include "ring/transport/fabric.h"
#include "ring/transport/link.h"
#include "ring/transport/shm/doorbell.h"
#include "ring/transport/shm/segment.h"

namespace ring {

struct Connections {
    std::unique_ptr<Segment> segment;            // null where this rank is alone on its host
    std::map<int, std::unique_ptr<Link>> links;  // by position on the rail: those that the algorithms need
    std::vector<std::unique_ptr<Control>> controls;  // to the neighbours on other hosts
    std::unique_ptr<Fabric> fabric;  // for connections to others; null where all ranks are on one host
};

// The ranks that `rank` has a link to.
std::vector<int> neighbours(const Layout& layout, int rank);

// The words for a rank of this host whose process is not there.
std::string not_on_this_host(const Layout& layout, int rank);

// `fabric`: null where all ranks are on one host; learns how the others can be reached. `streams`:
// connections for data per link between hosts. Throws PeerError, TimeoutError or ConfigError that name the
// rank that could not be reached.
Connections connect_group(Store& store, const Layout& layout, const Roster& roster, const Doorbell& doorbell,
                          std::unique_ptr<TcpFabric> fabric, int streams, Deadline deadline);

// Once this rank has all that it needs for the group: waits until the other ranks of the host have, so that
// none works in a group that another one could not form. Throws Bystander, which names the first that has
// not, or what `deadline` finds when it looks, or a signal's handler throws.
void await_host(Segment& segment, const Layout& layout, const Doorbell& doorbell, Deadline deadline);

}  // namespace ring
