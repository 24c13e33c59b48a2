// ring::Store over the c10d::Store that torch hands to the backend.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <memory>
#include <string>

#include "ring/topology/store.h"

namespace torch_ring {

// What is under so many prefixes that were put before its keys; null where there are fewer.
c10::intrusive_ptr<c10d::Store> without_prefixes(c10::intrusive_ptr<c10d::Store> store, int prefixes);

class TorchStore : public ring::Store {
  public:
    // A TCPStore that one thread waits in serves no other thread of the process, which may have to come
    // first: while one of these is there, another one gets a connection of its own.
    // `ranks` use it at the same time. `common` prefixes less, it is what it has in common with other
    // groups'; 0: unknown.
    TorchStore(c10::intrusive_ptr<c10d::Store> store, int ranks, int common = 0);
    ~TorchStore() override;
    TorchStore(const TorchStore&) = delete;
    TorchStore& operator=(const TorchStore&) = delete;

    void set(const std::string& key, const std::string& value) override;
    std::string get(const std::string& key, ring::Deadline deadline) override;
    std::vector<std::string> get_all(const std::vector<std::string>& keys, ring::Deadline deadline) override;
    std::string compare_set(const std::string& key, const std::string& expected,
                            const std::string& desired) override;
    void set_all(const std::vector<std::string>& keys, const std::string& value) override;
    bool append(const std::string& key, const std::string& text) override;
    bool has(const std::vector<std::string>& keys) override;
    std::optional<int64_t> count(const std::string& key) override;
    void remove(const std::vector<std::string>& keys) override;
    ring::Store* common() override { return common_.get(); }

    // The host that the store runs on, if it is one that has a host; else "".
    std::string host() const;

  private:
    class Turn;

    TorchStore(std::unique_ptr<Turn> turn, c10::intrusive_ptr<c10d::Store> store, int ranks);
    void wait(const std::vector<std::string>& keys, ring::Deadline deadline);

    std::unique_ptr<Turn> turn_;  // null in one that is part of another
    c10::intrusive_ptr<c10d::Store> store_;
    const bool own_;  // of c10d's own, not one that is written in Python
    const int ranks_;
    std::unique_ptr<TorchStore> common_;
};

}  // namespace torch_ring
