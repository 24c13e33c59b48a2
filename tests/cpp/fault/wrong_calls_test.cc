// Random collectives that one rank calls in another way than the others: nobody writes where it must not, or
// hangs, and everybody is told.
#include <algorithm>
#include <tuple>

#include "calls.h"

namespace ring {
namespace {

using namespace ring::testing;

// The same call in another way, which still makes sense by itself.
RandomCall altered(RandomCall call, Random& random) {
    const auto n = call.counts.size();
    for (;;) {
        RandomCall other = call;
        switch (below(random, 5)) {
            case 0: {  // another size; of all shares
                const uint64_t more = 1 + below(random, 3);
                for (uint64_t& count : other.counts) count += more;
                break;
            }
            case 1:  // the shares in another order
                std::rotate(other.counts.begin(), other.counts.begin() + 1, other.counts.end());
                break;
            case 2:
                other.root = (call.root + 1) % static_cast<int>(n);
                break;
            case 3:
                other.dtype = call.dtype == DType::kInt32 ? DType::kBFloat16 : DType::kInt32;
                break;
            default:
                other.kind = kKinds[below(random, std::size(kKinds))];
                other.counts.assign(n, call.counts[0]);
                break;
        }
        const auto what_all_see = [](const RandomCall& one) {
            const bool rooted = one.kind == Collective::kBroadcast || one.kind == Collective::kReduce ||
                                one.kind == Collective::kGather || one.kind == Collective::kScatter;
            const bool moves = one.kind != Collective::kBarrier;
            return std::tuple(one.kind, rooted ? one.root : 0, moves ? one.dtype : DType::kInt32,
                              moves ? one.counts : std::vector<uint64_t>{});
        };
        if (what_all_see(other) != what_all_see(call)) return other;
    }
}

RandomCall collective(Random& random, const Members& members) {
    for (;;)
        for (RandomCall& call : random_calls(random, members, 0))
            if (call.kind != Collective::kSend) return call;
}

class WrongCalls : public ::testing::TestWithParam<Hosts> {};

TEST_P(WrongCalls, AreToldToAll) {
    const int size = ranks_of(GetParam());
    Members members(1);
    for (int rank = 0; rank < size; ++rank) members[0].push_back(rank);
    const unsigned first = first_seed();
    for (unsigned trial = first; trial < first + how_many_cases(40) && !HasFailure(); ++trial) {
        Random random(trial * 10 + static_cast<unsigned>(size));
        const RandomCall call = collective(random, members);
        const RandomCall other = altered(call, random);
        const int odd = static_cast<int>(below(random, members[0].size()));
        run_group(GetParam(), [&](Communicator& group) {
            const int me = group.layout().rank();
            const Part part(me == odd ? other : call, me);
            SCOPED_TRACE("trial " + std::to_string(trial) + ": rank " + std::to_string(odd) + " calls " +
                         describe(Part(other, odd).arguments().signature) + ", the others " +
                         describe(Part(call, (odd + 1) % size).arguments().signature));
            try {
                run(group, part.arguments());
                // Some have nothing to wait for in it, and learn of it from the next one.
                Arguments barrier;
                barrier.signature = signature(Collective::kBarrier, DType::kUInt8, 0);
                run(group, std::move(barrier));
                ADD_FAILURE() << "rank " << me << " was not told";
            } catch (const MismatchError&) {
            } catch (const std::exception& error) {
                ADD_FAILURE() << "rank " << me << " was told: " << error.what();
            }
        });
    }
}

INSTANTIATE_TEST_SUITE_P(Layouts, WrongCalls,
                         ::testing::Values(Hosts{2}, Hosts{3}, Hosts{1, 1}, Hosts{2, 1}, Hosts{2, 2},
                                           Hosts{1, 1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
