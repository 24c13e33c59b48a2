// The cost model against times worked out by hand, its choices at the sizes of machines it is for, the size
// table and the plans by size.
#include "ring/topology/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ring/base/error.h"
#include "ring/topology/choices.h"
#include "ring/topology/size_table.h"

namespace ring {
namespace {

using enum RailAlgorithm;

// Round numbers: 10 us, 1 ns per byte, a reduction at 0.5 ns per byte; one stream fills the link.
constexpr Machine kRound{
    .link = {.latency_s = 10e-6, .seconds_per_byte = 1e-9, .frame_s = 2e-6},
    .host = {.sync_s = 1e-6, .seconds_per_byte = 0.1e-9, .reduce_seconds_per_byte = 0.5e-9},
    .stream_seconds_per_byte = 1e-9};
constexpr double kAlpha = 10e-6, kBeta = 1e-9, kGamma = 0.5e-9;

// 25 Gbit/s and 50 us, as in `torch-ring plan --link 25gbit --latency 50us`.
Machine far_apart() {
    Machine machine = default_machine();
    machine.link.latency_s = 50e-6;
    machine.link.seconds_per_byte = 8 / 25e9;
    return machine;
}

Prediction by(RailAlgorithm algorithm, Collective pattern, size_t bytes, Shape shape,
              const Machine& machine = kRound, size_t chunk = size_t{4} << 20) {
    return choose(pattern, bytes, shape, machine, {algorithm, chunk, 1});
}

template <typename Call>
std::string refusal(Call call) {
    try {
        call();
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

// ---- against what was worked out by hand; one rank per host, a message is one frame ----

TEST(CostModel, AllReduceByRing) {
    // 6 steps of a quarter, of which 3 reduce it.
    const double m = 4096;
    const Prediction one = by(kRing, Collective::kAllReduce, 4 * 4096, {4, 1});
    EXPECT_EQ(one.steps, 6);
    EXPECT_NEAR(one.seconds, 6 * (kAlpha + m * kBeta) + 3 * m * kGamma, 1e-12);
    EXPECT_DOUBLE_EQ(one.bytes_per_link, 6 * m);
    EXPECT_NEAR(one.efficiency, 6 * m * kBeta / one.seconds, 1e-12);
}

TEST(CostModel, AllReduceByDoubling) {
    const double m = 4096;
    const Prediction four = by(kDoubling, Collective::kAllReduce, 4096, {4, 1});
    EXPECT_EQ(four.steps, 2);
    EXPECT_NEAR(four.seconds, 2 * (kAlpha + m * (kBeta + kGamma)), 1e-12);
    EXPECT_DOUBLE_EQ(four.bytes_per_link, 2 * m);
    // 5 and 7 hosts are 4 and some that fold into a partner: a message there, reduced, and one back.
    for (const int hosts : {5, 7}) {
        const Prediction odd = by(kDoubling, Collective::kAllReduce, 4096, {hosts, 1});
        EXPECT_EQ(odd.steps, 4);
        EXPECT_NEAR(odd.seconds, four.seconds + 2 * (kAlpha + m * kBeta) + m * kGamma, 1e-12);
        EXPECT_DOUBLE_EQ(odd.bytes_per_link, 3 * m);
    }
}

TEST(CostModel, AllReduceByHalvingAndDoubling) {
    const double b = 8192;
    const Prediction eight = by(kHalvingDoubling, Collective::kAllReduce, 8192, {8, 1});
    EXPECT_EQ(eight.steps, 6);
    EXPECT_NEAR(eight.seconds, 6 * kAlpha + 7. / 8 * b * (2 * kBeta + kGamma), 1e-12);
    EXPECT_DOUBLE_EQ(eight.bytes_per_link, 2 * 7. / 8 * b);
    const Prediction nine = by(kHalvingDoubling, Collective::kAllReduce, 8192, {9, 1});
    EXPECT_EQ(nine.steps, 8);
    EXPECT_NEAR(nine.seconds, eight.seconds + 2 * (kAlpha + b * kBeta) + b * kGamma, 1e-12);
    EXPECT_DOUBLE_EQ(nine.bytes_per_link, eight.bytes_per_link + b);
}

TEST(CostModel, TheOtherCollectives) {
    const double b = 8192, part = b / 8;
    const Shape eight{8, 1};
    EXPECT_NEAR(by(kTree, Collective::kBroadcast, 8192, eight).seconds, 3 * (kAlpha + b * kBeta), 1e-12);
    EXPECT_NEAR(by(kTree, Collective::kBroadcast, 8192, {5, 1}).seconds, 3 * (kAlpha + b * kBeta), 1e-12);
    EXPECT_NEAR(by(kRing, Collective::kBroadcast, 8192, eight).seconds, 7 * (kAlpha + b * kBeta), 1e-12);
    EXPECT_NEAR(by(kRing, Collective::kAllGather, 8192, eight).seconds, 7 * (kAlpha + part * kBeta), 1e-12);
    EXPECT_NEAR(by(kDoubling, Collective::kAllGather, 8192, eight).seconds, 3 * kAlpha + 7 * part * kBeta,
                1e-12);
    EXPECT_NEAR(by(kRing, Collective::kReduceScatter, 8192, eight).seconds,
                7 * (kAlpha + part * (kBeta + kGamma)), 1e-12);
    EXPECT_NEAR(by(kHalvingDoubling, Collective::kReduceScatter, 8192, eight).seconds,
                3 * kAlpha + 7 * part * (kBeta + kGamma), 1e-12);
    EXPECT_NEAR(choose(Collective::kBarrier, 4096, eight, kRound).seconds, 3 * kAlpha, 1e-12);
    EXPECT_NEAR(choose(Collective::kBarrier, 0, {9, 1}, kRound).seconds, 5 * kAlpha, 1e-12);
}

// The closed form of the chunked ring against the recurrence it solves, frame by frame.
TEST(CostModel, TheChunkedRingIsTheLongestPathOfItsFrames) {
    for (const int hosts : {2, 3, 8, 40})
        for (const int frames : {1, 2, 5, 32}) {
            const double c = 65536;
            const double hop = kAlpha + c * kBeta;
            const int steps = hosts - 1;
            std::vector<double> previous(frames, 0), departs(frames, 0);
            for (int step = 0; step < steps; ++step) {
                double free_at = step == 0 ? 0 : previous.back() + c * kBeta;
                for (int i = 0; i < frames; ++i) {
                    departs[i] = std::max(free_at, step == 0 ? 0 : previous[i] + hop);
                    free_at = departs[i] + c * kBeta;
                }
                previous = departs;
            }
            const size_t bytes = size_t{65536} * frames * hosts;
            const Prediction ring = by(kRing, Collective::kAllGather, bytes, {hosts, 1}, kRound, 65536);
            EXPECT_NEAR(ring.seconds, previous.back() + hop, 1e-9) << hosts << " hosts, " << frames;
        }
}

TEST(CostModel, AFrameCostsWhatIsSlowestAboutIt) {
    // A broadcast between two hosts of 4 frames: the link takes 16 us for each; or else the CPU does.
    Machine machine = kRound;
    const size_t c = kSmallestChunk;
    const auto seconds = [&] { return by(kRing, Collective::kBroadcast, 4 * c, {2, 1}, machine, c).seconds; };
    EXPECT_NEAR(seconds(), kAlpha + 4 * c * kBeta, 1e-12);
    machine.link.frame_s = 30e-6;
    EXPECT_NEAR(seconds(), kAlpha + c * kBeta + 3 * 30e-6, 1e-12);
}

TEST(CostModel, StreamsAndRailsShareALink) {
    Machine machine = kRound;
    machine.stream_seconds_per_byte = 4e-9;  // a stream reaches a quarter of the link
    const size_t bytes = size_t{64} << 20;
    EXPECT_EQ(choose(Collective::kAllReduce, bytes, {4, 1}, machine).plan.streams, 4);
    EXPECT_EQ(choose(Collective::kAllReduce, bytes, {4, 2}, machine).plan.streams, 2);
    EXPECT_EQ(choose(Collective::kAllReduce, bytes, {4, 4}, machine).plan.streams, 1);
    EXPECT_EQ(choose(Collective::kAllReduce, 64, {4, 1}, machine).plan.streams, 1);
    machine.stream_seconds_per_byte = 1e-6;
    EXPECT_EQ(choose(Collective::kAllReduce, bytes, {4, 1}, machine).plan.streams, kMostStreams);
    // Whatever the number of rails, a link carries the same bytes.
    for (const int ranks : {1, 2, 8})
        EXPECT_NEAR(by(kRing, Collective::kAllReduce, bytes, {4, ranks}).bytes_per_link, 1.5 * bytes, 1);
}

TEST(CostModel, OneHostHasNoRails) {
    for (const Collective pattern : kPlanned) {
        const std::vector<Prediction> alone = predict_all(pattern, 1 << 20, {1, 1}, kRound);
        ASSERT_EQ(alone.size(), 1u);
        EXPECT_EQ(alone[0].seconds, 0);
        EXPECT_EQ(alone[0].efficiency, 0);
    }
    const Prediction small = choose(Collective::kAllReduce, 8, {1, 4}, kRound);
    EXPECT_EQ(small.plan.rails, 1);
    EXPECT_NEAR(small.seconds, 2e-6 + 8 * (2 * 0.1e-9 + 3 * 0.5e-9), 1e-12);
    const Prediction large = choose(Collective::kAllReduce, 1 << 20, {1, 4}, kRound);
    EXPECT_EQ(large.plan.rails, 4);
    EXPECT_NEAR(large.seconds, 4e-6 + 0.75 * (1 << 20) * (2 * 0.1e-9 + 0.5e-9), 1e-12);
    EXPECT_EQ(large.bytes_per_link, 0);
}

TEST(CostModel, PiecesHideTheHostStages) {
    Machine machine = kRound;
    machine.host = {.sync_s = 1e-6, .seconds_per_byte = 0.5e-9, .reduce_seconds_per_byte = 0.5e-9};
    const size_t bytes = size_t{256} << 20;
    const Prediction best = choose(Collective::kAllReduce, bytes, {4, 4}, machine);
    const double rails = 1.5 * bytes * kBeta;
    const double host = 0.75 * bytes * 1.5e-9;
    EXPECT_GT(best.plan.pieces, 4);
    EXPECT_LT(best.seconds, rails + host / 4);
    EXPECT_GT(best.efficiency, 0.9);
    EXPECT_LT(best.efficiency, 1);
}

// ---- what it chooses ----

TEST(CostModel, LargerIsNeverMuchFaster) {
    for (const Shape shape : {Shape{1, 4}, Shape{2, 1}, Shape{3, 2}, Shape{16, 8}, Shape{1000, 1}})
        for (const Collective pattern : kPlanned) {
            double before = 0;
            for (size_t bytes = 0; bytes < size_t{1} << 33; bytes += 1 + bytes / 8) {
                const double seconds = choose(pattern, bytes, shape, far_apart()).seconds;
                EXPECT_GT(seconds, before * 0.97) << name_of(pattern) << " " << bytes;
                before = seconds;
            }
        }
}

TEST(CostModel, MoreHostsSlowerLinksAndMemoryAreNeverFaster) {
    const auto seconds = [](int hosts, const Machine& machine) {
        return choose(Collective::kAllReduce, 1 << 20, {hosts, 4}, machine).seconds;
    };
    for (int hosts = 2; hosts < 4096; hosts *= 2)
        EXPECT_LT(seconds(hosts, kRound), seconds(2 * hosts, kRound) * 1.001);
    for (double Machine::* field : {&Machine::stream_seconds_per_byte}) {
        Machine slower = kRound;
        slower.*field *= 10;
        EXPECT_LE(seconds(16, kRound), seconds(16, slower));
    }
    for (double LinkCost::* field : {&LinkCost::latency_s, &LinkCost::seconds_per_byte, &LinkCost::frame_s}) {
        Machine slower = kRound;
        slower.link.*field *= 10;
        EXPECT_LE(seconds(16, kRound), seconds(16, slower));
    }
    for (double HostCost::* field :
         {&HostCost::sync_s, &HostCost::seconds_per_byte, &HostCost::reduce_seconds_per_byte}) {
        Machine slower = kRound;
        slower.host.*field *= 10;
        EXPECT_LE(seconds(16, kRound), seconds(16, slower));
    }
}

TEST(CostModel, SmallCallsTakeFewStepsAndLargeOnesTheRing) {
    for (const int hosts : {4, 6, 16}) {
        EXPECT_EQ(choose(Collective::kAllReduce, 64, {hosts, 2}, kRound).plan.algorithm, kDoubling);
        EXPECT_EQ(choose(Collective::kAllReduce, size_t{256} << 20, {hosts, 2}, kRound).plan.algorithm,
                  kRing);
        EXPECT_EQ(choose(Collective::kBroadcast, 64, {hosts, 2}, kRound).plan.algorithm, kTree);
        EXPECT_EQ(choose(Collective::kBroadcast, size_t{256} << 20, {hosts, 2}, kRound).plan.algorithm,
                  kRing);
    }
    EXPECT_EQ(choose(Collective::kAllReduce, 64, {4, 4}, kRound).plan.rails, 1);
    EXPECT_EQ(choose(Collective::kAllReduce, 1 << 20, {4, 4}, kRound).plan.rails, 4);
}

TEST(CostModel, ThousandsOfHostsLeaveTheRingWhereItsLatencyCounts) {
    for (const int hosts : {1000, 2048, 4000}) {
        const auto chosen = [&](size_t bytes) {
            return choose(Collective::kAllReduce, bytes, {hosts, 8}, far_apart());
        };
        EXPECT_EQ(chosen(64).plan.algorithm, kDoubling);
        EXPECT_EQ(chosen(1 << 20).plan.algorithm, kHalvingDoubling);
        // A power of two of hosts has two algorithms that send as little as possible.
        EXPECT_EQ(chosen(size_t{64} << 30).plan.algorithm, hosts == 2048 ? kHalvingDoubling : kRing);
        const Prediction ring = predict_all(Collective::kAllReduce, 1 << 20, {hosts, 8}, far_apart())[0];
        ASSERT_EQ(ring.plan.algorithm, kRing);
        EXPECT_GT(ring.seconds, 20 * chosen(1 << 20).seconds);
    }
}

TEST(CostModel, EqualInputsGiveEqualPlans) {
    for (const Collective pattern : kPlanned)
        for (size_t bytes = 1; bytes < size_t{1} << 34; bytes *= 3) {
            const Prediction one = choose(pattern, bytes, {24, 4}, far_apart());
            const Prediction other = choose(pattern, bytes, {24, 4}, far_apart());
            EXPECT_EQ(one.plan, other.plan);
            EXPECT_EQ(one.seconds, other.seconds);
        }
    // Where nothing costs anything all are equal: the first of the list.
    EXPECT_EQ(choose(Collective::kAllReduce, 1 << 10, {4, 2}, {}).plan, Plan{.rails = 2});
}

TEST(CostModel, RefusesWhatMakesNoSense) {
    Machine broken = kRound;
    broken.link.latency_s = std::nan("");
    EXPECT_NE(refusal([&] { choose(Collective::kBarrier, 0, {2, 1}, broken); }).find("latency"),
              std::string::npos);
    EXPECT_NE(refusal([] { choose(Collective::kBarrier, 0, {0, 1}, kRound); }).find("0 hosts"),
              std::string::npos);
    EXPECT_NE(refusal([] { choose(Collective::kBarrier, 0, {2, 0}, kRound); }).find("0 ranks"),
              std::string::npos);
    EXPECT_NE(refusal([] { by(kTree, Collective::kAllReduce, 8, {2, 1}); }).find("all_reduce by tree"),
              std::string::npos);
    EXPECT_NE(
        refusal([] { by(kRing, Collective::kAllReduce, 8, {2, 1}, kRound, 1000); }).find("powers of two"),
        std::string::npos);
    const Override streams{.algorithm = {}, .chunk_bytes = {}, .streams = 9};
    EXPECT_NE(refusal([&] { choose(Collective::kAllReduce, 8, {2, 1}, kRound, streams); }).find("1 .. 8"),
              std::string::npos);
}

// ---- the size table ----

TEST(SizeTable, OverridesWithinItsRanges) {
    const SizeTable table(
        "all_reduce: 8K-1M ring chunk=64K, 0-8K doubling, 1M- ring streams=2 chunk=256K ; broadcast:4096- "
        "tree;");
    EXPECT_EQ(table.lookup(Collective::kAllReduce, 0).algorithm, kDoubling);
    EXPECT_EQ(table.lookup(Collective::kAllReduce, 8191).algorithm, kDoubling);
    EXPECT_EQ(table.lookup(Collective::kAllReduce, 8192).chunk_bytes, size_t{64} << 10);
    EXPECT_FALSE(table.lookup(Collective::kAllReduce, 8192).streams);
    EXPECT_EQ(table.lookup(Collective::kAllReduce, size_t{1} << 40).streams, 2);
    EXPECT_FALSE(table.lookup(Collective::kBroadcast, 4095).algorithm);
    EXPECT_EQ(table.lookup(Collective::kBroadcast, 4096).algorithm, kTree);
    EXPECT_FALSE(table.lookup(Collective::kAllGather, 4096).algorithm);
    EXPECT_TRUE(SizeTable("").rules(Collective::kAllReduce).empty());
}

TEST(SizeTable, NamesThePositionTheWordAndWhatIsAllowed) {
    for (const auto& [text, position, word, allowed] :
         {std::tuple{"allreduce: 0- ring", "position 1:", "'allreduce'", "all_reduce, broadcast, all_gather"},
          std::tuple{"all_reduce 0- ring", "position 12:", "'0-'", "':'"},
          std::tuple{"all_reduce: 0- rign", "position 16:", "'rign'", "ring, doubling, halving_doubling"},
          std::tuple{"broadcast: 0- doubling", "position 15:", "'doubling'", "ring, tree"},
          std::tuple{"all_reduce: 8K ring", "position 13:", "'8K'", "a range of sizes"},
          std::tuple{"all_reduce: 0-8k ring", "position 15:", "'8k'", "a range of sizes"},
          std::tuple{"all_reduce: 0-99999999999G ring", "position 15:", "'99999999999G'", "a range of sizes"},
          std::tuple{"all_reduce: 8K-4K ring", "position 13:", "'8K-4K'", "ends after it begins"},
          std::tuple{"all_reduce: 0-8K ring, 4K- ring", "position 32:", "'4K-'", "do not overlap"},
          std::tuple{"all_reduce: 0- ring chunk=100K", "position 27:", "'100K'", "a power of two, 16K .. 4M"},
          std::tuple{"all_reduce: 0- ring streams=0", "position 29:", "'0'", "1 .. 8"},
          std::tuple{"all_reduce: 0- ring speed=9", "position 21:", "'speed=9'", "chunk=, streams="},
          std::tuple{"all_reduce: 0- ring streams=1 streams=2", "position 31:", "'streams=2'", "once"},
          std::tuple{"all_reduce: 0-", "position 15:", "nothing", "ring, doubling"},
          std::tuple{"all_reduce: -8K ring", "position 13:", "'-8K'", "a range of sizes"},
          std::tuple{"all_reduce: 0- ring chunk=", "position 27:", "nothing", "a power of two"},
          std::tuple{"all_reduce:", "position 12:", "nothing", "a range of sizes"},
          std::tuple{"barrier: 0- doubling: 8", "position 21:", "':'", "';' or ','"},
          std::tuple{"barrier: 0- doubling; barrier: 0- doubling", "position 30:", "'barrier'", "once"}}) {
        const std::string message = refusal([&] { SizeTable table(text); });
        for (const char* part : {position, word, allowed})
            EXPECT_NE(message.find(part), std::string::npos) << text << " -> " << message;
    }
}

// ---- plans by size ----

TEST(Choices, AgreeWithTheModelAwayFromTheEndsOfRanges) {
    const Shape shape{16, 4};
    const Choices choices(shape, far_apart());
    for (const Collective pattern : kPlanned) {
        const auto& ranges = choices.ranges(pattern);
        ASSERT_EQ(ranges[0].from, 0u);
        for (size_t i = 0; i < ranges.size(); ++i) {
            EXPECT_EQ(choices.of(pattern, ranges[i].from), ranges[i].plan);
            EXPECT_EQ(choose(pattern, ranges[i].from, shape, far_apart()).plan, ranges[i].plan);
            if (i > 0) {
                EXPECT_EQ(choices.of(pattern, ranges[i].from - 1), ranges[i - 1].plan);
            }
        }
    }
    EXPECT_EQ(choices.of(Collective::kAllReduce, SIZE_MAX),
              choices.ranges(Collective::kAllReduce).back().plan);
}

TEST(Choices, FollowTheTableExactly) {
    const SizeTable table("all_reduce: 5000-70001 ring chunk=32K streams=3");
    const Choices choices({4, 2}, kRound, table);
    const Plan free = choices.of(Collective::kAllReduce, 4999);
    EXPECT_EQ(free.algorithm, kDoubling);
    for (const size_t bytes : {5000, 9000, 70000}) {
        const Plan& fixed = choices.of(Collective::kAllReduce, bytes);
        EXPECT_EQ(fixed.algorithm, kRing);
        EXPECT_EQ(fixed.chunk_bytes, size_t{32} << 10);
        EXPECT_EQ(fixed.streams, 3);
    }
    EXPECT_NE(choices.of(Collective::kAllReduce, 70001).streams, 3);
    EXPECT_NE(choices.text().find("all_reduce: 5000-"), std::string::npos) << choices.text();
    EXPECT_NE(choices.text().find(" ring chunk=32K streams=3, 2 rails, 1 piece\n"), std::string::npos);
    EXPECT_NE(choices.text().find("barrier: 0- doubling"), std::string::npos);
}

TEST(Choices, LargeSharesAreCarriedOverSlowLinksOnly) {
    Machine machine = default_machine();
    const auto carry = [&](int hosts, double gbit) {
        machine.link.seconds_per_byte = 8 / (gbit * 1e9);
        return Choices({hosts, 2}, machine).carry_large();
    };
    EXPECT_TRUE(carry(2, 0.1));
    EXPECT_TRUE(carry(2, 1));
    EXPECT_FALSE(carry(2, 2.5));
    EXPECT_FALSE(carry(2, 25));
    EXPECT_FALSE(carry(1, 1));
}

TEST(Choices, SizesAreWrittenExactly) {
    for (const auto& [bytes, text] : {std::pair{size_t{0}, "0"},
                                      {1023, "1023"},
                                      {8192, "8K"},
                                      {2112, "2112"},
                                      {1120 << 10, "1120K"},
                                      {4 << 20, "4M"},
                                      {size_t{5} << 40, "5120G"}})
        EXPECT_EQ(size_text(bytes), text);
}

}  // namespace
}  // namespace ring
