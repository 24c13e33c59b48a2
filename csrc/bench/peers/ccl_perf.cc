// Measures oneCCL's allreduce of host memory. MPI starts the ranks and carries the address of its key-value
// store. Built by benchmarks/peers/install.
#include <mpi.h>
#include <sched.h>

#include <memory>
#include <oneapi/ccl.hpp>
#include <optional>
#include <thread>

#include "peer.h"

namespace {

class Ccl : public ring_perf::Peer {
  public:
    Ccl(int* argc, char*** argv) {
        ccl::init();
        MPI_Init(argc, argv);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
        MPI_Comm_size(MPI_COMM_WORLD, &size_);
        crowded_ = size_ > static_cast<int>(std::thread::hardware_concurrency());
        ccl::kvs::address_type address;
        if (rank_ == 0) {
            store_ = ccl::create_main_kvs();
            address = store_->get_address();
        }
        MPI_Bcast(address.data(), static_cast<int>(address.size()), MPI_BYTE, 0, MPI_COMM_WORLD);
        if (rank_ != 0) store_ = ccl::create_kvs(address);
        group_.emplace(ccl::create_communicator(size_, rank_, store_));
    }
    ~Ccl() override {
        group_.reset();
        store_.reset();
        MPI_Finalize();
    }

    std::string name() const override {
        const ccl::library_version version = ccl::get_library_version();
        return "oneCCL " + std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
               std::to_string(version.update);
    }
    int rank() const override { return rank_; }
    int size() const override { return size_; }
    void all_reduce(float* data, size_t count) override {
        ccl::event event = ccl::allreduce(data, data, count, ccl::reduction::sum, *group_);
        // oneCCL's wait() spins for whole time slices, whatever CCL_YIELD says, where another rank needs the
        // core.
        while (crowded_ && !event.test()) ::sched_yield();
        event.wait();
    }
    void combine(double* values, size_t count, bool sum) override {
        ccl::allreduce(values, values, count, sum ? ccl::reduction::sum : ccl::reduction::max, *group_)
            .wait();
    }

  private:
    int rank_ = 0;
    int size_ = 1;
    bool crowded_ = false;  // more ranks than cores
    ccl::shared_ptr_class<ccl::kvs> store_;
    std::optional<ccl::communicator> group_;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        const ring_perf::Sweep options = ring_perf::parse_peer(argc, argv);
        Ccl ccl(&argc, &argv);
        ring_perf::measure_peer(ccl, options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ccl_perf: %s\n", error.what());
        return 2;
    }
    return 0;
}
