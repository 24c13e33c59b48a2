// Threads as ranks: forms a group of them over real shared memory and real sockets, in a layout of hosts that
// the test says.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "ring/base/error.h"
#include "ring/engine/communicator.h"
#include "ring/engine/engine.h"
#include "ring/topology/file_store.h"

namespace ring::testing {

class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "ring_test_XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = name;
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

// Local ranks per host: {2, 1} is two hosts, of two ranks and one. Ranks are numbered host after host.
using Hosts = std::vector<int>;

inline std::string name_of_layout(const Hosts& hosts) {
    std::string text;
    for (const int ranks : hosts) text += (text.empty() ? "" : "_") + std::to_string(ranks);
    return text;
}

// The layout and the way of a test whose parameters they are.
template <typename Way>
std::string name_of_case(const ::testing::TestParamInfo<std::tuple<Hosts, Way>>& info) {
    return "hosts_" + name_of_layout(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
}

inline int ranks_of(const Hosts& hosts) {
    return std::accumulate(hosts.begin(), hosts.end(), 0);
}

// Runs `body` once per rank, each in a thread with an engine of its own. The settings are those by which all
// form a group; `common` holds what the test sets for all ranks. The first exception that a rank does not
// catch is rethrown here.
inline void run_ranks(const Hosts& hosts,
                      const std::function<void(Engine&, const Communicator::Settings&)>& body,
                      milliseconds timeout, const Communicator::Settings& common = {}) {
    std::vector<std::string> host_of;
    for (size_t h = 0; h < hosts.size(); ++h)
        for (int l = 0; l < hosts[h]; ++l) host_of.push_back("test-host-" + std::to_string(h));
    const int size = ranks_of(hosts);
    std::vector<std::exception_ptr> errors(size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank)
        threads.emplace_back([&, rank] {
            try {
                Engine engine;
                Communicator::Settings settings = common;
                settings.rank = rank;
                settings.size = size;
                settings.timeout = timeout;
                settings.store_host = "127.0.0.1";
                settings.host_id = host_of[rank];
                body(engine, settings);
            } catch (...) {
                errors[rank] = std::current_exception();
            }
        });
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors)
        if (error) std::rethrow_exception(error);
}

// As run_ranks(), all in one group.
inline void run_group(const Hosts& hosts, const std::function<void(Communicator&)>& body,
                      milliseconds timeout = std::chrono::seconds(20),
                      const Communicator::Settings& common = {}) {
    const TemporaryFolder folder;
    run_ranks(
        hosts,
        [&](Engine& engine, const Communicator::Settings& settings) {
            FileStore store(folder.path());
            const auto group = Communicator::create(engine, store, settings);
            body(*group);
            group->shutdown();
        },
        timeout, common);
}

// Looks again and again until `holds`; false if it does not within 30 s.
template <typename Condition>
bool eventually(Condition&& holds) {
    const Deadline deadline = Deadline::after(std::chrono::seconds(30));
    while (!holds()) {
        if (deadline.passed()) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
}

// Until the operation has ended, which nobody drives but the progress thread. Throws what it failed with, or
// TimeoutError.
inline void look_on(const std::shared_ptr<Operation>& operation) {
    if (!eventually([&] { return operation->done(); }))
        throw TimeoutError("nobody goes on with " + operation->describe());
    if (operation->error()) std::rethrow_exception(operation->error());
}

// What most tests call.
inline void run(Communicator& group, const Arguments& arguments) {
    group.run(arguments);
}

inline Signature signature(Collective kind, DType dtype, uint64_t count, ReduceOp op = ReduceOp::kNone,
                           int root = -1) {
    Signature made;
    made.kind = kind;
    made.dtype = dtype;
    made.count = count;
    made.op = op;
    made.root = root;
    return made;
}

// A send to `peer`, or a receive from it.
inline Arguments message_of(Collective kind, std::vector<int32_t>& data, int peer, int64_t tag = 0) {
    Arguments arguments{.signature = signature(kind, DType::kInt32, data.size(), ReduceOp::kNone, peer),
                        .input = data.data(),
                        .output = data.data(),
                        .inputs = {},
                        .outputs = {}};
    arguments.tag = tag;
    return arguments;
}

template <typename T>
Arguments all_reduce_of(std::vector<T>& data, DType dtype, ReduceOp op = ReduceOp::kSum) {
    return {.signature = signature(Collective::kAllReduce, dtype, data.size(), op),
            .input = data.data(),
            .output = data.data(),
            .inputs = {},
            .outputs = {}};
}

}  // namespace ring::testing
