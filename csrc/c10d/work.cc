// See work.h.
#include "c10d/work.h"

#include "c10d/errors.h"
#include "c10d/interrupts.h"

namespace torch_ring {

RingWork::RingWork(std::shared_ptr<ring::Communicator> group, const Call& call)
    : c10d::Work(-1, call.type, call.title, call.inputs),
      group_(std::move(group)),
      staging_(call.staging),
      finally_(call.finally),
      outputs_(call.outputs),
      peer_(call.message ? call.arguments.front().signature.root : ring::kAnySource),
      unfinished_(call.arguments.size()) {}

c10::intrusive_ptr<RingWork> RingWork::start(const std::shared_ptr<ring::Communicator>& group, Call call) {
    auto work = c10::make_intrusive<RingWork>(group, call);
    std::optional<ring::milliseconds> timeout;
    if (call.timeout != c10d::kUnsetTimeout) timeout = call.timeout;
    translated([&] {
        // All or none: a wrong argument is found before anything is sent.
        if (call.arguments.size() > 1)
            for (const ring::Arguments& arguments : call.arguments) group->check(arguments);
        const auto next = call.async ? ring::Communicator::Next::kUnknown : ring::Communicator::Next::kWaits;
        for (ring::Arguments& arguments : call.arguments) {
            const auto done = [work](std::exception_ptr error) { work->operation_done(error); };
            if (call.arguments.size() > 1 || (call.async && !call.message)) {
                work->operations_.push_back(group->post(std::move(arguments), timeout, done));
            } else if (auto operation = group->begin(arguments, timeout, done, next)) {
                work->operations_.push_back(std::move(operation));
            } else {
                done(nullptr);
            }
        }
    });
    if (call.arguments.empty()) work->complete(nullptr);
    if (call.async && !work->operations_.empty()) group->hand_over(work->operations_);
    return work;
}

void RingWork::operation_done(const std::exception_ptr& error) {
    {
        const std::lock_guard lock(future_mutex_);
        if (error_ == nullptr) error_ = error;
        if (--unfinished_ > 0) return;
    }
    complete(error_);
}

void RingWork::complete(std::exception_ptr outcome) {
    try {
        if (!outcome) staging_.write_back();
        if (!outcome && finally_) finally_();
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
    if (!future) return;
    const ring::Communicator::Foreign foreign(*group_);
    settle(*future);
}

bool RingWork::wait(std::chrono::milliseconds timeout) {
    if (!isCompleted()) {
        std::optional<ring::milliseconds> limit;
        if (timeout != kNoTimeout) limit = timeout;
        translated([&] {
            for (const auto& operation : operations_) {
                try {
                    group_->wait(operation, limit);
                } catch (const Interrupted&) {
                    throw;
                } catch (...) {
                    // What the operation failed with comes from complete(), below; this is the limit of this
                    // wait.
                    if (!operation->done()) throw;
                }
            }
            // A thread that the parent of a forked child had is not there to complete it.
            group_->check_process("wait()");
        });
        // Another thread may have driven it and be about to complete it.
        std::unique_lock lock(mutex_);
        cv_.wait(lock, [this] { return completed_; });
    }
    if (exception()) std::rethrow_exception(exception());
    return true;
}

void RingWork::abort() {
    group_->abort("the work of " +
                  (operations_.empty() ? "a call that had ended" : operations_[0]->describe()) +
                  " was aborted");
}

int RingWork::sourceRank() const {
    TORCH_CHECK(peer_ >= 0 || (!operations_.empty() && operations_[0]->done()),
                "ring: the source of a message is known when the receive is complete");
    return peer_ >= 0 ? peer_ : operations_[0]->source();
}

c10::intrusive_ptr<c10::ivalue::Future> RingWork::getFuture() {
    if (!isCompleted()) translated([&] { group_->check_process("get_future()"); });
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
