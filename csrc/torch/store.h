// ring::Store over the c10d::Store that torch hands to the backend.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <string>

#include "ring/topology/store.h"

namespace torch_ring {

class TorchStore : public ring::Store {
  public:
    // A TCPStore that one thread waits in serves no other thread of the process, which may have to come
    // first: while one of these is there, another one gets a connection of its own.
    explicit TorchStore(c10::intrusive_ptr<c10d::Store> store);
    ~TorchStore() override;
    TorchStore(const TorchStore&) = delete;
    TorchStore& operator=(const TorchStore&) = delete;

    void set(const std::string& key, const std::string& value) override;
    std::string get(const std::string& key, ring::Deadline deadline) override;
    std::vector<std::string> get_all(const std::vector<std::string>& keys, ring::Deadline deadline) override;
    std::string compare_set(const std::string& key, const std::string& expected,
                            const std::string& desired) override;
    bool has(const std::vector<std::string>& keys) override;

    // The host that the store runs on, if it is one that has a host; else "".
    std::string host() const;

  private:
    void wait(const std::vector<std::string>& keys, ring::Deadline deadline);

    c10::intrusive_ptr<c10d::Store> store_;
};

}  // namespace torch_ring
