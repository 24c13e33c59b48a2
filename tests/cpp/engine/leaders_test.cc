// Which progress thread leads, and when another one takes its place.
#include "ring/engine/leaders.h"

#include <gtest/gtest.h>

#include <functional>

#include "group.h"

namespace ring::testing {
namespace {

// An engine whose leader does what the test says, one thing after another.
class Led {
  public:
    Led()
        : leaders_([this] {
              loops_.fetch_add(1);
              while (leaders_.leads()) {
                  std::function<void()> task;
                  {
                      const std::lock_guard lock(mutex_);
                      last_ = std::this_thread::get_id();
                      task = std::exchange(task_, nullptr);
                  }
                  if (task) task();
                  std::this_thread::yield();
              }
          }) {
        leaders_.start();
    }
    ~Led() {
        leaders_.stop([] {});
    }

    Leaders& leaders() { return leaders_; }

    // By whoever leads next.
    void run(std::function<void()> task) {
        const std::lock_guard lock(mutex_);
        task_ = std::move(task);
    }
    // The thread that leads now; it comes by there again and again.
    std::thread::id leader() {
        {
            const std::lock_guard lock(mutex_);
            last_ = {};
        }
        std::thread::id found;
        EXPECT_TRUE(eventually([&] {
            const std::lock_guard lock(mutex_);
            found = last_;
            return found != std::thread::id();
        }));
        return found;
    }
    // How often a thread has begun to lead.
    int loops() const { return loops_.load(); }

  private:
    std::mutex mutex_;
    std::function<void()> task_;
    std::thread::id last_;
    std::atomic<int> loops_{0};
    Leaders leaders_;
};

TEST(Leaders, OneLeadsAndNobodyElse) {
    Led led;
    EXPECT_FALSE(led.leaders().leads());
    EXPECT_EQ(led.leader(), led.leader());
    EXPECT_EQ(led.loops(), 1);
}

TEST(Leaders, AShortCallbackKeepsTheLead) {
    Led led;
    std::atomic<int> done{0};
    for (int i = 0; i < 50; ++i) {
        led.run([&] {
            led.leaders().foreign_begin();
            led.leaders().foreign_end();
            ++done;
        });
        ASSERT_TRUE(eventually([&] { return done.load() == i + 1; }));
    }
    // Where this machine is busy even a short one may take longer than the patience of who stands by.
    EXPECT_LT(led.loops(), 10);
}

TEST(Leaders, ALongCallbackLosesTheLeadAndTheThreadStandsBy) {
    Led led;
    for (int i = 1; i <= 3; ++i) {
        const auto before = led.leader();
        std::atomic<bool> let_go{false};
        std::atomic<int> led_before_and_after{-1};
        led.run([&] {
            const int leads = led.leaders().leads() ? 2 : 0;
            led.leaders().foreign_begin();
            eventually([&] { return let_go.load(); });
            led.leaders().foreign_end();
            led_before_and_after = leads + (led.leaders().leads() ? 1 : 0);
        });
        ASSERT_TRUE(eventually([&] { return led.loops() == i + 1; }));
        EXPECT_NE(led.leader(), before);
        let_go = true;
        ASSERT_TRUE(eventually([&] { return led_before_and_after.load() == 2; }));
        EXPECT_FALSE(led.leaders().foreign_elsewhere());
    }
}

// It asks for one before its patience ends, and from the innermost of two calls.
TEST(Leaders, ACallbackThatMayWaitIsReplacedAtOnce) {
    Led led;
    std::atomic<bool> replaced{false};
    led.run([&] {
        led.leaders().foreign_begin();
        led.leaders().foreign_begin();
        led.leaders().need();
        replaced = eventually([&] { return led.loops() == 2 && !led.leaders().leads(); });
        led.leaders().foreign_end();
        led.leaders().foreign_end();
    });
    ASSERT_TRUE(eventually([&] { return replaced.load(); }));
    EXPECT_EQ(led.loops(), 2);
}

// As many as there are callbacks that wait for each other's end.
TEST(Leaders, EachCallbackThatWaitsGetsASuccessor) {
    Led led;
    constexpr int kDeep = 5;
    std::atomic<int> inside{0};
    std::atomic<int> out{0};
    std::function<void()> task = [&] {
        led.leaders().foreign_begin();
        if (++inside < kDeep) led.run(task);
        eventually([&] { return inside.load() == kDeep; });
        led.leaders().foreign_end();
        ++out;
    };
    led.run(task);
    ASSERT_TRUE(eventually([&] { return out.load() == kDeep; }));
    const auto leader = led.leader();
    EXPECT_EQ(led.leader(), leader);
}

// Code of the user's on a thread that never led is nothing to the leaders.
TEST(Leaders, OtherThreadsMayRunCodeOfTheUsers) {
    Led led;
    const auto leader = led.leader();
    led.leaders().foreign_begin();
    led.leaders().need();
    EXPECT_FALSE(led.leaders().foreign_elsewhere());
    std::thread([&] { EXPECT_TRUE(led.leaders().foreign_elsewhere()); }).join();
    led.leaders().foreign_end();
    EXPECT_EQ(led.leader(), leader);
    EXPECT_EQ(led.loops(), 1);
}

TEST(Leaders, EndWhileOneIsInACallback) {
    std::atomic<bool> entered{false};
    std::atomic<bool> left{false};
    {
        Led led;
        led.run([&] {
            led.leaders().foreign_begin();
            entered = true;
            std::this_thread::sleep_for(milliseconds(20));
            led.leaders().foreign_end();
            left = true;
        });
        ASSERT_TRUE(eventually([&] { return entered.load(); }));
    }
    EXPECT_TRUE(left.load());
}

}  // namespace
}  // namespace ring::testing
