// A rank whose thread flushes subnormal numbers to zero, or rounds another way, ends with the same bits as
// the others, and keeps what it had set.
#include <cfenv>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmath>

#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// What a thread of the user's may have set.
struct Setting {
    const char* name;
    void (*make)();
    bool (*holds)();
};

void PrintTo(const Setting& setting, std::ostream* out) {
    *out << setting.name;
}

constexpr Setting kSettings[] = {
    {"rounds_up", [] { std::fesetround(FE_UPWARD); }, [] { return std::fegetround() == FE_UPWARD; }},
#if defined(__x86_64__)
    // As torch.set_flush_denormal(True).
    {"flushes_to_zero", [] { _mm_setcsr(_mm_getcsr() | 0x8040); },
     [] { return (_mm_getcsr() & 0x8040) == 0x8040; }},
#endif
};

class FloatEnvironments : public ::testing::TestWithParam<std::tuple<Hosts, Setting>> {};

TEST_P(FloatEnvironments, OfACallerDoNotMatter) {
    const auto& [hosts, setting] = GetParam();
    const int size = ranks_of(hosts);
    // Subnormal numbers, and sums that must be rounded.
    const auto value = [](int rank, uint64_t i) {
        return i % 2 == 0 ? std::ldexp(float(i % 100 + 1), -149) * float(rank + 1)
                          : 1 + std::ldexp(float(i % 64 * 2 + 1), -23) * float(rank + 1);
    };
    run_group(hosts, [&](Communicator& group) {
        const int me = group.layout().rank();
        const uint64_t counts[] = {5, 3000, 70'001};
        std::vector<std::vector<float>> sums;
        for (const uint64_t count : counts)
            sums.push_back(repeated<float>(count, [&](uint64_t i) { return value(me, i); }));
        std::vector<std::vector<float>> totals = sums;
        if (me == 0) setting.make();
        for (auto& sum : sums) ring::testing::run(group, all_reduce_of(sum, DType::kFloat32));
        for (auto& total : totals) {
            Arguments reduce = all_reduce_of(total, DType::kFloat32);
            reduce.signature.kind = Collective::kReduce;
            reduce.signature.root = 0;
            ring::testing::run(group, reduce);
        }
        if (me == 0) {
            EXPECT_TRUE(setting.holds());
            std::fesetenv(FE_DFL_ENV);
        }
        for (size_t k = 0; k < std::size(counts); ++k) {
            const auto expected = repeated<float>(counts[k], [&](uint64_t i) {
                float all = value(0, i);
                for (int rank = 1; rank < size; ++rank) all += value(rank, i);
                return all;
            });
            ASSERT_TRUE(same(sums[k], expected)) << "all_reduce of " << counts[k];
            if (me == 0) {
                ASSERT_TRUE(same(totals[k], expected)) << "reduce of " << counts[k];
            }
        }
    });
}

// Of two ranks, so that there is one order of adding up.
INSTANTIATE_TEST_SUITE_P(Layouts, FloatEnvironments,
                         ::testing::Combine(::testing::Values(Hosts{2}, Hosts{1, 1}),
                                            ::testing::ValuesIn(kSettings)),
                         name_of_case<Setting>);

}  // namespace
}  // namespace ring
