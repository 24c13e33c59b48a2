// Random bytes from the kernel, for names and proofs that nobody else can guess.
#pragma once

#include <cstddef>

namespace ring {

// Fills `bytes` bytes. From getrandom(2), or where a sandbox refuses that from /dev/urandom. Throws Error.
// Thread-safe.
void fill_random(void* to, size_t bytes);

}  // namespace ring
