// A group without ranks, for the tests of Baton: operations end when the test says that what they wait for
// has arrived, and the test may act at each point at which the driver calls it, from another thread.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "ring/engine/baton.h"

namespace ring::testing {

// Where a driver is. kWaits is in listen(), when it is about to wait.
enum class Point { kStep, kLookUp, kDoze, kReady, kListen, kWaits, kAwake, kArm, kCallBack };

class FakeGroup : private Driven, private ProgressThread {
  public:
    // Polls for as long.
    explicit FakeGroup(int spin_us = 0) : baton_(*this, *this, spin_us, 0) {}

    Baton& baton() { return baton_; }

    // What it waits for is not there yet.
    std::shared_ptr<Operation> post(Operation::OnDone on_done = nullptr) {
        return post(std::move(on_done), false);
    }
    // It is there already: no other rank will ring for it.
    std::shared_ptr<Operation> post_arrived() { return post(nullptr, true); }
    // By "another rank": what it waits for is there.
    void arrive(const std::shared_ptr<Operation>& operation) {
        {
            const std::lock_guard lock(mutex_);
            arrived_[operation.get()] = true;
        }
        waiting_.fetch_add(1);
        if (dozing_.exchange(false)) ring();
    }

    // What the descriptors tell of though nothing has been posted.
    void tell_news() {
        news_.store(true);
        ring();
    }
    bool has_news() const { return news_.load(); }

    void wait(const std::shared_ptr<Operation>& operation) {
        baton_.wait(*operation, Clock::time_point::max());
    }

    // What another thread does when a driver comes to that point for the first time.
    void at(Point point, std::function<void()> act) {
        const std::lock_guard lock(mutex_);
        acts_[point] = std::move(act);
    }

    // While one is alive the calling thread is the progress thread, and leads.
    class Leading {
      public:
        Leading() { leads_here_ = true; }
        ~Leading() { leads_here_ = false; }
        Leading(const Leading&) = delete;
        Leading& operator=(const Leading&) = delete;
    };
    static void lose_lead() { leads_here_ = false; }

    // Whether the progress thread would be woken: by an event of armed descriptors, or because it was kicked.
    bool told() {
        const std::lock_guard lock(event_mutex_);
        return kicked_ || (armed_ && event_);
    }
    // Waits until it would; false at the deadline. Notes it as the engine does.
    bool wait_told(Clock::time_point until) {
        std::unique_lock lock(event_mutex_);
        if (!event_changed_.wait_until(lock, until, [&] { return kicked_ || (armed_ && event_); }))
            return false;
        kicked_ = false;
        const bool woken = armed_ && event_;
        if (woken) armed_ = false;
        lock.unlock();
        if (woken) baton_.woken();
        return true;
    }

    // How often a driver slept to the end of its time though there was something to do.
    int overslept() const { return overslept_.load(); }
    // How often two threads drove at once.
    int collisions() const { return collisions_.load(); }
    std::thread::id last_driver() const { return last_driver_.load(); }
    // As long as it is set, each step moves something.
    void keep_busy(bool busy) { busy_.store(busy); }
    // As long as it is set, whoever drives polls on, however long it has.
    void poll_on(bool polls_on) { polls_on_.store(polls_on); }

  private:
    std::shared_ptr<Operation> post(Operation::OnDone on_done, bool arrived) {
        const auto operation = std::make_shared<Operation>(Arguments{}, Clock::now(),
                                                           std::chrono::seconds(60), std::move(on_done));
        {
            const std::lock_guard lock(mutex_);
            posted_.push_back(operation);
            arrived_[operation.get()] = arrived;
        }
        unfinished_.fetch_add(1);
        waiting_.fetch_add(1);
        if (baton_.sleeps()) ring();
        return operation;
    }

    // Of what only the holder of the baton may call.
    class Inside {
      public:
        explicit Inside(const FakeGroup& group) : group_(group) {
            if (group_.inside_.exchange(true)) group_.collisions_.fetch_add(1);
        }
        ~Inside() { group_.inside_.store(false); }
        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;

      private:
        const FakeGroup& group_;
    };

    void come_by(Point point) const {
        std::function<void()> act;
        {
            const std::lock_guard lock(mutex_);
            if (const auto at = acts_.find(point); at != acts_.end()) {
                act = std::move(at->second);
                acts_.erase(at);
            }
        }
        if (act) std::thread(act).join();
    }

