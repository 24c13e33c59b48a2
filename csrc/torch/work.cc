// See work.h.
#include "torch/work.h"

#include "torch/errors.h"

namespace torch_ring {

RingWork::RingWork(std::shared_ptr<ring::Communicator> group, const Call& call)
    : c10d::Work(-1, call.type, call.title, call.inputs),
      group_(std::move(group)),
      staging_(call.staging),
      outputs_(call.outputs) {}

c10::intrusive_ptr<RingWork> RingWork::start(const std::shared_ptr<ring::Communicator>& group, Call call) {
    auto work = c10::make_intrusive<RingWork>(group, call);
    std::optional<ring::milliseconds> timeout;
    if (call.timeout != c10d::kUnsetTimeout) timeout = call.timeout;
    translated([&] {
        work->operation_ = group->post(std::move(call.arguments), timeout,
                                       [work](std::exception_ptr error) { work->complete(error); });
    });
    if (call.async) group->hand_over();
    return work;
}

void RingWork::complete(const std::exception_ptr& error) {
    std::exception_ptr outcome = error;
    try {
        if (!outcome) staging_.write_back();
    } catch (...) {
        outcome = std::current_exception();
    }
    // First the profiler's span ends and isCompleted() turns true, then callbacks may run.
    finish(to_python(outcome));
    c10::intrusive_ptr<c10::ivalue::Future> future;
    {
        const std::lock_guard lock(future_mutex_);
        complete_ = true;
        future = future_;
    }
    if (future) settle(*future);
}

bool RingWork::wait(std::chrono::milliseconds timeout) {
    if (!isCompleted()) {
        std::optional<ring::milliseconds> limit;
        if (timeout != kNoTimeout) limit = timeout;
        translated([&] {
            try {
                group_->wait(operation_, limit);
            } catch (...) {
                // What the operation failed with comes from complete(), below; this is the limit of this
                // wait.
                if (!operation_->done()) throw;
            }
        });
        // Another thread may have driven it and be about to complete it.
        std::unique_lock lock(mutex_);
        cv_.wait(lock, [this] { return completed_; });
    }
    if (exception()) std::rethrow_exception(exception());
    return true;
}

void RingWork::abort() {
    group_->abort("the work of " + operation_->describe() + " was aborted");
}

c10::intrusive_ptr<c10::ivalue::Future> RingWork::getFuture() {
    std::unique_lock lock(future_mutex_);
    if (!future_) {
        future_ = c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()));
        if (complete_) settle(*future_);
    }
    return future_;
}

void RingWork::settle(c10::ivalue::Future& future) const {
    if (const auto error = exception()) {
        future.setError(error);
    } else {
        future.markCompleted(c10::IValue(outputs_));
    }
}

}  // namespace torch_ring
