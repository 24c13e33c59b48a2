// One collective that was called: its arguments, its place in the group's order, and how it ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "ring/base/clock.h"
#include "ring/collectives/context.h"

namespace ring {

// Made by Communicator::post(). Thread-safe but for `on_done`, which is set before posting.
class Operation {
  public:
    // Called once, by the thread that drove the operation to its end, with no lock held; null for success.
    using OnDone = std::function<void(std::exception_ptr)>;

    Operation(Arguments arguments, Clock::time_point posted, milliseconds timeout, OnDone on_done)
        : arguments(std::move(arguments)),
          posted(posted),
          timeout(timeout),
          deadline(posted + timeout + kTick),
          on_done(std::move(on_done)) {}

    // Acquire: whoever sees it done sees the results, and error().
    bool done() const { return done_.load(std::memory_order_acquire); }
    std::exception_ptr error() const { return error_; }

    // By the driver, once.
    void finish(std::exception_ptr error) {
        error_ = std::move(error);
        done_.store(true, std::memory_order_release);  // pairs with done()
    }

    // Of a receive: the rank that the message came from; set before it is done.
    int source() const { return source_; }
    void set_source(int rank) { source_ = rank; }

    // "all_reduce(float32[10]), operation 7", "send(float32[10], to rank 2), tag 5". `called` is the
    // signature, with ranks as they are to be named.
    std::string describe(const Signature& called) const {
        const std::string call = ring::describe(called);
        return number == 0 ? call + ", tag " + std::to_string(arguments.tag)
                           : call + ", operation " + std::to_string(number);
    }
    std::string describe() const { return describe(arguments.signature); }

    const Arguments arguments;
    const Clock::time_point posted;  // as last_tick() says
    const milliseconds timeout;
    const Deadline deadline;
    OnDone on_done;       // moved out to be called, so that what it holds is let go
    bool small = false;   // goes in the thread that posts it, as far as it gets; set by post()
    uint64_t number = 0;  // from 1, in the order of calls; set by post(). 0: a message, outside that order

  private:
    std::exception_ptr error_;
    int source_ = -1;
    std::atomic<bool> done_{false};
};

using OperationPtr = std::shared_ptr<Operation>;

}  // namespace ring
