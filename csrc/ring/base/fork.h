// Tells a forked child from its parent, without a system call.
#pragma once

namespace ring {

// How many forks lie between the start of the program and this process. What was made at another count than
// the present one belongs to the parent: its threads are not here, its descriptors are closed, its shared
// memory is the parent's.
int fork_count();

}  // namespace ring
