// What a collective returns to torch: c10d::Work over one operation of libring.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <memory>
#include <mutex>
#include <vector>

#include "ring/engine/communicator.h"
#include "torch/tensors.h"

namespace torch_ring {

// Thread-safe. Keeps the tensors alive until the operation is done.
class RingWork : public c10d::Work {
  public:
    struct Call {
        ring::Arguments arguments;
        Staging staging;
        std::vector<at::Tensor> outputs;  // the caller's, as result() and the future give them
        c10d::OpType type = c10d::OpType::UNKNOWN;
        const char* title = nullptr;                              // of the profiler's span: "ring:all_reduce"
        std::vector<at::Tensor> inputs;                           // for the profiler
        std::chrono::milliseconds timeout = c10d::kUnsetTimeout;  // c10d::kUnsetTimeout: the group's
        bool async = true;
    };

    // Posts the operation. An asynchronous one goes on by itself; any other runs when it is waited for.
    static c10::intrusive_ptr<RingWork> start(const std::shared_ptr<ring::Communicator>& group, Call call);

    RingWork(std::shared_ptr<ring::Communicator> group, const Call& call);

    // kNoTimeout waits until the operation's own deadline.
    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
    void synchronize() override { wait(); }
    void abort() override;
    std::vector<at::Tensor> result() override { return outputs_; }
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;

  private:
    // Runs once, in the thread that drove the operation.
    void complete(const std::exception_ptr& error);
    void settle(c10::ivalue::Future& future) const;

    const std::shared_ptr<ring::Communicator> group_;
    std::shared_ptr<ring::Operation> operation_;
    Staging staging_;
    std::vector<at::Tensor> outputs_;
    std::mutex future_mutex_;  // guards what follows
    c10::intrusive_ptr<c10::ivalue::Future> future_;
    bool complete_ = false;
};

}  // namespace torch_ring
