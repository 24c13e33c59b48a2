// What libring's rows say of collectives, dtypes and reduce ops, for Python: the command line, tests and
// documents take them from here.
#pragma once

#include <pybind11/pybind11.h>

namespace torch_ring {

void register_rows(pybind11::module_& module);

}  // namespace torch_ring
