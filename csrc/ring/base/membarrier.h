// A memory barrier on every CPU that runs a rank of this host, paid for by the caller alone (membarrier(2)).
//
// A rank that goes to sleep must be seen by those that would wake it; with this barrier on its side, they
// need none on theirs, where it would cost each small collective as much as the collective itself.
// transport/shm/segment uses it.
#pragma once

namespace ring {

// Registers this process; false where the kernel, or a sandbox, does not allow it. Thread-safe.
bool membarrier_available();
// After it, every registered process has seen what the caller stored before, and the caller sees what they
// stored before it. Only where membarrier_available().
void membarrier();

}  // namespace ring
