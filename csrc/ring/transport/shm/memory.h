// Memory without a name that can be passed to other processes as a descriptor. Used by Segment.
#pragma once

#include <cstddef>

#include "ring/base/fd.h"

namespace ring {

// `bytes` bytes of zeros, which nobody can take away from under a mapping. By memfd_create(2), sealed; where
// any of that is refused by an unlinked file in `fallback`, all of whose pages are taken at once, because a
// write to one that does not fit any more would end the process. Throws Error that names both and the remedy.
UniqueFd make_shared_memory(size_t bytes, const char* fallback = "/dev/shm");

}  // namespace ring
