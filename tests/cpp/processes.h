// Processes as ranks: as group.h does for threads. For what ends a process, or is refused to one.
#pragma once

#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>

#include "end_process.h"
#include "group.h"

namespace ring::testing {

constexpr int kFine = 0;
constexpr int kWrong = 1;
constexpr int kThrown = 99;

// Runs `body` once per rank, each in a process that ends with what it returns. The settings are those by
// which all form a group. The codes by rank; a signal s is 1000 + s. What is thrown is printed, its code is
// kThrown.
inline std::vector<int> run_rank_processes(const Hosts& hosts,
                                           const std::function<int(const Communicator::Settings&)>& body) {
    const int size = ranks_of(hosts);
    std::vector<pid_t> pids;
    for (int rank = 0; rank < size; ++rank) {
        const pid_t pid = ::fork();
        if (pid != 0) {
            pids.push_back(pid);
            continue;
        }
        ::alarm(30);
        int code = kThrown;
        try {
            int host = 0;
            for (int first = rank; first >= hosts[host]; ++host) first -= hosts[host];
            Communicator::Settings settings;
            settings.rank = rank;
            settings.size = size;
            settings.timeout = std::chrono::seconds(20);
            settings.store_host = "127.0.0.1";
            settings.host_id = "test-host-" + std::to_string(host);
            code = body(settings);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
        }
        end_process(code);
    }
    std::vector<int> codes;
    for (const pid_t pid : pids) {
        int status = -1;
        if (::waitpid(pid, &status, 0) != pid) return {};
        codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    }
    return codes;
}

// As run_rank_processes(), all in one group, which no rank leaves before it ends. `before` runs there first.
inline std::vector<int> run_processes(
    const Hosts& hosts, const std::function<int(Communicator&)>& body,
    const std::function<void(int rank)>& before = [](int) {}) {
    const TemporaryFolder folder;
    return run_rank_processes(hosts, [&](const Communicator::Settings& settings) {
        before(settings.rank);
        FileStore store(folder.path());
        end_process(body(*Communicator::create(Engine::of_process(), store, settings)));
        return kThrown;
    });
}

// That the error says who died, and comes soon.
inline int check_death(const std::function<void()>& call, int rank) {
    const auto start = Clock::now();
    try {
        call();
    } catch (const PeerError& error) {
        const std::string text = error.what();
        const bool named = text.find("rank " + std::to_string(rank) + " (host") != std::string::npos &&
                           text.find("died: ") != std::string::npos;
        if (named && Clock::now() - start < milliseconds(2500)) return kFine;
        std::fprintf(stderr, "%s\n", text.c_str());
    }
    return kWrong;
}

}  // namespace ring::testing
