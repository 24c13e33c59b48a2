// Measures the collectives of MPI: one source for Open MPI and Intel MPI. Built by benchmarks/peers/install.
#include "peer.h"

namespace {

using ring::Collective;
using ring_perf::Subject;
using ring_perf::Tensors;

class Mpi final : public ring_perf::Peer {
  public:
    using Peer::Peer;

    std::string name() const override {
        char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
        int length = 0;
        MPI_Get_library_version(version, &length);
        const std::string text(version);
        return text.substr(0, text.find_first_of(",\n"));
    }

    std::function<void()> call_of(const Subject& subject, Tensors& tensors) override {
        const int count = static_cast<int>(tensors.share());
        const int root = subject.root;
        const bool is_root = rank() == root;
        void* const in = tensors.input;
        void* const out = tensors.output;
        switch (subject.traits().kind) {
            case Collective::kAllReduce:
                return [=] { MPI_Allreduce(MPI_IN_PLACE, out, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); };
            case Collective::kReduce:
                return [=] {
                    MPI_Reduce(is_root ? MPI_IN_PLACE : in, out, count, MPI_FLOAT, MPI_SUM, root,
                               MPI_COMM_WORLD);
                };
            case Collective::kBroadcast:
                return [=] { MPI_Bcast(out, count, MPI_FLOAT, root, MPI_COMM_WORLD); };
            case Collective::kAllGather:
                return [=, all = tensors.outputs.front()] {
                    MPI_Allgather(MPI_IN_PLACE, 0, MPI_FLOAT, all, count, MPI_FLOAT, MPI_COMM_WORLD);
                };
            case Collective::kReduceScatter:
                // In place, MPI puts each rank's share where the whole begins.
                tensors.output = tensors.inputs.front();
                return [=, all = tensors.inputs.front()] {
                    MPI_Reduce_scatter_block(MPI_IN_PLACE, all, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
                };
            case Collective::kGather:
                return [=, all = tensors.outputs.front()] {
                    MPI_Gather(is_root ? MPI_IN_PLACE : in, count, MPI_FLOAT, all, count, MPI_FLOAT, root,
                               MPI_COMM_WORLD);
                };
            case Collective::kScatter:
                return [=, all = tensors.inputs.front()] {
                    MPI_Scatter(all, count, MPI_FLOAT, is_root ? MPI_IN_PLACE : out, count, MPI_FLOAT, root,
                                MPI_COMM_WORLD);
                };
            case Collective::kAllToAll:
                return [=, from = tensors.inputs.front(), to = tensors.outputs.front()] {
                    MPI_Alltoall(from, count, MPI_FLOAT, to, count, MPI_FLOAT, MPI_COMM_WORLD);
                };
            case Collective::kSend:
                return [=, next = tensors.next(), before = tensors.before()] {
                    MPI_Sendrecv(in, count, MPI_FLOAT, next, 0, out, count, MPI_FLOAT, before, 0,
                                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                };
            case Collective::kBarrier:
                return [] { MPI_Barrier(MPI_COMM_WORLD); };
            default:
                return {};
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    return ring_perf::peer_main<Mpi>("mpi_perf", argc, argv);
}
