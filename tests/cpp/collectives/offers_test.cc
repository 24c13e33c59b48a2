// What ranks read out of each other's memory: where one of them is refused that, or ends meanwhile, nothing
// is lost.
#include "ring/collectives/host/offers.h"

#include <sys/syscall.h>

#include <csignal>

#include "processes.h"
#include "refused.h"

namespace ring {
namespace {

using namespace ring::testing;

uint64_t value(int rank, uint64_t i, uint64_t salt) {
    return static_cast<uint64_t>(rank) * 1'000'003 + i * 7 + salt;
}

bool is_of(const std::vector<uint64_t>& data, int rank, uint64_t salt) {
    for (uint64_t i = 0; i < data.size(); ++i)
        if (data[i] != value(rank, i, salt)) return false;
    return true;
}

// Each rank with its own share; the call and the check of one collective that moves bytes.
class Shares {
  public:
    Shares(int rank, int size, uint64_t count, uint64_t salt)
        : own_(count),
          got_(count),
          all_(static_cast<size_t>(size), std::vector<uint64_t>(count)),
          rank_(rank),
          count_(count),
          salt_(salt) {
        for (uint64_t i = 0; i < count; ++i) own_[i] = value(rank, i, salt);
    }

    bool all_gather(Communicator& group) {
        run(group, arguments(Collective::kAllGather, -1, true));
        return are_all();
    }
    bool gather(Communicator& group, int root) {
        run(group, arguments(Collective::kGather, root, rank_ == root));
        return rank_ != root || are_all();
    }
    bool scatter(Communicator& group, int root) {
        Arguments call = arguments(Collective::kScatter, root, false);
        call.input = nullptr;
        call.output = got_.data();
        if (rank_ == root)
            for (size_t r = 0; r < all_.size(); ++r) {
                for (uint64_t i = 0; i < count_; ++i) all_[r][i] = value(static_cast<int>(r), i, salt_);
                call.inputs.push_back(all_[r].data());
            }
        run(group, call);
        return is_of(got_, rank_, salt_);
    }
    bool broadcast(Communicator& group, int root) {
        Arguments call = arguments(Collective::kBroadcast, root, false);
        call.input = nullptr;
        call.output = (rank_ == root ? own_ : got_).data();
        run(group, call);
        return is_of(rank_ == root ? own_ : got_, root, salt_);
    }

  private:
    Arguments arguments(Collective kind, int root, bool collects) {
        Arguments call{.signature = signature(kind, DType::kInt64, count_, ReduceOp::kNone, root),
                       .input = own_.data(),
                       .inputs = {},
                       .outputs = {}};
        if (collects)
            for (auto& one : all_) call.outputs.push_back(one.data());
        return call;
    }
    bool are_all() const {
        for (size_t r = 0; r < all_.size(); ++r)
            if (!is_of(all_[r], static_cast<int>(r), salt_)) return false;
        return true;
    }

