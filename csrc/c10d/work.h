// What a collective returns to torch: c10d::Work over one operation of libring, or several.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "c10d/staging.h"
#include "ring/engine/communicator.h"

namespace torch_ring {

// Thread-safe. Keeps the tensors alive until the operations are done.
class RingWork : public c10d::Work {
  public:
    struct Call {
        c10::SmallVector<ring::Arguments, 1> arguments;  // of each operation, in order
        Staging staging;
        std::vector<at::Tensor> outputs;  // the caller's, as result() and the future give them
        c10d::OpType type = c10d::OpType::UNKNOWN;
        const char* title = nullptr;                              // of the profiler's span: "ring:all_reduce"
        std::vector<at::Tensor> inputs;                           // for the profiler
        std::chrono::milliseconds timeout = c10d::kUnsetTimeout;  // c10d::kUnsetTimeout: the group's
        bool async = true;
        bool message = false;             // begun at once, as far as it gets
        std::function<void()> finally{};  // after the last operation, before the work is complete
    };

    // Posts the operations. An asynchronous work goes on by itself; any other is about to be waited for: it
    // runs then, or, if it is small, in here. So does a small message: send() and isend() look alike here.
    static c10::intrusive_ptr<RingWork> start(const std::shared_ptr<ring::Communicator>& group, Call call);

    RingWork(std::shared_ptr<ring::Communicator> group, const Call& call);

    // kNoTimeout waits until the operations' own deadline. What a signal's handler raises leaves it, and the
    // operations go on.
    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
    void synchronize() override { wait(); }
    void abort() override;
    std::vector<at::Tensor> result() override { return outputs_; }
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;
    // Of a receive that is complete: the rank that the message came from.
    int sourceRank() const override;

  private:
    // Run in the thread that drove an operation: after each, and once, after the last.
    void operation_done(const std::exception_ptr& error);
    void complete(std::exception_ptr outcome);
    void settle(c10::ivalue::Future& future) const;

    const std::shared_ptr<ring::Communicator> group_;
    c10::SmallVector<std::shared_ptr<ring::Operation>, 1> operations_;
    Staging staging_;
    std::function<void()> finally_;
    std::vector<at::Tensor> outputs_;
    const int peer_;            // of a message that goes to one rank, or comes from one
    std::mutex future_mutex_;   // guards what follows
    size_t unfinished_;         // operations
    std::exception_ptr error_;  // the first
    c10::intrusive_ptr<c10::ivalue::Future> future_;
    bool complete_ = false;
};

}  // namespace torch_ring
