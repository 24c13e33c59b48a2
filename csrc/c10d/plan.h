// The cost model as functions of torch_ring._C, for `torch-ring plan`.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace torch_ring {

// Adds the classes and functions; called by module.cc once.
void register_plan(pybind11::module_& module);

}  // namespace torch_ring