    void ring() {
        const std::lock_guard lock(event_mutex_);
        event_ = true;
        event_changed_.notify_all();
    }

    Step step() override {
        come_by(Point::kStep);
        const Inside inside(*this);
        last_driver_.store(std::this_thread::get_id());
        bool moved = busy_.load();
        bool more = false;
        waiting_.store(0);
        if (news_.exchange(false)) moved = true;
        std::vector<std::shared_ptr<Operation>> done;
        {
            const std::lock_guard lock(mutex_);
            moved = moved || !posted_.empty();
            under_way_.insert(under_way_.end(), posted_.begin(), posted_.end());
            posted_.clear();
            std::erase_if(under_way_, [&](const auto& one) {
                if (!arrived_[one.get()]) return false;
                done.push_back(one);
                return true;
            });
            more = !under_way_.empty();
        }
        for (const auto& operation : done) {
            if (operation->on_done)
                baton_.defer({operation, nullptr});
            else
                unfinished_.fetch_sub(1);
            operation->finish(nullptr);
            baton_.ended();
        }
        if (moved || !done.empty()) return Step::kMoved;
        return more ? Step::kPoll : Step::kSleep;
    }

    void look_up() override { come_by(Point::kLookUp); }

    bool ready() const override {
        come_by(Point::kReady);
        const Inside inside(*this);
        return is_ready();
    }
    bool is_ready() const { return waiting_.load() > 0 || news_.load(); }

    bool listen(Clock::time_point until) override {
        come_by(Point::kListen);
        const bool waits = until > Clock::now();
        if (waits) come_by(Point::kWaits);
        const Inside inside(*this);
        std::unique_lock lock(event_mutex_);
        const bool any = event_changed_.wait_until(lock, until, [&] { return event_; });
        event_ = false;
        if (waits && !any && is_ready()) overslept_.fetch_add(1);
        return any;
    }

    Clock::time_point wake_time() const override { return Clock::time_point::max() - std::chrono::hours(1); }

    void doze() override {
        come_by(Point::kDoze);
        const Inside inside(*this);
        dozing_.store(true);
    }

    void awake() override {
        come_by(Point::kAwake);
        const Inside inside(*this);
        dozing_.store(false);
    }

    bool polls_on() override { return polls_on_.load(); }

    Left left() const override { return has_work() ? Left::kMore : Left::kNothing; }
    bool has_work() const override { return unfinished_.load() > 0; }

    void arm() override {
        come_by(Point::kArm);
        const std::lock_guard lock(event_mutex_);
        armed_ = true;
        event_changed_.notify_all();
    }

    void call_back(const Finished& finished) override {
        come_by(Point::kCallBack);
        unfinished_.fetch_sub(1);
        std::exchange(finished.operation->on_done, nullptr)(finished.error);
    }

    void kick() override {
        const std::lock_guard lock(event_mutex_);
        kicked_ = true;
        event_changed_.notify_all();
    }
    void look_soon() override { kick(); }
    // ProgressThread.
    void foreign_begin() override {}
    void foreign_end() override {}
    bool leads() const override { return leads_here_; }

    static inline thread_local bool leads_here_ = false;

    mutable std::mutex mutex_;
    mutable std::map<Point, std::function<void()>> acts_;
    std::deque<std::shared_ptr<Operation>> posted_;
    std::vector<std::shared_ptr<Operation>> under_way_;
    std::map<Operation*, bool> arrived_;
    std::mutex event_mutex_;
    std::condition_variable event_changed_;
    bool event_ = false;
    bool armed_ = false;
    bool kicked_ = false;
    // Sequentially consistent all: the order of what one thread makes ready and another looks at is tested.
    std::atomic<int> unfinished_{0};
    std::atomic<int> waiting_{0};  // for a step
    std::atomic<bool> dozing_{false};
    std::atomic<bool> news_{false};
    std::atomic<bool> busy_{false};
    std::atomic<bool> polls_on_{false};
    std::atomic<int> overslept_{0};
    mutable std::atomic<bool> inside_{false};
    mutable std::atomic<int> collisions_{0};
    std::atomic<std::thread::id> last_driver_{};
    Baton baton_;
};

}  // namespace ring::testing
