// The collectives of the backend. See backend.h.
#include "c10d/backend.h"
#include "c10d/calls.h"
#include "c10d/errors.h"
#include "c10d/overlap.h"
#include "c10d/sparse.h"
#include "c10d/tensors.h"

namespace torch_ring {
namespace {

using c10d::OpType;

// Of an option that names one of several tensors in a call, which there are none of.
void check_root_tensor(int64_t root_tensor, const char* collective) {
    RING_CHECK_VALUE(root_tensor == 0, collective, " with rootTensor ", root_tensor,
                     ": a call has one tensor, number 0");
}

// As gloo does it, and NCCL.
void check_one_dtype(const Tensors& tensors, const char* collective) {
    for (const at::Tensor& tensor : tensors)
        RING_CHECK_TYPE(tensor.scalar_type() == tensors[0].scalar_type(), collective,
                        " of tensors of different dtypes, ", tensors[0].scalar_type(), " and ",
                        tensor.scalar_type(), ": call it once for each dtype");
}

}  // namespace

RingBackend::WorkPtr RingBackend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
    const at::Tensor& tensor =
        only(tensors, "all_reduce", ", or all_reduce_coalesced, which takes them together");
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
    const at::Tensor mine = coalesced(tensor);
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
    constexpr const char* kName = "all_reduce_coalesced";
    RING_CHECK_VALUE(!tensors.empty(), kName, " requires non-empty tensor list");
    check_one_dtype(tensors, kName);
    RingWork::Call call = call_of(OpType::ALLREDUCE_COALESCED, "ring:all_reduce", tensors, tensors, options);
    Overlap overlap;
    for (const at::Tensor& tensor : tensors) overlap.in_place(tensor);
    call.staging.set_apart_if(overlap.found());
    for (const at::Tensor& tensor : tensors) add_all_reduce(call, tensor, options.reduceOp);
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce(Tensors& tensors, const c10d::ReduceOptions& options) {
    RingWork::Call call = call_of(OpType::REDUCE, "ring:reduce", tensors, tensors, options);
    check_root_tensor(options.rootTensor, "reduce");
    add_reduce(call, only(tensors, "reduce"), options.reduceOp, options.rootRank, getRank());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
    RingWork::Call call = call_of(OpType::BROADCAST, "ring:broadcast", tensors, tensors, options);
    check_root_tensor(options.rootTensor, "broadcast");
    add_broadcast(call, only(tensors, "broadcast"), options.rootRank, getRank());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather(TensorLists& outputs, Tensors& inputs,
                                            const c10d::AllgatherOptions& options) {
    const Tensors& list = only(outputs, "all_gather");
    RingWork::Call call = call_of(OpType::ALLGATHER, "ring:all_gather", inputs, list, options);
    const at::Tensor& input = only(inputs, "all_gather");
    Overlap overlap;
    overlap.gather(list, input, getRank());
    call.staging.set_apart_if(overlap.found());
    add_all_gather(call, list, input, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                                  const c10d::AllgatherOptions& options) {
    RingWork::Call call = call_of(OpType::_ALLGATHER_BASE, "ring:all_gather", {input}, {output}, options);
    Overlap overlap;
    overlap.gather_into(output, input, getRank(), getSize());
    call.staging.set_apart_if(overlap.found());
    add_all_gather_into(call, output, input, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather_coalesced(TensorLists& outputs, Tensors& inputs,
                                                      const c10d::AllgatherOptions& options) {
    RING_CHECK_VALUE(!inputs.empty(), "all_gather_coalesced requires non-empty input tensor list");
    // outputs[rank][i] takes inputs[i] of that rank.
    RING_CHECK_VALUE(outputs.size() == static_cast<size_t>(getSize()), "all_gather_coalesced into ",
                     outputs.size(), " lists in a group of ", getSize(), " ranks");
    Tensors all;
    for (const Tensors& list : outputs) {
        RING_CHECK_VALUE(list.size() == inputs.size(), "all_gather_coalesced of ", inputs.size(),
                         " tensors into a list of ", list.size());
        all.insert(all.end(), list.begin(), list.end());
    }
    RingWork::Call call = call_of(OpType::ALLGATHER_COALESCED, "ring:all_gather", inputs, all, options);
    std::vector<Tensors> outputs_of(inputs.size());
    Overlap overlap;
    for (size_t i = 0; i < inputs.size(); ++i) {
        for (const Tensors& list : outputs) outputs_of[i].push_back(list[i]);
        overlap.gather(outputs_of[i], inputs[i], getRank());
    }
    call.staging.set_apart_if(overlap.found());
    for (size_t i = 0; i < inputs.size(); ++i)
        add_all_gather(call, outputs_of[i], inputs[i], getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                                  const c10d::AllgatherOptions& options) {
    RING_CHECK_VALUE(outputs.size() == inputs.size(), "all_gather_into_tensor_coalesced of ", inputs.size(),
                     " tensors into ", outputs.size());
    RingWork::Call call = call_of(OpType::ALLGATHER_COALESCED, "ring:all_gather", inputs, outputs, options);
    Overlap overlap;
    for (size_t i = 0; i < inputs.size(); ++i)
        overlap.gather_into(outputs[i], inputs[i], getRank(), getSize());
    call.staging.set_apart_if(overlap.found());
    for (size_t i = 0; i < inputs.size(); ++i) add_all_gather_into(call, outputs[i], inputs[i], getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce_scatter(Tensors& outputs, TensorLists& inputs,
                                                 const c10d::ReduceScatterOptions& options) {
    const Tensors& list = only(inputs, "reduce_scatter");
    RingWork::Call call = call_of(OpType::REDUCE_SCATTER, "ring:reduce_scatter", list, outputs, options);
    const at::Tensor& output = only(outputs, "reduce_scatter");
    Overlap overlap;
    overlap.scatter(output, list, getRank());
    call.staging.set_apart_if(overlap.found());
    add_reduce_scatter(call, output, list, options.reduceOp, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::_reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                                       const c10d::ReduceScatterOptions& options) {
    RingWork::Call call =
        call_of(OpType::_REDUCE_SCATTER_BASE, "ring:reduce_scatter", {input}, {output}, options);
    Overlap overlap;
    overlap.scatter_from(output, input, getRank(), getSize());
    call.staging.set_apart_if(overlap.found());
    add_reduce_scatter_tensor(call, output, input, options.reduceOp, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                                  const c10d::ReduceScatterOptions& options) {
    RING_CHECK_VALUE(outputs.size() == inputs.size(), "reduce_scatter_tensor_coalesced of ", inputs.size(),
                     " tensors into ", outputs.size());
    RingWork::Call call = call_of(OpType::COALESCED, "ring:reduce_scatter", inputs, outputs, options);
    Overlap overlap;
    for (size_t i = 0; i < inputs.size(); ++i)
        overlap.scatter_from(outputs[i], inputs[i], getRank(), getSize());
    call.staging.set_apart_if(overlap.found());
    for (size_t i = 0; i < inputs.size(); ++i)
        add_reduce_scatter_tensor(call, outputs[i], inputs[i], options.reduceOp, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::gather(TensorLists& outputs, Tensors& inputs,
                                         const c10d::GatherOptions& options) {
    const Tensors& list = at_most_one(outputs, "gather");
    RingWork::Call call = call_of(OpType::GATHER, "ring:gather", inputs, list, options);
    const at::Tensor& input = only(inputs, "gather");
    Overlap overlap;
    overlap.gather(list, input, getRank());
    call.staging.set_apart_if(overlap.found());
    add_gather(call, list, input, options.rootRank, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::scatter(Tensors& outputs, TensorLists& inputs,
                                          const c10d::ScatterOptions& options) {
    const Tensors& list = at_most_one(inputs, "scatter");
    RingWork::Call call = call_of(OpType::SCATTER, "ring:scatter", list, outputs, options);
    const at::Tensor& output = only(outputs, "scatter");
    Overlap overlap;
    overlap.scatter(output, list, getRank());
    call.staging.set_apart_if(overlap.found());
    add_scatter(call, output, list, options.rootRank, getRank(), getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::alltoall_base(at::Tensor& output, at::Tensor& input,
                                                std::vector<int64_t>& output_splits,
                                                std::vector<int64_t>& input_splits,
                                                const c10d::AllToAllOptions& options) {
    RingWork::Call call = call_of(OpType::ALLTOALL_BASE, "ring:all_to_all", {input}, {output}, options);
    Overlap overlap;
    overlap.in_place(output);
    overlap.apart(input);
    call.staging.set_apart_if(overlap.found());
    add_all_to_all_single(call, output, input, output_splits, input_splits, getSize());
    return start(std::move(call));
}

RingBackend::WorkPtr RingBackend::alltoall(Tensors& outputs, Tensors& inputs,
                                           const c10d::AllToAllOptions& options) {
    RingWork::Call call = call_of(OpType::ALLTOALL, "ring:all_to_all", inputs, outputs, options);
    Overlap overlap;
    overlap.exchange(outputs, inputs);
    call.staging.set_apart_if(overlap.found());
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
