// Two threads of one process that wait in the same group at once: one for something that ends late, the other
// for something that it posts meanwhile. The first one drives, and sleeps; it must go on with both.
#include "group.h"
#include "values.h"

namespace ring {
namespace {

using namespace ring::testing;

// What a thread calls, all with rank 1 as the other side; on rank 1 what matches it.
enum class Kind { kSmallAllReduce, kLargeAllReduce, kBarrier, kReceive, kSend };

struct Pair {
    const char* name;
    Kind late;              // rank 1 calls it last
    Kind early;             // posted by another thread while the first one sleeps; rank 1 waits for it before
    bool looks_on = false;  // the second one is handed over, and only looked at
};

void PrintTo(const Pair& pair, std::ostream* out) {
    *out << pair.name;
}

std::shared_ptr<Operation> post(Communicator& group, Kind kind, std::vector<float>& data, int64_t tag) {
    const bool first = group.layout().rank() == 0;
    // Messages are too large to be eager: none ends before both sides have called it.
    data.assign(kind == Kind::kSmallAllReduce || kind == Kind::kBarrier ? 3 : 1 << 19, 1);
    if (kind == Kind::kSmallAllReduce || kind == Kind::kLargeAllReduce)
        return group.post(all_reduce_of(data, DType::kFloat32));
    if (kind == Kind::kBarrier) {
        Arguments barrier;
        barrier.signature = signature(Collective::kBarrier, DType::kUInt8, 0);
        return group.post(std::move(barrier));
    }
    const bool sends = (kind == Kind::kSend) == first;
    Arguments arguments;
    arguments.signature = signature(sends ? Collective::kSend : Collective::kRecv, DType::kFloat32,
                                    data.size(), ReduceOp::kNone, first ? 1 : 0);
    arguments.input = arguments.output = data.data();
    arguments.tag = tag;
    return group.post(std::move(arguments));
}

class Waiters : public ::testing::TestWithParam<std::tuple<Hosts, Pair>> {};

TEST_P(Waiters, GoOnWithWhatTheOtherPosts) {
    const auto& [hosts, pair] = GetParam();
    run_group(
        hosts,
        [&](Communicator& group) {
            const int me = group.layout().rank();
            const auto takes_part = [&](Kind kind) {
                return me < 2 || (kind != Kind::kReceive && kind != Kind::kSend);
            };
            std::vector<float> late;
            std::vector<float> early;
            if (me != 0) {
                if (takes_part(pair.early)) group.wait(post(group, pair.early, early, 2));
                if (takes_part(pair.late)) group.wait(post(group, pair.late, late, 1));
                return;
            }
            const auto first = post(group, pair.late, late, 1);
            std::exception_ptr error;
            std::thread waits([&] {
                try {
                    group.wait(first);
                } catch (...) {
                    error = std::current_exception();
                }
            });
            std::this_thread::sleep_for(milliseconds(50));  // it has long ceased to spin
            EXPECT_FALSE(first->done());
            try {
                const auto second = post(group, pair.early, early, 2);
                if (pair.looks_on) {
                    group.hand_over({&second, 1});
                    look_on(second);
                } else {
                    group.wait(second);
                }
            } catch (...) {
                waits.join();
                throw;
            }
            waits.join();
            if (error) std::rethrow_exception(error);
        },
        std::chrono::seconds(10));
}

constexpr Pair kPairs[] = {
    {"receive_and_small_all_reduce", Kind::kReceive, Kind::kSmallAllReduce},
    {"receive_and_large_all_reduce", Kind::kReceive, Kind::kLargeAllReduce},
    {"receive_and_all_reduce_handed_over", Kind::kReceive, Kind::kLargeAllReduce, true},
    {"receive_and_small_all_reduce_handed_over", Kind::kReceive, Kind::kSmallAllReduce, true},
    {"receive_and_barrier", Kind::kReceive, Kind::kBarrier},
    {"receive_and_receive", Kind::kReceive, Kind::kReceive},
    {"receive_and_send", Kind::kReceive, Kind::kSend},
    {"send_and_large_all_reduce", Kind::kSend, Kind::kLargeAllReduce},
    {"send_and_barrier", Kind::kSend, Kind::kBarrier},
    {"all_reduce_and_receive", Kind::kLargeAllReduce, Kind::kReceive},
    {"all_reduce_and_send", Kind::kSmallAllReduce, Kind::kSend},
    {"barrier_and_receive_handed_over", Kind::kBarrier, Kind::kReceive, true},
};

INSTANTIATE_TEST_SUITE_P(Pairs, Waiters,
                         ::testing::Combine(::testing::Values(Hosts{2}, Hosts{1, 1}, Hosts{2, 1},
                                                              Hosts{1, 2}),
                                            ::testing::ValuesIn(kPairs)),
                         name_of_case<Pair>);

}  // namespace
}  // namespace ring
