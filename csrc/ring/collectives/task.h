// Collectives are coroutines: they read like straight code, and suspend where they would wait.
//
// A Task is one coroutine, which may co_await other Tasks and Waitables. A Strand is a Task that is being
// run: it knows what the innermost coroutine waits for, and goes on when that is ready. No thread belongs to
// it: whoever drives the group advances it. Destroying a Strand destroys the whole suspended chain, which is
// how an operation is abandoned.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>
#include <vector>

#include "ring/transport/waitable.h"

namespace ring {

class [[nodiscard]] Task {
  public:
    struct promise_type {
        std::coroutine_handle<> continuation;
        std::exception_ptr error;

        Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept {
            struct Resume {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
                    const auto next = self.promise().continuation;
                    return next ? next : std::noop_coroutine();
                }
                void await_resume() noexcept {}
            };
            return Resume{};
        }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { error = std::current_exception(); }
    };

    explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool done() const { return handle_.done(); }
    std::coroutine_handle<> handle() const { return handle_; }
    void rethrow() const {
        if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    }

    auto operator co_await() noexcept {
        struct Start {
            std::coroutine_handle<promise_type> child;
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) noexcept {
                child.promise().continuation = parent;
                return child;
            }
            void await_resume() {
                if (child.promise().error) std::rethrow_exception(child.promise().error);
            }
        };
        return Start{handle_};
    }

  private:
    std::coroutine_handle<promise_type> handle_;
};

class Strand {
  public:
    explicit Strand(Task root) : root_(std::move(root)), leaf_(root_.handle()) {}

    bool done() const { return root_.done(); }

    // Runs as far as possible without waiting; true if it moved. Throws what the collective, or a Waitable,
    // threw.
    bool advance() {
        if (waiting_ != nullptr && !waiting_->ready()) return false;
        waiting_ = nullptr;
        Strand* const outer = std::exchange(current(), this);
        leaf_.resume();
        current() = outer;
        if (done()) root_.rethrow();
        return true;
    }

    // Called by a coroutine that suspends.
    static void park(std::coroutine_handle<> leaf, Waitable* waiting) {
        current()->leaf_ = leaf;
        current()->waiting_ = waiting;
    }

    // Whether what it waits for is there; only meaningful while not done().
    bool ready() const { return waiting_ == nullptr || waiting_->ready(); }
    std::vector<int> awaited() const {
        return waiting_ != nullptr ? waiting_->awaited() : std::vector<int>{};
    }

  private:
    static Strand*& current() {
        static thread_local Strand* strand = nullptr;
        return strand;
    }

    Task root_;
    std::coroutine_handle<> leaf_;
    Waitable* waiting_ = nullptr;
};

// co_await until(Waitable(...)): goes on when it is ready. With `then`, calls that before it goes on: a step
// that waits once is not worth a coroutine of its own.
template <typename W, typename Then>
auto until(W waitable, Then then) {
    struct Wait {
        W waitable;
        Then then;
        bool await_ready() { return waitable.ready(); }
        void await_suspend(std::coroutine_handle<> leaf) { Strand::park(leaf, &waitable); }
        void await_resume() { then(); }
    };
    return Wait{std::move(waitable), std::move(then)};
}

template <typename W>
auto until(W waitable) {
    return until(std::move(waitable), [] {});
}

}  // namespace ring
