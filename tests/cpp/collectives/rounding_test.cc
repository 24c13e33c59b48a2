// Sums of the floating types of 8 and 16 bits are rounded once, whatever runs where: of addends whose sums
// are exact in float32 the result is the exact sum, rounded, on every layout of hosts, with every algorithm,
// at every position of the tensor.
#include <array>
#include <cmath>

#include "group.h"
#include "ring/kernels/reduce.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;
using Bytes = std::vector<uint8_t>;

struct Way {
    const char* name;
    const char* size_table = "";
    Algorithm algorithm = Algorithm::kHierarchical;
};

void PrintTo(const Way& way, std::ostream* out) {
    *out << way.name;
}

struct Format {
    DType dtype;
    float largest;
    int fraction_bits;
};
constexpr Format kFormats[] = {{DType::kFloat16, 65504, 10},
                               {DType::kBFloat16, 0x1.FEp100F, 7},
                               {DType::kFloat8E4M3FN, 448, 3},
                               {DType::kFloat8E5M2, 57344, 2}};

// The elements of a format that these are, or become, rounded.
Bytes encoded(const Format& format, const std::vector<float>& values) {
    Bytes elements(values.size() * size_of(format.dtype));
    const void* const sources[] = {values.data()};
    reduce_function(format.dtype, ReduceOp::kSum, ReduceStage::kLast)(elements.data(), sources, 1,
                                                                      values.size(), 1);
    return elements;
}

constexpr size_t kCases = 4;

// What `rank` adds to element i.
float addend(const Format& format, ReduceOp op, int rank, size_t i) {
    uint64_t mixed = (i * 31 + static_cast<size_t>(rank) + 1) * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 31) * 0xbf58476d1ce4e5b9;
    if (op == ReduceOp::kProduct) return std::array{0.5F, 1.0F, 1.5F, 2.0F}[mixed >> 62];
    const auto unit = std::ldexp(1.0F, -format.fraction_bits);
    switch (i % kCases) {
        case 0:  // half a unit is lost where each of them is rounded away
            return rank == 0 ? 1 : unit / 2;
        case 1:
            return rank == 0 ? -1 : 3 * unit / 4;
        case 2:  // what two of them make is infinite
            return op == ReduceOp::kAvg ? format.largest : 1 + static_cast<float>(rank) * unit;
        default:
            return (1 + static_cast<float>(mixed >> 32 & ((1U << format.fraction_bits) - 1)) * unit) *
                   std::ldexp(mixed >> 63 == 0 ? 1.0F : -1.0F, static_cast<int>((mixed >> 16) % 6) - 3);
    }
}

float result(const Format& format, ReduceOp op, int ranks, size_t i) {
    double all = addend(format, op, 0, i);
    for (int rank = 1; rank < ranks; ++rank) {
        const double next = addend(format, op, rank, i);
        all = op == ReduceOp::kProduct ? all * next : all + next;
    }
    EXPECT_EQ(static_cast<double>(static_cast<float>(all)), all) << "the test needs exact sums";
    return op == ReduceOp::kAvg ? static_cast<float>(all) / static_cast<float>(ranks)
                                : static_cast<float>(all);
}

Arguments arguments_of(Collective kind, const Format& format, ReduceOp op, size_t count, int root) {
    Arguments arguments;
    arguments.signature = signature(kind, format.dtype, count, op, root);
    return arguments;
}

// All three collectives that reduce, of the same numbers; in a reduce_scatter every rank's share is of them.
void check(Communicator& group, const Format& format, ReduceOp op, size_t count) {
    SCOPED_TRACE(std::string(name_of(format.dtype)) + " " + name_of(op) + " " + std::to_string(count));
    const int me = group.layout().rank();
    const int size = group.layout().size();
    const Bytes mine =
        encoded(format, repeated<float>(count, [&](size_t i) { return addend(format, op, me, i); }));
    const Bytes sums =
        encoded(format, repeated<float>(count, [&](size_t i) { return result(format, op, size, i); }));

    Bytes data = mine;
    Arguments all_reduce = arguments_of(Collective::kAllReduce, format, op, count, -1);
    all_reduce.input = all_reduce.output = data.data();
    run(group, std::move(all_reduce));
    ASSERT_TRUE(same(data, sums)) << "all_reduce";

    for (const int root : {0, size - 1}) {
        data = mine;
        Arguments reduce = arguments_of(Collective::kReduce, format, op, count, root);
        reduce.input = reduce.output = data.data();
        run(group, std::move(reduce));
        if (me == root) {
            ASSERT_TRUE(same(data, sums)) << "reduce to " << root;
        }
    }

    Bytes share(mine.size());
    Arguments reduce_scatter = arguments_of(Collective::kReduceScatter, format, op, count, -1);
    reduce_scatter.inputs.assign(static_cast<size_t>(size), mine.data());
    reduce_scatter.output = share.data();
    run(group, std::move(reduce_scatter));
    ASSERT_TRUE(same(share, sums)) << "reduce_scatter";
}

class Rounding : public ::testing::TestWithParam<std::tuple<Hosts, Way>> {
  protected:
    void in_group(const std::function<void(Communicator&)>& body) {
        const auto& [hosts, way] = GetParam();
        Communicator::Settings settings;
        settings.config.size_table = way.size_table;
        settings.config.algorithm = way.algorithm;
        run_group(hosts, body, std::chrono::seconds(60), settings);
    }
};

TEST_P(Rounding, HappensOnce) {
    in_group([](Communicator& group) {
        for (const Format& format : kFormats)
            for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kAvg, ReduceOp::kProduct})
                for (const size_t count : {3, 2000, 30'001})
                    if (!HasFatalFailure()) check(group, format, op, count);
    });
}

// So much that each of the collectives passes in several pieces.
TEST_P(Rounding, OfManyHappensOnce) {
    in_group([](Communicator& group) { check(group, kFormats[1], ReduceOp::kAvg, 1'200'001); });
}

constexpr Way kWays[] = {
    {"as_chosen"},
    {"rings", "all_reduce: 0- ring; reduce_scatter: 0- ring; broadcast: 0- ring"},
    {"cubes", "all_reduce: 0- halving_doubling; reduce_scatter: 0- halving_doubling"},
    {"doubling", "all_reduce: 0- doubling"},
    {"flat", "", Algorithm::kFlat},
};

INSTANTIATE_TEST_SUITE_P(Layouts, Rounding,
                         ::testing::Combine(::testing::Values(Hosts{3}, Hosts{1, 1}, Hosts{1, 1, 1},
                                                              Hosts{2, 2}, Hosts{3, 1, 2},
                                                              Hosts{1, 1, 1, 1, 1}),
                                            ::testing::ValuesIn(kWays)),
                         name_of_case<Way>);

}  // namespace
}  // namespace ring
