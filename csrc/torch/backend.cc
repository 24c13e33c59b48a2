// See backend.h.
#include "torch/backend.h"

#include "ring/engine/engine.h"
#include "torch/errors.h"
#include "torch/store.h"

namespace torch_ring {
namespace {

[[noreturn]] void not_there_yet(const char* collective) {
    C10_THROW_ERROR(NotImplementedError, std::string("ring: ") + collective + " is not there yet");
}

ring::Signature signature(ring::Collective kind, ring::DType dtype, uint64_t count) {
    ring::Signature made;
    made.kind = kind;
    made.dtype = dtype;
    made.count = count;
    return made;
}

// What a collective starts with; its arguments and staging are filled in by the caller.
template <typename Options>
RingWork::Call call_of(c10d::OpType type, const char* title, std::vector<at::Tensor> inputs,
                       std::vector<at::Tensor> outputs, const Options& options) {
    RingWork::Call call;
    call.type = type;
    call.title = title;
    call.inputs = std::move(inputs);
    call.outputs = std::move(outputs);
    call.timeout = options.timeout;
    call.async = options.asyncOp;
    return call;
}

void check_alike(const at::Tensor& one, const at::Tensor& other, const char* collective) {
    TORCH_CHECK_VALUE(one.scalar_type() == other.scalar_type(), "ring: ", collective,
                      " of tensors of different dtypes, ", one.scalar_type(), " and ", other.scalar_type());
    TORCH_CHECK_VALUE(one.numel() == other.numel(), "ring: ", collective, " of tensors of different sizes, ",
                      one.numel(), " and ", other.numel(), " elements");
}

// Splits one contiguous tensor into the addresses of `ranks` equal parts.
template <typename Pointer>
std::vector<Pointer> parts_of(const at::Tensor& tensor, int ranks) {
    std::vector<Pointer> parts;
    const size_t bytes = tensor.nbytes() / static_cast<size_t>(ranks);
    for (int r = 0; r < ranks; ++r) parts.push_back(static_cast<char*>(tensor.data_ptr()) + r * bytes);
    return parts;
}

}  // namespace

RingBackend::RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                         std::chrono::milliseconds timeout)
    : c10d::Backend(rank, size), options_(c10::make_intrusive<Options>(kBackendName, timeout)) {
    TorchStore adapted(store);
    group_ = translated([&] {
        return ring::Communicator::create(
            ring::Engine::of_process(), adapted,
            {.rank = rank, .size = size, .timeout = timeout, .store_host = adapted.host()});
    });
}

void RingBackend::setTimeout(std::chrono::milliseconds timeout) {
    group_->set_timeout(timeout);
    options_->timeout = timeout;
}

c10d::ErrorType RingBackend::getError() {
    const auto failure = group_->failure();
    if (!failure) return c10d::ErrorType::SUCCESS;
    return failure->kind == ring::FailureKind::kTimeout ? c10d::ErrorType::TIMEOUT
                                                        : c10d::ErrorType::COMM_ERROR;
}

