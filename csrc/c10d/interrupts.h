// Python's signal handlers while its main thread waits in libring.
#pragma once

#include <torch/csrc/Exceptions.h>

namespace torch_ring {

// What a signal handler raised, on its way out of the wait that it interrupted.
struct Interrupted : python_error {};

// Makes libring's waits run the handlers of signals that have come (ring/base/interrupt.h).
void register_interrupts();

}  // namespace torch_ring
