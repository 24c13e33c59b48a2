// Lists of ranks as text: short where groups are regular, right for all, and refused where it makes no sense.
#include "ring/base/runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ring/base/error.h"

namespace ring {
namespace {

TEST(Runs, AreShortWhereGroupsAreRegular) {
    std::vector<int> all(4096);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(encode_runs(all), "0-4095");
    std::vector<int> every_eighth(512);
    for (size_t i = 0; i < every_eighth.size(); ++i) every_eighth[i] = static_cast<int>(3 + 8 * i);
    EXPECT_EQ(encode_runs(every_eighth), "3-4091/8");
    EXPECT_EQ(encode_runs({}), "");
    EXPECT_EQ(encode_runs({5}), "5");
    EXPECT_EQ(encode_runs({5, 6}), "5,6");
    EXPECT_EQ(encode_runs({0, 1, 2, 7, 9, 11, 11, 3, 2, 1}), "0-2,7-11/2,11,3,2,1");
}

TEST(Runs, ComeBackAsTheyWere) {
    unsigned random = 1;
    const auto below = [&](unsigned most) {
        random = random * 1664525 + 1013904223;
        return static_cast<int>((random >> 8) % most);
    };
    for (int round = 0; round < 500; ++round) {
        std::vector<int> ranks;
        for (int run = below(6); run > 0; --run) {
            const int first = below(50);
            const int step = below(4);
            for (int i = below(8); i >= 0; --i) ranks.push_back(first + i * step);
            if (below(2) == 0) std::reverse(ranks.begin(), ranks.end());
        }
        EXPECT_EQ(decode_runs(encode_runs(ranks), ranks.size()), ranks) << encode_runs(ranks);
    }
}

TEST(Runs, ThatMakeNoSenseAreRefused) {
    for (const char* text :
         {"x", "1,", ",1", "1-", "-1", "3-1", "1-5/0", "1-5/", "1-5/-1", "1;2", "1 2", "99999999999", "0-9"})
        EXPECT_THROW(decode_runs(text, 9), Error) << text;
    EXPECT_EQ(decode_runs("0-9", 10).size(), 10u);
    EXPECT_THROW(decode_runs("0-2147483647", 100), Error);
    EXPECT_EQ(decode_runs("2147483646-2147483647", 2), (std::vector<int>{2147483646, 2147483647}));
}

}  // namespace
}  // namespace ring
