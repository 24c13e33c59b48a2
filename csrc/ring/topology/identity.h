// Who this process is: on which host, so that ranks which can share memory find each other.
#pragma once

#include <string>
#include <vector>

namespace ring {

// Equal for two processes exactly when they can share memory and watch each other: same boot of the same
// kernel, same network namespace (the sockets that pass the memory live in it), same pid namespace.
// TORCH_RING_HOST_ID overrides it.
std::string host_identity();

// The kernel's random id of this boot of this machine, whatever TORCH_RING_HOST_ID says; "" if it has none.
std::string boot_id();

// Equal for two processes that have their network interfaces, loopback too, in common.
std::string network_identity();

// What to call this host in messages: TORCH_RING_HOST_ID or the host's name.
std::string host_name();

// Whether torchrun has started this rank again, after a failure of the job.
bool is_restarted();

// The name that the system has for it.
std::string machine_name();

// The CPUs that this process may run on.
std::vector<int> usable_cpus();

}  // namespace ring
