// Tensors as libring sees them: contiguous memory of one of its element types.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

#include <optional>
#include <utility>
#include <vector>

#include "ring/kernels/dtype.h"

namespace torch_ring {

// How to move elements of any dtype: as they are, or, where libring has no such type, as bytes.
struct Moved {
    ring::DType dtype;
    uint64_t count;
};
Moved moved_as(const at::Tensor& tensor);

// A reduce op of c10d as libring sees it. PREMUL_SUM: libring sums what contribution() has scaled.
ring::ReduceOp reduce_op(const c10d::ReduceOp& op);

// A staged tensor as libring can reduce it: complex numbers as twice as many reals, which share its memory.
// Throws TypeError that names dtype, op and collective where libring has no such numbers.
at::Tensor reducible(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective);
// What this rank adds to the reduction: the tensor itself, or with PREMUL_SUM a scaled copy. Throws
// ValueError where the factor is missing.
at::Tensor contribution(const at::Tensor& tensor, const c10d::ReduceOp& op, const char* collective);

// Dense tensors of the CPU are what the collectives take now; throws otherwise, naming the collective.
void check_tensor(const at::Tensor& tensor, const char* collective);
// One tensor per call: the form with several belongs to several devices per process, which torch has left
// behind.
at::Tensor& only(std::vector<at::Tensor>& tensors, const char* collective);
std::vector<at::Tensor>& only(std::vector<std::vector<at::Tensor>>& tensors, const char* collective);

// Contiguous stand-ins for tensors that are not contiguous, and the way back.
class Staging {
  public:
    // The tensor itself if it is contiguous, else a copy with the same content.
    at::Tensor read(const at::Tensor& tensor);
    // The same, and write_back() will bring the result into the caller's strides.
    at::Tensor write(const at::Tensor& tensor);
    void write_back() const;

  private:
    std::vector<at::Tensor> kept_;                            // stand-ins that are only read
    std::vector<std::pair<at::Tensor, at::Tensor>> written_;  // the caller's, its stand-in
};

}  // namespace torch_ring
