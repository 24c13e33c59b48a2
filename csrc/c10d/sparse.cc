// See sparse.h.
#include "c10d/sparse.h"

#include <ATen/ATen.h>

#include "c10d/calls.h"
#include "c10d/staging.h"

namespace torch_ring {

void check_sparse(const at::Tensor& tensor, const c10d::ReduceOp& op) {
    if (!tensor.device().is_cpu() || tensor.layout() != c10::kSparse)
        C10_THROW_ERROR(NotImplementedError,
                        "ring: all_reduce of a sparse tensor takes the COO layout on the CPU, not " +
                            std::string(c10::str(tensor.layout())) + " on " + tensor.device().str());
    if (op.op_ != c10d::ReduceOp::SUM)
        C10_THROW_ERROR(NotImplementedError,
                        "ring: all_reduce of sparse tensors takes the reduce op SUM only");
}

at::Tensor coalesced(const at::Tensor& tensor) {
    const MemoryOnly here(tensor.is_inference());
    return tensor.coalesce();
}

void add_sparse_all_reduce(RingWork::Call& call, const at::Tensor& tensor, const at::Tensor& mine,
                           const at::Tensor& counts, const c10d::ReduceOp&, int rank, int ranks) {
    // What the sum is made of stays in the caller's tensor, so it is of its kind.
    const MemoryOnly here(tensor.is_inference());
    const auto count = counts.accessor<int64_t, 1>();
    // Element after element, so that the shares of the ranks lie one behind the other.
    const at::Tensor own_indices = mine._indices().t().contiguous();
    const at::Tensor own_values = mine._values().contiguous();
    Tensors indices;
    Tensors values;
    for (int r = 0; r < ranks; ++r) {
        std::vector<int64_t> of_values = own_values.sizes().vec();
        of_values[0] = count[r];
        indices.push_back(at::empty({count[r], mine.sparse_dim()}, own_indices.options()));
        values.push_back(at::empty(of_values, own_values.options()));
    }
    add_all_gather(call, indices, own_indices, rank, ranks);
    add_all_gather(call, values, own_values, rank, ranks);
    call.finally = [tensor, indices, values] {
        const MemoryOnly here(tensor.is_inference());
        at::Tensor result = tensor;
        result.copy_(at::sparse_coo_tensor(at::cat(indices).t(), at::cat(values), tensor.sizes()).coalesce());
    };
}

}  // namespace torch_ring