    std::vector<uint64_t> own_;
    std::vector<uint64_t> got_;
    std::vector<std::vector<uint64_t>> all_;
    int rank_;
    uint64_t count_;
    uint64_t salt_;
};

bool work(Communicator& group, uint64_t salt) {
    const int rank = group.layout().rank();
    const int size = group.layout().size();
    // Below, at and above both limits, and several reads of one share.
    for (const uint64_t count : {1'000, 2'048, 7'001, 40'000, 600'000}) {
        Shares shares(rank, size, count, salt + count);
        if (!shares.all_gather(group)) return false;
        for (const int root : {0, size - 1})
            if (!shares.broadcast(group, root) || !shares.gather(group, root) || !shares.scatter(group, root))
                return false;
    }
    return true;
}

// With these settings, in processes; `meanwhile` runs between two rounds of work.
std::vector<int> run_work(const Hosts& hosts, SingleCopy mode, const std::function<void(int rank)>& before,
                          const std::function<void(int rank)>& meanwhile) {
    const TemporaryFolder folder;
    return run_rank_processes(hosts, [&](Communicator::Settings settings) {
        before(settings.rank);
        settings.config.single_copy = mode;
        FileStore store(folder.path());
        const auto group = Communicator::create(Engine::of_process(), store, settings);
        if (!work(*group, 0)) return kWrong;
        meanwhile(settings.rank);
        return work(*group, 1) && work(*group, 2) ? kFine : kWrong;
    });
}

void refuse_reading() {
    refuse({SYS_process_vm_readv}, EPERM);
}

class Offered : public ::testing::TestWithParam<Hosts> {
  protected:
    std::vector<int> all_fine() const {
        return std::vector<int>(static_cast<size_t>(ranks_of(GetParam())), kFine);
    }
    static void nothing(int) {}
};

TEST_P(Offered, IsReadByAll) {
    EXPECT_EQ(run_work(GetParam(), SingleCopy::kAll, nothing, nothing), all_fine());
}

TEST_P(Offered, GoesAnotherWayWhereOneRankMayNotRead) {
    const auto one = [](int rank) {
        if (rank == 1) refuse_reading();
    };
    EXPECT_EQ(run_work(GetParam(), SingleCopy::kAll, one, nothing), all_fine());
}

TEST_P(Offered, GoesAnotherWayFromWhereOneRankMayNotReadAnyMore) {
    const auto one = [](int rank) {
        if (rank == 1) refuse_reading();
    };
    EXPECT_EQ(run_work(GetParam(), SingleCopy::kAll, nothing, one), all_fine());
}

TEST_P(Offered, IsReadByNoneWhereTheUserSaysSo) {
    EXPECT_EQ(run_work(GetParam(), SingleCopy::kNone, nothing, nothing), all_fine());
}

INSTANTIATE_TEST_SUITE_P(Layouts, Offered, ::testing::Values(Hosts{2}, Hosts{3}, Hosts{2, 2}, Hosts{3, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

// How often the ranks offer something, by what they found before.
std::string asked(Offers& offers, KernelCopy found, int operations) {
    std::string all;
    for (int i = 0; i < operations; ++i) {
        const bool asks = offers.ask(Lane::kHostIn);
        if (asks) offers.tell(Lane::kHostIn, found);
        all += asks ? '!' : '.';
    }
    return all;
}

TEST(Offers, AreMadeByWhatRanksFoundBefore) {
    Offers offers(nullptr, SingleCopy::kAuto, false);
    EXPECT_EQ(asked(offers, KernelCopy::kCheap, 50), std::string(50, '!'));
    EXPECT_EQ(asked(offers, KernelCopy::kDear, 32), "!...............!...............");
    EXPECT_EQ(asked(offers, KernelCopy::kCheapNow, 34), "!!!!!!!!!!!!!!!!.!!!!!!!!!!!!!!!!.");
    offers.end(Lane::kHostIn);
    EXPECT_FALSE(offers.ask(Lane::kHostIn));
    EXPECT_TRUE(offers.ask(Lane::kHostOut)) << "another lane";
}

// Its memory is gone while others read it, or wait until it has read theirs.
TEST(Offered, ByARankThatDiesFailsTheOthersSoon) {
    const TemporaryFolder folder;
    const auto codes = run_rank_processes({3}, [&](Communicator::Settings settings) {
        settings.config.single_copy = SingleCopy::kAll;
        FileStore store(folder.path());
        const auto group = Communicator::create(Engine::of_process(), store, settings);
        Shares shares(settings.rank, settings.size, 2'000'000, 0);
        if (!shares.all_gather(*group)) return kWrong;
        if (settings.rank == 1) {
            std::thread([] {
                std::this_thread::sleep_for(milliseconds(200));
                ::raise(SIGKILL);
            }).detach();
        }
        return check_death(
            [&] {
                const Deadline deadline = Deadline::after(milliseconds(15'000));
                while (!deadline.passed()) shares.all_gather(*group);
            },
            1);
    });
    EXPECT_EQ(codes, (std::vector<int>{kFine, 1000 + SIGKILL, kFine}));
}

}  // namespace
}  // namespace ring
