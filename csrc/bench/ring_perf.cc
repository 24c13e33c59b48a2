// ring_perf: measures libring's collectives without torch; prints nccl-tests' columns. Starts its own ranks.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "measure.h"
#include "options.h"
#include "ring/engine/engine.h"
#include "ring/topology/file_store.h"

namespace ring_perf {
namespace {

// The slowest rank's time and everyone's errors, by an all-gather over the group that was measured.
Result combined(ring::Communicator& group, const Result& mine) {
    std::vector<Result> all(group.layout().size());
    ring::Arguments arguments;
    arguments.signature.kind = ring::Collective::kAllGather;
    arguments.signature.count = sizeof(Result);
    arguments.input = &mine;
    for (Result& one : all) arguments.outputs.push_back(&one);
    group.wait(group.post(arguments));
    Result worst{.count = mine.count, .seconds = 0, .wrong = 0};
    for (const Result& one : all) {
        worst.seconds = std::max(worst.seconds, one.seconds);
        worst.wrong += one.wrong;
    }
    return worst;
}

void run_rank(const Options& options, int rank, const std::filesystem::path& folder) {
    ring::Engine engine;
    ring::FileStore store(folder);
    ring::Communicator::Settings settings{.rank = rank,
                                          .size = options.ranks,
                                          .timeout = std::chrono::seconds(60),
                                          .store_host = "127.0.0.1",
                                          .host_id = "",
                                          .algorithm = std::nullopt};
    if (options.ranks_per_host > 0) settings.host_id = "host" + std::to_string(rank / options.ranks_per_host);
    const auto group = ring::Communicator::create(engine, store, settings);
    if (rank == 0)
        std::printf("# %s, %d ranks on %d hosts, reductions with %s\n%12s %12s %9s %8s %12s %9s %9s %7s\n",
                    name_of(options.collective), options.ranks, group->layout().hosts(),
                    ring::current_isa().c_str(), "size (B)", "count", "type", "redop", "time (us)", "algbw",
                    "busbw", "#wrong");
    for (size_t bytes = options.min_bytes; bytes <= options.max_bytes; bytes *= options.factor) {
        const Result result = combined(*group, measure(*group, options, bytes));
        const double size = static_cast<double>(result.count * ring::size_of(options.dtype));
        const double algbw = size / result.seconds / 1e9;
        if (rank == 0) {
            std::printf("%12.0f %12zu %9s %8s %12.2f %9.3f %9.3f %7zu\n", size, result.count,
                        name_of(options.dtype), name_of(options.op), result.seconds * 1e6, algbw,
                        algbw * bus_factor(options.collective, options.ranks), result.wrong);
            std::fflush(stdout);
        }
        if (options.collective == ring::Collective::kBarrier || bytes == 0) break;
    }
    group->shutdown();
}

int run(const Options& options) {
    std::string folder = (std::filesystem::temp_directory_path() / "ring_perf_XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    std::vector<pid_t> children;
    for (int rank = 0; rank < options.ranks; ++rank) {
        const pid_t child = ::fork();
        if (child < 0) throw std::runtime_error("cannot fork");
        if (child == 0) {
            int status = 0;
            try {
                run_rank(options, rank, folder);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
                status = 1;
            }
            std::exit(status);
        }
        children.push_back(child);
    }
    int failed = 0;
    for (const pid_t child : children) {
        int status = 0;
        ::waitpid(child, &status, 0);
        failed += status != 0;
    }
    std::filesystem::remove_all(folder);
    return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ring_perf

int main(int argc, char** argv) {
    if (argc > 1 && (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0)) {
        std::fputs(ring_perf::usage().c_str(), stdout);
        return 0;
    }
    try {
        return ring_perf::run(ring_perf::parse(argc, argv));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%sring_perf: %s\n", ring_perf::usage().c_str(), error.what());
        return 2;
    }
}
