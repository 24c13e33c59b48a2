// What is believed of the copies that were timed.
#include "ring/kernels/line_cost.h"

#include <gtest/gtest.h>

namespace ring {
namespace {

TEST(LineCost, OneCopyThatWasInterruptedChangesNothing) {
    LineCost cost;
    for (int i = 0; i < 100; ++i) {
        cost.note(2);
        cost.note(500);
        cost.note(500);
        cost.note(500);
        EXPECT_FALSE(cost.far());
    }
    EXPECT_EQ(cost.of_late(), 2);
}

TEST(LineCost, CoresThatMoveApartAreNoticedAndThoseThatMoveTogetherAtOnce) {
    LineCost cost;
    EXPECT_FALSE(cost.far());
    EXPECT_EQ(cost.of_late(), 0);
    for (int i = 0; i < 8; ++i) cost.note(300);
    EXPECT_TRUE(cost.far());
    EXPECT_EQ(cost.of_late(), 300);
    cost.note(2);
    EXPECT_FALSE(cost.far());
}

}  // namespace
}  // namespace ring
