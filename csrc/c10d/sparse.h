// all_reduce of sparse COO tensors: indices and values of all ranks are gathered and summed.
#pragma once

#include <torch/csrc/distributed/c10d/Types.hpp>

#include "c10d/work.h"

namespace torch_ring {

// Throws NotImplementedError for another layout than COO, or another op than SUM.
void check_sparse(const at::Tensor& tensor, const c10d::ReduceOp& op);

// What this rank adds: each index once.
at::Tensor coalesced(const at::Tensor& tensor);

// `mine` is coalesced(tensor), counts[r] the number of elements that rank r's has. The shapes of all ranks
// must be the same. The sum replaces the content of `tensor`.
void add_sparse_all_reduce(RingWork::Call& call, const at::Tensor& tensor, const at::Tensor& mine,
                           const at::Tensor& counts, const c10d::ReduceOp& op, int rank, int ranks);

}  // namespace torch_ring
