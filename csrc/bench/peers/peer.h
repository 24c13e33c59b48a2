// What the programs that measure other libraries share: ranks that MPI starts, and a report in ring_perf's
// CSV. The sizes, the timing and the checks are ring_perf's own (measure.h). Built by
// benchmarks/peers/install.
#pragma once

#include <getopt.h>
#include <mpi.h>

#include <climits>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "measure.h"

namespace ring_perf {

struct PeerOptions : Sweep, Subject {};

// One rank of another library, in place wherever ring_perf is. An error of MPI ends the job: that is
// MPI_COMM_WORLD's default.
class Peer : public Library {
  public:
    Peer(int* argc, char*** argv) {
        MPI_Init(argc, argv);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
        MPI_Comm_size(MPI_COMM_WORLD, &ranks_);
    }
    ~Peer() override { MPI_Finalize(); }

    virtual std::string name() const = 0;  // with its version

    int rank() const final { return rank_; }
    int ranks() const final { return ranks_; }
    void barrier() final { MPI_Barrier(MPI_COMM_WORLD); }
    std::vector<Result> gather(const Result& mine) final {
        std::vector<Result> all(static_cast<size_t>(ranks_));
        MPI_Allgather(&mine, sizeof(Result), MPI_BYTE, all.data(), sizeof(Result), MPI_BYTE, MPI_COMM_WORLD);
        return all;
    }

  private:
    int rank_ = 0;
    int ranks_ = 1;
};

// Of ring_perf's options those that make sense here.
inline PeerOptions parse_peer(int argc, char** argv) {
    PeerOptions options;
    const std::string letters = std::string("t:") + Sweep::kOptions;
    for (int option; (option = ::getopt(argc, argv, letters.c_str())) != -1;) {
        const std::string value = ::optarg == nullptr ? "" : ::optarg;
        if (!options.Sweep::take(option, value) && !options.Subject::take(option, value))
            throw std::invalid_argument(
                "the options are -t COLLECTIVE -b SIZE -e SIZE -f FACTOR -i COUNT -w COUNT -c 0|1");
    }
    if (::optind < argc) throw std::invalid_argument(std::string("what is '") + argv[::optind] + "'?");
    options.Sweep::check();
    if (options.max_bytes / sizeof(float) > INT_MAX)
        throw std::invalid_argument("-e is more than MPI can count, which is 2^31 - 1 elements");
    return options;
}

inline int measure_peer(Peer& peer, const PeerOptions& options) {
    if (peer.rank() == 0) {
        std::printf("# %s, %s, %d ranks, %s place\n", peer.name().c_str(), options.traits().name,
                    peer.ranks(), options.in_place() ? "in" : "out of");
        print_csv_head();
    }
    bool any = false;
    const bool right = measure(peer, options, options, [&](const Row& row) {
        any = true;
        if (peer.rank() == 0) print_csv(row);
    });
    if (!any && peer.rank() == 0) std::printf("# it has no %s\n", options.traits().name);
    return right ? 0 : 1;
}

// The whole of such a program: `Type` is a Peer.
template <typename Type>
int peer_main(const char* program, int argc, char** argv) {
    try {
        const PeerOptions options = parse_peer(argc, argv);
        Type peer(&argc, &argv);
        return measure_peer(peer, options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", program, error.what());
        return 2;
    }
}

}  // namespace ring_perf
