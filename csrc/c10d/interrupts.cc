// See interrupts.h.
#include "c10d/interrupts.h"

#include <torch/csrc/utils/pybind.h>

#include "ring/base/interrupt.h"

namespace torch_ring {

void register_interrupts() {
    ring::set_interrupt_check([] {
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() == 0) return;
        Interrupted raised;
        raised.persist();
        throw raised;
    });
}

}  // namespace torch_ring
