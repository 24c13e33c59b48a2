// The connections of one group on one rank: the links of its rail that the algorithms use (the ring, and the
// hypercube: some log2 of the number of hosts), the control connections, the shared segment.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/engine/bootstrap.h"
#include "ring/engine/dialer.h"
#include "ring/fault/control.h"
#include "ring/topology/layout.h"
#include "ring/transport/link.h"
#include "ring/transport/shm/doorbell.h"
#include "ring/transport/shm/segment.h"
#include "ring/transport/tcp/acceptor.h"

namespace ring {

struct Connections {
    std::unique_ptr<Segment> segment;            // null where this rank is alone on its host
    std::map<int, std::unique_ptr<Link>> links;  // by position on the rail: those that the algorithms need
    std::vector<int> data_fds;                   // of the links that have some, to be watched
    std::vector<std::unique_ptr<Control>> controls;  // to the neighbours on other hosts
    Dialer dialer;  // for connections to others; knows nobody where all are on one host
};

// The ranks that `rank` has a link to.
std::vector<int> neighbours(const Layout& layout, int rank);

// The words for a rank of this host whose process is not there.
std::string not_on_this_host(const Layout& layout, int rank);

// `acceptor` is this process's, already expecting the group; null where all ranks are on one host.
// `dialer`: knows how this rank can be reached, and learns it of the others.
// `streams`: TCP connections for data per edge. Throws PeerError, TimeoutError or ConfigError that name the
// rank that could not be reached.
Connections connect_group(Store& store, const Layout& layout, const Roster& roster, const Doorbell& doorbell,
                          Acceptor* acceptor, Dialer dialer, int streams, Deadline deadline);

}  // namespace ring
