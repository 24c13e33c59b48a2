// Measures oneCCL's collectives of host memory. MPI starts the ranks and carries the address of its key-value
// store. Built by benchmarks/peers/install.
#include <sched.h>

#include <memory>
#include <oneapi/ccl.hpp>
#include <optional>
#include <thread>

#include "peer.h"

namespace {

using ring::Collective;
using ring_perf::Subject;
using ring_perf::Tensors;

class Ccl final : public ring_perf::Peer {
  public:
    Ccl(int* argc, char*** argv) : Peer(argc, argv) {
        ccl::init();
        crowded_ = ranks() > static_cast<int>(std::thread::hardware_concurrency());
        ccl::kvs::address_type address;
        if (rank() == 0) {
            store_ = ccl::create_main_kvs();
            address = store_->get_address();
        }
        MPI_Bcast(address.data(), static_cast<int>(address.size()), MPI_BYTE, 0, MPI_COMM_WORLD);
        if (rank() != 0) store_ = ccl::create_kvs(address);
        group_.emplace(ccl::create_communicator(ranks(), rank(), store_));
    }

    std::string name() const override {
        const ccl::library_version version = ccl::get_library_version();
        return "oneCCL " + std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
               std::to_string(version.update);
    }

    // It has no gather and no scatter, and its send and recv of host memory end in a segmentation fault:
    // 2022.1.0 as the wheels have it, with and without a stream, a group call and CCL_WORKER_OFFLOAD.
    std::function<void()> call_of(const Subject& subject, Tensors& tensors) override {
        constexpr auto kFloat = ccl::datatype::float32;
        constexpr auto kSum = ccl::reduction::sum;
        const size_t count = tensors.share();
        const int root = subject.root;
        void* const in = tensors.input;
        void* const out = tensors.output;
        switch (subject.traits().kind) {
            case Collective::kAllReduce:
                return [=, this] { finish(ccl::allreduce(in, out, count, kFloat, kSum, *group_)); };
            case Collective::kReduce:
                return [=, this] { finish(ccl::reduce(in, out, count, kFloat, kSum, root, *group_)); };
            case Collective::kBroadcast:
                return [=, this] { finish(ccl::broadcast(out, count, kFloat, root, *group_)); };
            case Collective::kAllGather:
                return [=, this, all = tensors.outputs.front()] {
                    finish(ccl::allgather(in, all, count, kFloat, *group_));
                };
            case Collective::kReduceScatter:
                return [=, this, all = tensors.inputs.front()] {
                    finish(ccl::reduce_scatter(all, out, count, kFloat, kSum, *group_));
                };
            case Collective::kAllToAll:
                return [=, this, from = tensors.inputs.front(), to = tensors.outputs.front()] {
                    finish(ccl::alltoall(from, to, count, kFloat, *group_));
                };
            case Collective::kBarrier:
                return [this] { finish(ccl::barrier(*group_)); };
            default:
                return {};
        }
    }

  private:
    // oneCCL's wait() spins for whole time slices, whatever CCL_YIELD says, where another rank needs the
    // core.
    void finish(ccl::event event) const {
        while (crowded_ && !event.test()) ::sched_yield();
        event.wait();
    }

    bool crowded_ = false;  // more ranks than cores
    ccl::shared_ptr_class<ccl::kvs> store_;
    std::optional<ccl::communicator> group_;  // gone before the store, and both before MPI is
};

}  // namespace

int main(int argc, char** argv) {
    return ring_perf::peer_main<Ccl>("ccl_perf", argc, argv);
}
