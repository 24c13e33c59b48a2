// The backend `ring`: c10d's collectives as operations of a ring::Communicator.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <memory>

#include "ring/engine/communicator.h"
#include "torch/work.h"

namespace torch_ring {

constexpr const char* kBackendName = "ring";

// Thread-safe. Collectives that are not there yet throw NotImplementedError that names them.
class RingBackend : public c10d::Backend {
  public:
    using Tensors = std::vector<at::Tensor>;
    using TensorLists = std::vector<std::vector<at::Tensor>>;
    using WorkPtr = c10::intrusive_ptr<c10d::Work>;

    // Forms the group; all ranks must call it. Throws typed errors that name the ranks that did not come.
    RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                std::chrono::milliseconds timeout);

    const std::string getBackendName() const override { return kBackendName; }
    c10::intrusive_ptr<Options> getBackendOptions() override { return options_; }
    void setTimeout(std::chrono::milliseconds timeout) override;
    void setSequenceNumberForGroup() override {}  // it counts from the same start on every rank
    uint64_t getSequenceNumberForGroup() override { return group_->operations_posted(); }
    c10d::ErrorType getError() override;
    void abort() override { group_->abort("abort() was called"); }
    void shutdown() override { group_->shutdown(); }

    WorkPtr allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override;
    WorkPtr broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override;
    WorkPtr allgather(TensorLists& outputs, Tensors& inputs, const c10d::AllgatherOptions& options) override;
    WorkPtr _allgather_base(at::Tensor& output, at::Tensor& input,
                            const c10d::AllgatherOptions& options) override;
    WorkPtr reduce_scatter(Tensors& outputs, TensorLists& inputs,
                           const c10d::ReduceScatterOptions& options) override;
    WorkPtr _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                 const c10d::ReduceScatterOptions& options) override;
    WorkPtr barrier(const c10d::BarrierOptions& options) override;

    WorkPtr allreduce_sparse(Tensors&, const c10d::AllreduceOptions&) override;
    WorkPtr allreduce_coalesced(Tensors&, const c10d::AllreduceCoalescedOptions&) override;
    WorkPtr reduce(Tensors&, const c10d::ReduceOptions&) override;
    WorkPtr allgather_coalesced(TensorLists&, Tensors&, const c10d::AllgatherOptions&) override;
    WorkPtr allgather_into_tensor_coalesced(Tensors&, Tensors&, const c10d::AllgatherOptions&) override;
    WorkPtr gather(TensorLists&, Tensors&, const c10d::GatherOptions&) override;
    WorkPtr scatter(Tensors&, TensorLists&, const c10d::ScatterOptions&) override;
    WorkPtr reduce_scatter_tensor_coalesced(Tensors&, Tensors&, const c10d::ReduceScatterOptions&) override;
    WorkPtr alltoall_base(at::Tensor&, at::Tensor&, std::vector<int64_t>&, std::vector<int64_t>&,
                          const c10d::AllToAllOptions&) override;
    WorkPtr alltoall(Tensors&, Tensors&, const c10d::AllToAllOptions&) override;
    void monitoredBarrier(const c10d::BarrierOptions&, bool) override;
    WorkPtr send(Tensors&, int, int) override;
    WorkPtr recv(Tensors&, int, int) override;
    WorkPtr recvAnysource(Tensors&, int) override;

  private:
    std::shared_ptr<ring::Communicator> group_;
    c10::intrusive_ptr<Options> options_;
};

}  // namespace torch_ring
