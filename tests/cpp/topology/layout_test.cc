// Whether the ranks of a host have a core each, by what all of them may use.
#include "ring/topology/layout.h"

#include <gtest/gtest.h>

namespace ring {
namespace {

// Of ranks of one host, each with the CPUs that it may run on.
bool is_crowded(const std::vector<std::vector<int>>& cpus) {
    std::vector<Member> members;
    for (const auto& own : cpus) members.push_back({.host_id = "a", .host_name = "a", .cpus = own});
    // Of another host nothing is known.
    members.push_back({.host_id = "b", .host_name = "b"});
    bool crowded = false;
    for (int rank = 0; rank < static_cast<int>(cpus.size()); ++rank) {
        const bool found = Layout(rank, members, false).crowded();
        EXPECT_TRUE(rank == 0 || found == crowded) << "rank " << rank << " finds another answer than rank 0";
        crowded = found;
    }
    EXPECT_FALSE(Layout(static_cast<int>(cpus.size()), members, false).crowded());
    return crowded;
}

TEST(Layout, RanksThatOutnumberTheirCoresAreCrowded) {
    EXPECT_FALSE(is_crowded({{0, 1}, {0, 1}}));
    EXPECT_TRUE(is_crowded({{0, 1}, {0, 1}, {0, 1}}));
}

TEST(Layout, RanksThatAreBoundToACoreEachAreNotCrowded) {
    EXPECT_FALSE(is_crowded({{0}, {1}, {2}, {3}}));
    EXPECT_TRUE(is_crowded({{0}, {0}}));
    EXPECT_FALSE(is_crowded({{0, 1}, {2, 3}, {0, 1}, {2, 3}}));
}

}  // namespace
}  // namespace ring
