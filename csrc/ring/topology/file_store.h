// A Store in a folder: one file per key. For ranks that share a file system and have no torch: ring_perf, the
// C++ tests.
#pragma once

#include <filesystem>

#include "ring/base/fd.h"
#include "ring/topology/store.h"

namespace ring {

class FileStore : public Store {
  public:
    explicit FileStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
    void set(const std::string& key, const std::string& value) override;
    std::string get(const std::string& key, Deadline deadline) override;
    std::string compare_set(const std::string& key, const std::string& expected,
                            const std::string& desired) override;
    bool append(const std::string& key, const std::string& text) override;
    bool has(const std::vector<std::string>& keys) override;
    std::optional<int64_t> count(const std::string& key) override;
    void remove(const std::vector<std::string>& keys) override;

  private:
    UniqueFd lock() const;  // until it is closed
    std::filesystem::path path_of(const std::string& key) const;
    std::filesystem::path folder_;
};

}  // namespace ring
