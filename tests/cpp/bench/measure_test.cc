// What ring_perf and the programs of csrc/bench/peers measure by: what counts as a right result of each
// collective, and what is timed.
#include "bench/measure.h"

#include <cstring>
#include <list>
#include <map>
#include <thread>

namespace ring_perf {
namespace {

using ring::Collective;

constexpr int kRanks = 3;
constexpr int kRoot = 1;
constexpr size_t kBytes = 3 * 4 * 50;

Subject subject_of(Collective kind, bool out_of_place = false) {
    return {.row = &ring::traits_of(kind), .root = kRoot, .out_of_place = out_of_place};
}

bool has_input_apart(const Subject& subject) {
    const ring::CollectiveTraits& traits = subject.traits();
    return traits.reduces || traits.inputs || traits.outputs || subject.copies();
}

// The sized collectives, in place and, where that is possible, out of place.
std::vector<Subject> subjects() {
    std::vector<Subject> all;
    for (const ring::CollectiveTraits& row : ring::kCollectives) {
        if (!row.sized || row.kind == Collective::kRecv) continue;
        all.push_back(subject_of(row.kind));
        if (has_input_apart(all.back())) all.push_back(subject_of(row.kind, true));
    }
    return all;
}

// All ranks of a group in one process, and their collectives done by hand.
class ByHand {
  public:
    explicit ByHand(const Subject& subject) : subject_(subject) {
        for (int rank = 0; rank < kRanks; ++rank) ranks_.emplace_back(subject, rank, kRanks, kBytes);
        for (Tensors& rank : ranks_) rank.fill();
    }

    Tensors& operator[](int rank) { return *std::next(ranks_.begin(), rank); }

    size_t wrong() const {
        size_t sum = 0;
        for (const Tensors& rank : ranks_) sum += rank.wrong();
        return sum;
    }

    void run() {
        switch (subject_.traits().kind) {
            case Collective::kAllReduce:
                reduce(each(&Tensors::input), each(&Tensors::output));
                break;
            case Collective::kReduce:
                reduce(each(&Tensors::input), {(*this)[kRoot].output});
                break;
            case Collective::kReduceScatter:
                for (int to = 0; to < kRanks; ++to) {
                    std::vector<void*> shares;
                    for (Tensors& from : ranks_) shares.push_back(from.inputs[to]);
                    reduce(shares, {(*this)[to].output});
                }
                break;
            case Collective::kBroadcast:
                for (Tensors& to : ranks_) copy((*this)[kRoot].output, to.output);
                break;
            case Collective::kAllGather:
                for (Tensors& to : ranks_)
                    for (Tensors& from : ranks_) copy(from.input, to.outputs[from.rank()]);
                break;
            case Collective::kGather:
                for (Tensors& from : ranks_) copy(from.input, (*this)[kRoot].outputs[from.rank()]);
                break;
            case Collective::kScatter:
                for (Tensors& to : ranks_) copy((*this)[kRoot].inputs[to.rank()], to.output);
                break;
            case Collective::kAllToAll:
                for (Tensors& to : ranks_)
                    for (Tensors& from : ranks_) copy(from.inputs[to.rank()], to.outputs[from.rank()]);
                break;
            case Collective::kSend:
                for (Tensors& from : ranks_) copy(from.input, (*this)[from.next()].output);
                break;
            default:
                FAIL() << subject_.traits().name << " is not known here";
        }
    }

  private:
    std::vector<void*> each(void* Tensors::* member) {
        std::vector<void*> all;
        for (Tensors& rank : ranks_) all.push_back(rank.*member);
        return all;
    }
    void copy(const void* from, void* to) { std::memmove(to, from, ranks_.front().share() * sizeof(float)); }
    void reduce(const std::vector<void*>& from, const std::vector<void*>& to) {
        std::vector<float> sum(ranks_.front().share());
        for (const void* one : from)
            for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<const float*>(one)[i];
        for (void* one : to) copy(sum.data(), one);
    }

