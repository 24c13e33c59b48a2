// A memory barrier on every CPU that runs a rank of this host, paid for by the caller alone (membarrier(2)).
//
// A rank that goes to sleep must be seen by those that would wake it; with this barrier on its side, they
// need none on theirs, where it would cost each small collective as much as the collective itself.
// transport/shm/segment uses it; the engine registers its process.
#pragma once

namespace ring {

// Whether the kernel has it, and no sandbox refuses it: then whoever sleeps calls membarrier(). Thread-safe.
bool membarrier_supported();

// Registers this process. Takes some 10 ms where it has several threads, while the kernel waits for all CPUs.
// Thread-safe.
void membarrier_register();
// Whether that is done, so that the barriers of others reach this process; until then it needs fences of its
// own. A forked child starts anew. Thread-safe.
bool membarrier_registered();

// After it, every registered process has seen what the caller stored before, and the caller sees what they
// stored before it. Only where membarrier_supported(); false where it is refused all the same, as by a
// sandbox that has closed since.
bool membarrier();

}  // namespace ring
