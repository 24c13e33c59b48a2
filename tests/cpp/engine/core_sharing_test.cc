// Who polls on where ranks share a core.
#include "ring/engine/core_sharing.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "segments.h"

namespace ring {
namespace {

using namespace ring::testing;

int here() {
    return ::sched_getcpu();
}
int elsewhere() {
    return ::sched_getcpu() + 1;
}

// Keeps the calling thread on the core that it is on.
class Pinned {
  public:
    Pinned() {
        ::sched_getaffinity(0, sizeof(before_), &before_);
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(::sched_getcpu(), &one);
        ::sched_setaffinity(0, sizeof(one), &one);
    }
    ~Pinned() { ::sched_setaffinity(0, sizeof(before_), &before_); }
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;

  private:
    cpu_set_t before_{};
};

bool ends(CoreSharing& sharing) {
    const Deadline deadline = Deadline::after(milliseconds(30'000));
    while (sharing.polls_on())
        if (deadline.passed()) return false;
    return true;
}

TEST(CoreSharing, PollsOnForAMomentWhereAnotherRankSleptOnItsCore) {
    const Pinned pinned;
    Segments segments(3);
    CoreSharing sharing(&segments.of(0), false, here);
    EXPECT_FALSE(sharing.polls_on()) << "nobody has slept yet";
    segments.of(0).sleep_begin();
    EXPECT_FALSE(sharing.polls_on()) << "it did itself";
    segments.of(2).sleep_begin();
    EXPECT_TRUE(sharing.polls_on());
    ASSERT_TRUE(ends(sharing));
    EXPECT_FALSE(sharing.polls_on()) << "it does not begin anew at once";
}

TEST(CoreSharing, BeginsAnewLater) {
    const Pinned pinned;
    Segments segments(2);
    segments.of(1).sleep_begin();
    CoreSharing sharing(&segments.of(0), false, here);
    EXPECT_TRUE(sharing.polls_on());
    ASSERT_TRUE(ends(sharing));
    const Deadline deadline = Deadline::after(milliseconds(30'000));
    while (!sharing.polls_on() && !deadline.passed()) std::this_thread::sleep_for(milliseconds(10));
    EXPECT_FALSE(deadline.passed());
}

TEST(CoreSharing, SleepsWhereNothingIsToBeGained) {
    const Pinned pinned;
    Segments segments(2);
    segments.of(1).sleep_begin();
    EXPECT_FALSE(CoreSharing(&segments.of(0), true, here).polls_on()) << "more ranks than cores";
    EXPECT_FALSE(CoreSharing(&segments.of(0), false, elsewhere).polls_on()) << "another core";
    EXPECT_FALSE(CoreSharing(nullptr, false, here).polls_on()) << "alone on its host";
}

}  // namespace
}  // namespace ring
