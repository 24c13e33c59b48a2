// The backend `ring`: c10d's collectives as operations of a ring::Communicator.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "c10d/options.h"
#include "c10d/work.h"
#include "ring/engine/communicator.h"

namespace torch_ring {

// Thread-safe.
class RingBackend : public c10d::Backend {
  public:
    using Tensors = std::vector<at::Tensor>;
    using TensorLists = std::vector<std::vector<at::Tensor>>;
    using WorkPtr = c10::intrusive_ptr<c10d::Work>;

    // Forms the group; all ranks must call it. Throws typed errors that name the ranks that did not come.
    // `world` is the same for the groups of this process whose global ranks, those of the options, are those
    // of one group of all ranks, and for that; null if unknown. By default it is found by the store.
    RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                const c10::intrusive_ptr<RingOptions>& options);
    RingBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                const c10::intrusive_ptr<RingOptions>& options, const void* world);
    // Instead of the constructor, where this rank cannot come so far: lets the others know why. Never throws.
    static void refuse(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                       std::vector<int> global_ranks, const std::string& group_name,
                       const std::string& why) noexcept;

    const std::string getBackendName() const override { return kBackendName; }
    c10::intrusive_ptr<Options> getBackendOptions() override { return options_; }
    const c10::intrusive_ptr<RingOptions>& options() const { return options_; }
    void setTimeout(std::chrono::milliseconds timeout) override;
    void setSequenceNumberForGroup() override {}  // it counts from the same start on every rank
    uint64_t getSequenceNumberForGroup() override { return group_->operations_posted(); }
    c10d::ErrorType getError() override;
    void abort() override { group_->abort("abort() was called"); }
    void shutdown() override { group_->shutdown(); }

    // Groups made of this one. `opts` are of this class or another; where they are null, this group's are
    // taken. All ranks of this group call split(), with the ranks of their own part; null for a rank in none.
    // Asked a second time for a group that is alive, as torch does for each device type, it gives the same
    // one.
    bool supportsSplitting() const override { return true; }
    c10::intrusive_ptr<Backend> split(const c10::intrusive_ptr<c10d::Store>& store,
                                      const std::vector<int>& ranks,
                                      const c10::intrusive_ptr<Options>& opts) override;
    // The ranks that are left call it, whatever state this group is in: with SHRINK_ABORT (1) it is aborted.
    bool supportsShrinking() const override { return true; }
    c10::intrusive_ptr<Backend> shrink(const std::vector<int64_t>& ranks_to_exclude, int flags,
                                       const c10::intrusive_ptr<Options>& opts) override;
    c10::intrusive_ptr<Backend> merge(const c10::intrusive_ptr<c10d::Store>& store,
                                      const c10::intrusive_ptr<Options>& opts, const int& rank,
                                      const int& size) override;

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

    // Waits, before it returns, until it knows how many elements each rank has.
    WorkPtr allreduce_sparse(Tensors& tensors, const c10d::AllreduceOptions& options) override;
    WorkPtr allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& options) override;
    WorkPtr reduce(Tensors& tensors, const c10d::ReduceOptions& options) override;
    WorkPtr allgather_coalesced(TensorLists& outputs, Tensors& inputs,
                                const c10d::AllgatherOptions& options) override;
    WorkPtr allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                            const c10d::AllgatherOptions& options) override;
    WorkPtr gather(TensorLists& outputs, Tensors& inputs, const c10d::GatherOptions& options) override;
    WorkPtr scatter(Tensors& outputs, TensorLists& inputs, const c10d::ScatterOptions& options) override;
    WorkPtr reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                            const c10d::ReduceScatterOptions& options) override;
    WorkPtr alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_splits,
                          std::vector<int64_t>& input_splits, const c10d::AllToAllOptions& options) override;
    WorkPtr alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& options) override;
    // A barrier that the caller waits for. Like every operation it names all ranks that are missing.
    void monitoredBarrier(const c10d::BarrierOptions& options, bool wait_all_ranks) override;
    // Messages wait for nothing but their peer, whatever else the group does.
    WorkPtr send(Tensors& tensors, int to, int tag) override;
    WorkPtr recv(Tensors& tensors, int from, int tag) override;
    WorkPtr recvAnysource(Tensors& tensors, int tag) override;

    // What is called between the two also counts as one work, that of endCoalescing().
    bool supportsCoalescing() const override { return true; }
    void startCoalescing() override;
    WorkPtr endCoalescing() override;

  private:
    WorkPtr start(RingWork::Call call);
    WorkPtr start_sparse(const at::Tensor& tensor, const c10d::AllreduceOptions& options);

    // Those of a group of these ranks of this one.
    c10::intrusive_ptr<RingOptions> options_of(const c10::intrusive_ptr<Options>& given,
                                               const std::vector<int>& ranks) const;

    const c10::intrusive_ptr<c10d::Store> store_;
    const void* const world_;
    const c10::intrusive_ptr<RingOptions> options_;
    std::shared_ptr<ring::Communicator> group_;
    std::once_flag described_;
    std::mutex offspring_mutex_;                                          // guards what follows
    std::map<std::string, c10::weak_intrusive_ptr<RingBackend>> splits_;  // by name
    uint64_t shrinks_ = 0;
    std::mutex coalescing_mutex_;  // guards what follows
    std::optional<std::vector<WorkPtr>> coalescing_;
};

}  // namespace torch_ring
