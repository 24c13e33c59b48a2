// What reduce.cc and the three builds of reduce_isa.inc share; internal to csrc/ring/kernels and its tests.
//
// Declarations only: the files compiled for AVX include this header, and an inline function in it would be
// emitted with AVX instructions that the linker could then pick for everybody.
#pragma once

#include <string>
#include <vector>

#include "ring/kernels/reduce.h"

namespace ring::isa {

namespace portable {
ReduceFn reduce_function(DType dtype, ReduceOp op, ReduceStage stage);
}
namespace avx2 {
ReduceFn reduce_function(DType dtype, ReduceOp op, ReduceStage stage);
}
namespace avx512 {
ReduceFn reduce_function(DType dtype, ReduceOp op, ReduceStage stage);
}

// The instruction set to use: `requested` (the value of TORCH_RING_ISA, empty where it is not set), which
// must be one of `supported`, else the last of those. Throws ConfigError.
std::string choose(const std::string& requested, const std::vector<std::string>& supported);

}  // namespace ring::isa