RingBackend::WorkPtr RingBackend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
    constexpr const char* kName = "all_reduce";
    const at::Tensor& tensor = only(tensors, kName);
    RingWork::Call call = call_of(c10d::OpType::ALLREDUCE, "ring:all_reduce", tensors, tensors, options);
    const at::Tensor data = call.staging.write(tensor);
    auto& arguments = call.arguments;
    arguments.signature =
        signature(ring::Collective::kAllReduce, reducible_dtype(tensor, kName), data.numel());
    arguments.signature.op = reduce_op(options.reduceOp, kName);
    arguments.input = arguments.output = data.data_ptr();
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
    const at::Tensor& tensor = only(tensors, "broadcast");
    RingWork::Call call = call_of(c10d::OpType::BROADCAST, "ring:broadcast", tensors, tensors, options);
    const at::Tensor data = call.staging.write(tensor);
    const Moved moved = moved_as(data);
    auto& arguments = call.arguments;
    arguments.signature = signature(ring::Collective::kBroadcast, moved.dtype, moved.count);
    arguments.signature.root = static_cast<int32_t>(options.rootRank);
    arguments.output = data.data_ptr();
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::allgather(TensorLists& outputs, Tensors& inputs,
                                            const c10d::AllgatherOptions& options) {
    constexpr const char* kName = "all_gather";
    const at::Tensor& input = only(inputs, kName);
    Tensors& list = only(outputs, kName);
    TORCH_CHECK_VALUE(list.size() == static_cast<size_t>(getSize()), "ring: all_gather into ", list.size(),
                      " tensors in a group of ", getSize(), " ranks");
    for (const at::Tensor& output : list) check_alike(output, input, kName);
    RingWork::Call call = call_of(c10d::OpType::ALLGATHER, "ring:all_gather", inputs, list, options);
    const at::Tensor data = call.staging.read(input);
    const Moved moved = moved_as(data);
    auto& arguments = call.arguments;
    arguments.signature = signature(ring::Collective::kAllGather, moved.dtype, moved.count);
    arguments.input = data.data_ptr();
    for (const at::Tensor& output : list) arguments.outputs.push_back(call.staging.write(output).data_ptr());
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                                  const c10d::AllgatherOptions& options) {
    constexpr const char* kName = "all_gather_into_tensor";
    check_tensor(input, kName);
    check_tensor(output, kName);
    TORCH_CHECK_VALUE(
        output.scalar_type() == input.scalar_type() && output.numel() == input.numel() * getSize(),
        "ring: all_gather_into_tensor of ", input.scalar_type(), "[", input.numel(), "] on ", getSize(),
        " ranks needs an output of ", input.numel() * getSize(), " elements of the same dtype, not ",
        output.scalar_type(), "[", output.numel(), "]");
    RingWork::Call call =
        call_of(c10d::OpType::_ALLGATHER_BASE, "ring:all_gather", {input}, {output}, options);
    const at::Tensor data = call.staging.read(input);
    const Moved moved = moved_as(data);
    auto& arguments = call.arguments;
    arguments.signature = signature(ring::Collective::kAllGather, moved.dtype, moved.count);
    arguments.input = data.data_ptr();
    arguments.outputs = parts_of<void*>(call.staging.write(output), getSize());
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::reduce_scatter(Tensors& outputs, TensorLists& inputs,
                                                 const c10d::ReduceScatterOptions& options) {
    constexpr const char* kName = "reduce_scatter";
    const at::Tensor& output = only(outputs, kName);
    Tensors& list = only(inputs, kName);
    TORCH_CHECK_VALUE(list.size() == static_cast<size_t>(getSize()), "ring: reduce_scatter of ", list.size(),
                      " tensors in a group of ", getSize(), " ranks");
    for (const at::Tensor& input : list) check_alike(input, output, kName);
    RingWork::Call call =
        call_of(c10d::OpType::REDUCE_SCATTER, "ring:reduce_scatter", list, outputs, options);
    auto& arguments = call.arguments;
    arguments.signature =
        signature(ring::Collective::kReduceScatter, reducible_dtype(output, kName), output.numel());
    arguments.signature.op = reduce_op(options.reduceOp, kName);
    for (const at::Tensor& input : list) arguments.inputs.push_back(call.staging.read(input).data_ptr());
    arguments.output = call.staging.write(output).data_ptr();
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::_reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                                       const c10d::ReduceScatterOptions& options) {
    constexpr const char* kName = "reduce_scatter_tensor";
    check_tensor(input, kName);
    check_tensor(output, kName);
    TORCH_CHECK_VALUE(
        output.scalar_type() == input.scalar_type() && input.numel() == output.numel() * getSize(),
        "ring: reduce_scatter_tensor into ", output.scalar_type(), "[", output.numel(), "] on ", getSize(),
        " ranks needs an input of ", output.numel() * getSize(), " elements of the same dtype, not ",
        input.scalar_type(), "[", input.numel(), "]");
    RingWork::Call call =
        call_of(c10d::OpType::_REDUCE_SCATTER_BASE, "ring:reduce_scatter", {input}, {output}, options);
    auto& arguments = call.arguments;
    arguments.signature =
        signature(ring::Collective::kReduceScatter, reducible_dtype(output, kName), output.numel());
    arguments.signature.op = reduce_op(options.reduceOp, kName);
    arguments.inputs = parts_of<const void*>(call.staging.read(input), getSize());
    arguments.output = call.staging.write(output).data_ptr();
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::barrier(const c10d::BarrierOptions& options) {
    RingWork::Call call = call_of(c10d::OpType::BARRIER, "ring:barrier", {}, {}, options);
    call.arguments.signature = signature(ring::Collective::kBarrier, ring::DType::kUInt8, 0);
    return RingWork::start(group_, std::move(call));
}

RingBackend::WorkPtr RingBackend::allreduce_sparse(Tensors&, const c10d::AllreduceOptions&) {
    not_there_yet("all_reduce of sparse tensors");
}
RingBackend::WorkPtr RingBackend::allreduce_coalesced(Tensors&, const c10d::AllreduceCoalescedOptions&) {
    not_there_yet("all_reduce_coalesced");
}
RingBackend::WorkPtr RingBackend::reduce(Tensors&, const c10d::ReduceOptions&) {
    not_there_yet("reduce");
}
RingBackend::WorkPtr RingBackend::allgather_coalesced(TensorLists&, Tensors&, const c10d::AllgatherOptions&) {
    not_there_yet("all_gather_coalesced");
}
RingBackend::WorkPtr RingBackend::allgather_into_tensor_coalesced(Tensors&, Tensors&,
                                                                  const c10d::AllgatherOptions&) {
    not_there_yet("all_gather_into_tensor_coalesced");
}
RingBackend::WorkPtr RingBackend::gather(TensorLists&, Tensors&, const c10d::GatherOptions&) {
    not_there_yet("gather");
}
RingBackend::WorkPtr RingBackend::scatter(Tensors&, TensorLists&, const c10d::ScatterOptions&) {
    not_there_yet("scatter");
}
RingBackend::WorkPtr RingBackend::reduce_scatter_tensor_coalesced(Tensors&, Tensors&,
                                                                  const c10d::ReduceScatterOptions&) {
    not_there_yet("reduce_scatter_tensor_coalesced");
}
RingBackend::WorkPtr RingBackend::alltoall_base(at::Tensor&, at::Tensor&, std::vector<int64_t>&,
                                                std::vector<int64_t>&, const c10d::AllToAllOptions&) {
    not_there_yet("all_to_all_single");
}
RingBackend::WorkPtr RingBackend::alltoall(Tensors&, Tensors&, const c10d::AllToAllOptions&) {
    not_there_yet("all_to_all");
}
void RingBackend::monitoredBarrier(const c10d::BarrierOptions&, bool) {
    not_there_yet("monitored_barrier");
}
RingBackend::WorkPtr RingBackend::send(Tensors&, int, int) {
    not_there_yet("send");
}
RingBackend::WorkPtr RingBackend::recv(Tensors&, int, int) {
    not_there_yet("recv");
}
RingBackend::WorkPtr RingBackend::recvAnysource(Tensors&, int) {
    not_there_yet("recv from any source");
}

}  // namespace torch_ring
