// Measures MPI_Allreduce: one source for Open MPI and Intel MPI. Built by benchmarks/peers/install.
#include <mpi.h>

#include "peer.h"

namespace {

class Mpi : public ring_perf::Peer {
  public:
    Mpi(int* argc, char*** argv) {
        MPI_Init(argc, argv);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
        MPI_Comm_size(MPI_COMM_WORLD, &size_);
    }
    ~Mpi() override { MPI_Finalize(); }

    std::string name() const override {
        char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
        int length = 0;
        MPI_Get_library_version(version, &length);
        const std::string text(version);
        return text.substr(0, text.find_first_of(",\n"));
    }
    int rank() const override { return rank_; }
    int size() const override { return size_; }
    // An error of MPI ends the job: that is MPI_COMM_WORLD's default.
    void all_reduce(float* data, size_t count) override {
        MPI_Allreduce(MPI_IN_PLACE, data, static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    }
    void combine(double* values, size_t count, bool sum) override {
        MPI_Allreduce(MPI_IN_PLACE, values, static_cast<int>(count), MPI_DOUBLE, sum ? MPI_SUM : MPI_MAX,
                      MPI_COMM_WORLD);
    }

  private:
    int rank_ = 0;
    int size_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        const ring_perf::Sweep options = ring_perf::parse_peer(argc, argv);
        Mpi mpi(&argc, &argv);
        ring_perf::measure_peer(mpi, options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mpi_perf: %s\n", error.what());
        return 2;
    }
    return 0;
}
