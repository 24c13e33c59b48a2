// Tensors as libring sees them: contiguous memory of one of its element types.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

#include <optional>
#include <utility>
#include <vector>

#include "ring/kernels/dtype.h"

namespace torch_ring {

// The element type for arithmetic; throws TypeError that names dtype and collective where libring has none.
ring::DType reducible_dtype(const at::Tensor& tensor, const char* collective);

// How to move elements of any dtype: as they are, or, where libring has no such type, as bytes.
struct Moved {
    ring::DType dtype;
    uint64_t count;
};
Moved moved_as(const at::Tensor& tensor);

// Throws NotImplementedError for PREMUL_SUM.
ring::ReduceOp reduce_op(const c10d::ReduceOp& op, const char* collective);

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
