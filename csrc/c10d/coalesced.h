// Several works as one, as endCoalescing() returns them.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <vector>

namespace torch_ring {

// Thread-safe. Its result is that of all its works, one after the other.
class CoalescedWork : public c10d::Work {
  public:
    using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

    explicit CoalescedWork(Works works) : works_(std::move(works)) {}

    // Waits for all of them, then throws what the first that failed threw.
    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
    void synchronize() override { wait(); }
    void abort() override;
    bool isCompleted() override;
    bool isSuccess() const override;
    std::exception_ptr exception() const override;
    std::vector<at::Tensor> result() override;
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;

  private:
    const Works works_;
};

}  // namespace torch_ring
