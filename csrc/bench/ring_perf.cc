// ring_perf: measures libring's collectives without torch, in the manner of nccl-tests. Starts its own ranks,
// or is one rank of a job that the environment describes.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "job.h"
#include "libring.h"
#include "measure.h"
#include "options.h"
#include "report.h"
#include "ring/engine/engine.h"
#include "ring/topology/file_store.h"
#include "ring/topology/ping_pong.h"
#include "tcp_store.h"

namespace ring_perf {
namespace {

// How long rank 0 of a job stays for ranks that are slower to end.
constexpr ring::milliseconds kLastRank{10'000};

// One rank, from joining the group to leaving it. `report` is rank 0's, null elsewhere. False where results
// were wrong.
bool run_rank(const Options& options, int rank, int ranks, ring::Store& store, const std::string& store_host,
              Report* report, std::optional<double> ping_pong) {
    if (options.root >= ranks)
        throw std::invalid_argument("-r " + std::to_string(options.root) + ": there are " +
                                    std::to_string(ranks) + " ranks, counted from 0");
    ring::Engine engine;
    ring::Communicator::Settings settings{.rank = rank,
                                          .size = ranks,
                                          .timeout = std::chrono::seconds(options.timeout_s),
                                          .store_host = store_host};
    if (options.ranks_per_host > 0) settings.host_id = "host" + std::to_string(rank / options.ranks_per_host);
    const auto group = ring::Communicator::create(engine, store, settings);
    if (report != nullptr)
        report->begin({.machine = this_system(),
                       .options = options,
                       .ranks = ranks,
                       .hosts = group->layout().hosts(),
                       .ping_pong = ping_pong});
    Libring libring(*group);
    const bool right = measure(libring, options, options, [&](const Row& row) {
        if (report != nullptr) report->row(row);
    });
    group->shutdown();
    return right;
}

// The same, but says on stderr what it failed with, and is none then.
std::optional<bool> try_rank(const Options& options, int rank, int ranks, ring::Store& store,
                             const std::string& store_host, Report* report, std::optional<double> ping_pong) {
    try {
        return run_rank(options, rank, ranks, store, store_host, report, ping_pong);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ring_perf: rank %d: %s\n", rank, error.what());
        return std::nullopt;
    }
}

int run_own_ranks(const Options& options, int ranks) {
    const auto report = make_report(options.format);
    const std::optional<double> ping_pong = ring::cache_line_ping_pong();
    std::string folder = (std::filesystem::temp_directory_path() / "ring_perf_XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    ring::FileStore store(folder);
    std::vector<pid_t> children;
    for (int rank = 1; rank < ranks; ++rank) {
        const pid_t child = ::fork();
        if (child < 0) throw std::runtime_error(std::string("cannot fork: ") + std::strerror(errno));
        if (child == 0)
            std::exit(
                try_rank(options, rank, ranks, store, "127.0.0.1", nullptr, std::nullopt).value_or(false)
                    ? 0
                    : 1);
        children.push_back(child);
    }
    const std::optional<bool> right =
        try_rank(options, 0, ranks, store, "127.0.0.1", report.get(), ping_pong);
    bool good = right.value_or(false);
    for (const pid_t child : children) {
        int status = 0;
        ::waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            std::fprintf(stderr, "ring_perf: a rank was ended by signal %d (%s)\n", WTERMSIG(status),
                         ::strsignal(WTERMSIG(status)));
        good = good && status == 0;
    }
    std::filesystem::remove_all(folder);
    if (right) report->end(ring::cache_line_ping_pong());
    return good ? 0 : 1;
}

int run_rank_of_job(const Options& options, const Job& job) {
    std::unique_ptr<Report> report;
    std::optional<TcpStoreServer> server;
    std::optional<double> ping_pong;
    if (job.rank == 0) {
        report = make_report(options.format);
        ping_pong = ring::cache_line_ping_pong();  // while the others still look for the store
        server.emplace(job.port, job.size);
    }
    std::optional<bool> right;
    {
        TcpStore store(job.master, job.port, job.rank,
                       ring::Deadline::after(std::chrono::seconds(options.timeout_s)));
        right = try_rank(options, job.rank, job.size, store, job.master, report.get(), ping_pong);
    }
    if (server && !server->drain(ring::Deadline::after(kLastRank)))
        std::fprintf(stderr, "ring_perf: rank 0 ends before all other ranks have\n");
    if (report && right) report->end(ring::cache_line_ping_pong());
    return right.value_or(false) ? 0 : 1;
}

int run(const Options& options) {
    const std::optional<Job> job = options.ranks ? std::nullopt : job_from_environment();
    return job ? run_rank_of_job(options, *job) : run_own_ranks(options, options.ranks.value_or(2));
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
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "ring_perf: %s; ring_perf --help lists the options\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ring_perf: %s\n", error.what());
        return 1;
    }
}