    const Subject& subject_;
    std::list<Tensors> ranks_;  // never moved: they hold addresses
};

std::string show(const Subject& subject) {
    return std::string(subject.traits().name) + (subject.out_of_place ? " out of place" : "");
}

TEST(Tensors, WhatWasDoneByHandIsRight) {
    for (const Subject& subject : subjects()) {
        ByHand group(subject);
        group.run();
        EXPECT_EQ(group.wrong(), 0u) << show(subject);
    }
}

TEST(Tensors, NothingDoneIsNoticed) {
    for (const Subject& subject : subjects()) {
        ByHand group(subject);
        EXPECT_GT(group.wrong(), 0u) << show(subject);
    }
}

TEST(Tensors, OneWrongElementIsNoticed) {
    for (const Subject& subject : subjects()) {
        ByHand group(subject);
        group.run();
        const ring::CollectiveTraits& traits = subject.traits();
        Tensors& rank = group[kRoot];
        void* output = traits.outputs ? rank.outputs[0] : rank.output;
        static_cast<float*>(output)[rank.share() - 1] += 1;
        EXPECT_EQ(group.wrong(), 1u) << show(subject);
    }
}

TEST(Tensors, SharesInTheWrongPlaceAreNoticed) {
    for (const Collective kind : {Collective::kAllGather, Collective::kGather, Collective::kAllToAll}) {
        const Subject subject = subject_of(kind);
        ByHand group(subject);
        group.run();
        Tensors& rank = group[kRoot];
        auto* first = static_cast<float*>(rank.outputs[0]);
        std::swap_ranges(first, first + rank.share(), static_cast<float*>(rank.outputs[2]));
        EXPECT_GT(group.wrong(), 0u) << show(subject);
    }
}

TEST(Tensors, ASizeIsThatOfTheLargerOfInputAndOutput) {
    const std::map<Collective, size_t> shares{{Collective::kAllReduce, 33}, {Collective::kReduceScatter, 11},
                                              {Collective::kAllGather, 11}, {Collective::kGather, 11},
                                              {Collective::kAllToAll, 11},  {Collective::kSend, 34},
                                              {Collective::kBarrier, 0}};
    for (const auto& [kind, share] : shares) {
        const Subject subject = subject_of(kind);
        const Tensors tensors(subject, 0, kRanks, 4 * (kind == Collective::kAllReduce ? 33 : 34));
        EXPECT_EQ(tensors.share(), share) << show(subject);
        EXPECT_EQ(tensors.bytes(), (share == 11 ? 33 : share) * 4) << show(subject);
    }
}

// One rank, alone, of a library that has all_reduce and nothing else.
class Alone : public Library {
  public:
    int rank() const override { return 0; }
    int ranks() const override { return 1; }
    std::function<void()> call_of(const Subject& subject, Tensors&) override {
        if (subject.traits().kind != Collective::kAllReduce) return {};
        return [this] { ++calls; };
    }
    void barrier() override {
        ++barriers;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    std::vector<Result> gather(const Result& mine) override { return {mine}; }

    int calls = 0;
    int barriers = 0;
};

const Sweep kSweep = [] {
    Sweep sweep;
    sweep.min_bytes = 128 << 10;
    sweep.max_bytes = 256 << 10;
    sweep.factor = 2;
    sweep.calls = 4;
    sweep.warmup = 3;
    return sweep;
}();

std::vector<Row> rows_of(Library& library, const Subject& subject) {
    std::vector<Row> rows;
    EXPECT_TRUE(measure(library, subject, kSweep, [&](const Row& row) { rows.push_back(row); }));
    return rows;
}

TEST(Measure, CallsAsOftenAsTheSweepSaysAndOnceToCheck) {
    Alone library;
    const std::vector<Row> rows = rows_of(library, subject_of(Collective::kAllReduce));
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].bytes, 128u << 10);
    EXPECT_EQ(rows[1].bytes, 256u << 10);
    EXPECT_EQ(library.calls, 2 * (3 + 4 + 1));
    EXPECT_EQ(library.barriers, 0);
}

TEST(Measure, WhatALibraryLacksHasNoRows) {
    Alone library;
    EXPECT_TRUE(rows_of(library, subject_of(Collective::kGather)).empty());
}

TEST(Measure, AMemcpyIsTimedWithoutTheBarrierBeforeIt) {
    Alone library;
    const std::vector<Row> rows = rows_of(library, {.row = &kMemcpy});
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(library.barriers, 2 * (3 + 4));
    EXPECT_EQ(library.calls, 0);
    for (const Row& row : rows) {
        EXPECT_EQ(row.wrong, 0u);
        EXPECT_GT(row.times.min, 0);
        EXPECT_LT(row.times.min, 2e-3);  // which each barrier takes, at least
    }
}

TEST(Measure, TheMeanTellsOfTheCallsThatTheMedianLeavesOut) {
    int call = 0;
    const Times times = time_calls(0, 10, [&] {
        if (++call % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    });
    EXPECT_GE(times.mean, 2 * 20e-3 / 10);
    EXPECT_LT(times.median, times.mean);
}

}  // namespace
}  // namespace ring_perf
