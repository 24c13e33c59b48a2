// How c10d's collectives become calls of libring: each function here checks the tensors of one collective and
// adds its arguments to a call. A coalesced collective is a call with several of them.
//
// All of them throw RingConfigError, RingTypeError or NotImplementedError that names the collective, before
// anything is sent.
#pragma once

#include <torch/csrc/distributed/c10d/Types.hpp>

#include <vector>

#include "c10d/work.h"

namespace torch_ring {

using Tensors = std::vector<at::Tensor>;

// What a collective starts with.
template <typename Options>
RingWork::Call call_of(c10d::OpType type, const char* title, Tensors inputs, Tensors outputs,
                       const Options& options) {
    RingWork::Call call;
    call.type = type;
    call.title = title;
    call.inputs = std::move(inputs);
    call.outputs = std::move(outputs);
    call.timeout = options.timeout;
    call.async = options.asyncOp;
    return call;
}

// `ranks`: of the group. `rank`: this one.
void add_all_reduce(RingWork::Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op);
void add_reduce(RingWork::Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op, int64_t root,
                int rank);
void add_broadcast(RingWork::Call& call, const at::Tensor& tensor, int64_t root, int rank);
// The outputs may differ in size; outputs[rank] has the size of the input.
void add_all_gather(RingWork::Call& call, const Tensors& outputs, const at::Tensor& input, int rank,
                    int ranks);
void add_all_gather_into(RingWork::Call& call, const at::Tensor& output, const at::Tensor& input, int ranks);
// The inputs may differ in size, if they do so on all ranks alike: then it is a reduce for each of them.
void add_reduce_scatter(RingWork::Call& call, const at::Tensor& output, const Tensors& inputs,
                        const c10d::ReduceOp& op, int rank, int ranks);
void add_reduce_scatter_tensor(RingWork::Call& call, const at::Tensor& output, const at::Tensor& input,
                               const c10d::ReduceOp& op, int ranks);
// `outputs` are empty where this rank is not the root.
void add_gather(RingWork::Call& call, const Tensors& outputs, const at::Tensor& input, int64_t root, int rank,
                int ranks);
// `inputs` are empty where this rank is not the root.
void add_scatter(RingWork::Call& call, const at::Tensor& output, const Tensors& inputs, int64_t root,
                 int rank, int ranks);
void add_all_to_all(RingWork::Call& call, const Tensors& outputs, const Tensors& inputs, int ranks);
// Rows of the first dimension for each rank; no splits: equal parts.
void add_all_to_all_single(RingWork::Call& call, const at::Tensor& output, const at::Tensor& input,
                           const std::vector<int64_t>& output_splits,
                           const std::vector<int64_t>& input_splits, int ranks);
void add_send(RingWork::Call& call, const at::Tensor& tensor, int to, int tag);
// `from` may be ring::kAnySource.
void add_recv(RingWork::Call& call, const at::Tensor& tensor, int from, int tag);
void add_barrier(RingWork::Call& call);

}  // namespace torch_ring
