// The collectives of the backend. See backend.h.
#include "torch/backend.h"
#include "torch/calls.h"
#include "torch/sparse.h"

namespace torch_ring {
namespace {

using c10d::OpType;

// The list of a form that has one list per device of a process, which torch has left behind; empty on ranks
// that give none.
const Tensors& list_of(const std::vector<Tensors>& lists) {
    static const Tensors none;
    return lists.empty() ? none : lists[0];
}

}  // namespace

RingBackend::WorkPtr RingBackend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
    const at::Tensor& tensor = only(tensors, "all_reduce");
    if (tensor.is_sparse()) return start_sparse(tensor, options);
    RingWork::Call call = call_of(OpType::ALLREDUCE, "ring:all_reduce", tensors, tensors, options);
    add_all_reduce(call, tensor, options.reduceOp);
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allreduce_sparse(Tensors& tensors, const c10d::AllreduceOptions& options) {
    return start_sparse(only(tensors, "all_reduce"), options);
}

RingBackend::WorkPtr RingBackend::start_sparse(const at::Tensor& tensor,
                                               const c10d::AllreduceOptions& options) {
    check_sparse(tensor, options.reduceOp);
    // How much each rank has is found out at once; the rest is asynchronous.
    const at::Tensor mine = tensor.coalesce();
    at::Tensor counts = at::empty({getSize()}, at::kLong);
    at::Tensor count = at::full({1}, mine._nnz(), at::kLong);
    c10d::AllgatherOptions now{.timeout = options.timeout, .asyncOp = false};
    _allgather_base(counts, count, now)->wait();
    RingWork::Call call =
        call_of(OpType::_ALLREDUCE_SPARSE, "ring:sparse_all_reduce", {tensor}, {tensor}, options);
    add_sparse_all_reduce(call, tensor, mine, counts, options.reduceOp, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allreduce_coalesced(Tensors& tensors,
                                                      const c10d::AllreduceCoalescedOptions& options) {
    RingWork::Call call = call_of(OpType::ALLREDUCE_COALESCED, "ring:all_reduce", tensors, tensors, options);
    for (const at::Tensor& tensor : tensors) add_all_reduce(call, tensor, options.reduceOp);
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce(Tensors& tensors, const c10d::ReduceOptions& options) {
    RingWork::Call call = call_of(OpType::REDUCE, "ring:reduce", tensors, tensors, options);
    add_reduce(call, only(tensors, "reduce"), options.reduceOp, options.rootRank, getRank());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
    RingWork::Call call = call_of(OpType::BROADCAST, "ring:broadcast", tensors, tensors, options);
    add_broadcast(call, only(tensors, "broadcast"), options.rootRank);
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather(TensorLists& outputs, Tensors& inputs,
                                            const c10d::AllgatherOptions& options) {
    const Tensors& list = only(outputs, "all_gather");
    RingWork::Call call = call_of(OpType::ALLGATHER, "ring:all_gather", inputs, list, options);
    add_all_gather(call, list, only(inputs, "all_gather"), getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                                  const c10d::AllgatherOptions& options) {
    RingWork::Call call = call_of(OpType::_ALLGATHER_BASE, "ring:all_gather", {input}, {output}, options);
    add_all_gather_into(call, output, input, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather_coalesced(TensorLists& outputs, Tensors& inputs,
                                                      const c10d::AllgatherOptions& options) {
    // outputs[rank][i] takes inputs[i] of that rank.
    TORCH_CHECK_VALUE(outputs.size() == static_cast<size_t>(getSize()), "ring: all_gather_coalesced into ",
                      outputs.size(), " lists in a group of ", getSize(), " ranks");
    Tensors all;
    for (const Tensors& list : outputs) {
        TORCH_CHECK_VALUE(list.size() == inputs.size(), "ring: all_gather_coalesced of ", inputs.size(),
                          " tensors into a list of ", list.size());
        all.insert(all.end(), list.begin(), list.end());
    }
    RingWork::Call call = call_of(OpType::ALLGATHER_COALESCED, "ring:all_gather", inputs, all, options);
    for (size_t i = 0; i < inputs.size(); ++i) {
        Tensors of_one;
        for (const Tensors& list : outputs) of_one.push_back(list[i]);
        add_all_gather(call, of_one, inputs[i], getRank(), getSize());
    }
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                                  const c10d::AllgatherOptions& options) {
    TORCH_CHECK_VALUE(outputs.size() == inputs.size(), "ring: all_gather_into_tensor_coalesced of ",
                      inputs.size(), " tensors into ", outputs.size());
    RingWork::Call call = call_of(OpType::ALLGATHER_COALESCED, "ring:all_gather", inputs, outputs, options);
    for (size_t i = 0; i < inputs.size(); ++i) add_all_gather_into(call, outputs[i], inputs[i], getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce_scatter(Tensors& outputs, TensorLists& inputs,
                                                 const c10d::ReduceScatterOptions& options) {
    const Tensors& list = only(inputs, "reduce_scatter");
    RingWork::Call call = call_of(OpType::REDUCE_SCATTER, "ring:reduce_scatter", list, outputs, options);
    add_reduce_scatter(call, only(outputs, "reduce_scatter"), list, options.reduceOp, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::_reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                                       const c10d::ReduceScatterOptions& options) {
    RingWork::Call call =
        call_of(OpType::_REDUCE_SCATTER_BASE, "ring:reduce_scatter", {input}, {output}, options);
    add_reduce_scatter_tensor(call, output, input, options.reduceOp, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                                  const c10d::ReduceScatterOptions& options) {
    TORCH_CHECK_VALUE(outputs.size() == inputs.size(), "ring: reduce_scatter_tensor_coalesced of ",
                      inputs.size(), " tensors into ", outputs.size());
    RingWork::Call call = call_of(OpType::COALESCED, "ring:reduce_scatter", inputs, outputs, options);
    for (size_t i = 0; i < inputs.size(); ++i)
        add_reduce_scatter_tensor(call, outputs[i], inputs[i], options.reduceOp, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::gather(TensorLists& outputs, Tensors& inputs,
                                         const c10d::GatherOptions& options) {
    const Tensors& list = list_of(outputs);
    RingWork::Call call = call_of(OpType::GATHER, "ring:gather", inputs, list, options);
    add_gather(call, list, only(inputs, "gather"), options.rootRank, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::scatter(Tensors& outputs, TensorLists& inputs,
                                          const c10d::ScatterOptions& options) {
    const Tensors& list = list_of(inputs);
    RingWork::Call call = call_of(OpType::SCATTER, "ring:scatter", list, outputs, options);
    add_scatter(call, only(outputs, "scatter"), list, options.rootRank, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::alltoall_base(at::Tensor& output, at::Tensor& input,
                                                std::vector<int64_t>& output_splits,
                                                std::vector<int64_t>& input_splits,
                                                const c10d::AllToAllOptions& options) {
    RingWork::Call call = call_of(OpType::ALLTOALL_BASE, "ring:all_to_all", {input}, {output}, options);
    add_all_to_all_single(call, output, input, output_splits, input_splits, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::alltoall(Tensors& outputs, Tensors& inputs,
                                           const c10d::AllToAllOptions& options) {
    RingWork::Call call = call_of(OpType::ALLTOALL, "ring:all_to_all", inputs, outputs, options);
    add_all_to_all(call, outputs, inputs, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::barrier(const c10d::BarrierOptions& options) {
    RingWork::Call call = call_of(OpType::BARRIER, "ring:barrier", {}, {}, options);
    add_barrier(call);
    return start(std::move(call));
}

void RingBackend::monitoredBarrier(const c10d::BarrierOptions& options, bool) {
    // Every barrier tells all the ranks that are missing when its time is over.
    c10d::BarrierOptions now = options;
    now.asyncOp = false;
    barrier(now)->wait();
}

RingBackend::WorkPtr RingBackend::send(Tensors& tensors, int to, int tag) {
    RingWork::Call call = call_of(OpType::SEND, "ring:send", tensors, {}, c10d::BarrierOptions());
    add_send(call, only(tensors, "send"), to, tag);
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::recv(Tensors& tensors, int from, int tag) {
    RingWork::Call call = call_of(OpType::RECV, "ring:recv", tensors, tensors, c10d::BarrierOptions());
    add_recv(call, only(tensors, "recv"), from, tag);
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::recvAnysource(Tensors& tensors, int tag) {
    RingWork::Call call =
        call_of(OpType::RECVANYSOURCE, "ring:recvAnySource", tensors, tensors, c10d::BarrierOptions());
    add_recv(call, only(tensors, "recv"), ring::kAnySource, tag);
    return start(std::move(call));
}

}  // namespace torch_ring
