// Tensors as libring sees them: elements of one of its types. Their memory is in staging.h.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

#include <vector>

#include "ring/base/dtype.h"
#include "ring/base/reduce_op.h"

namespace torch_ring {

// How to move elements of any dtype: as they are, or, where libring has no such type, as bytes.
struct Moved {
    ring::DType dtype;
    uint64_t count;
};
Moved moved_as(const at::Tensor& tensor);

// A reduce op of c10d as libring sees it. PREMUL_SUM: libring sums what contribution() has scaled.
ring::ReduceOp reduce_op(const c10d::ReduceOp& op);

// The same for a reduction: complex numbers are twice as many reals, which share their memory. Throws
// RingTypeError that names dtype, op and collective where libring has no such numbers.
Moved reduced_as(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective);
// What this rank adds to the reduction: the tensor itself, or with PREMUL_SUM a scaled copy. Throws
// RingConfigError where there is no factor that fits.
at::Tensor contribution(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective);

// Dense tensors of the CPU are what the collectives take now; throws otherwise, naming the collective.
void check_tensor(const at::Tensor& tensor, const char* collective);
// One tensor per call, one list of tensors per call: the forms with several belong to several devices per
// process, which torch has left behind. Throw RingConfigError that says what to call instead; `together`:
// how to call it for several at once.
at::Tensor& only(std::vector<at::Tensor>& tensors, const char* collective, const char* together = "");
std::vector<at::Tensor>& only(std::vector<std::vector<at::Tensor>>& tensors, const char* collective);
// The list of a rank that need not give one, which may then be left out: empty.
const std::vector<at::Tensor>& at_most_one(const std::vector<std::vector<at::Tensor>>& tensors,
                                           const char* collective);

}  // namespace torch_ring
