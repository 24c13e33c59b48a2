// How long a cache line takes from one core to another: the floor of every latency inside a host, and a sign
// of what else the machine is doing. The benchmarks state it before and after a run.
#pragma once

#include <optional>

namespace ring {

// One-way time in ns between the first two CPUs that this process may run on: the median over batches of
// round trips of two threads that are pinned there meanwhile. None where there is one CPU only. Takes some
// ms, at most half a second.
std::optional<double> cache_line_ping_pong();

}  // namespace ring
